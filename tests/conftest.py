"""Shared fixtures: small synthetic data sets, and finished runs."""

import csv
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.datasets import open_dataset
from fashion_lsh.data.detections import BoxSelector

SHAPES = ("circle", "cross", "square")
NUM_ITEMS = 12  # number of items per shape
IMAGE_SIDE = 48  # pixels
FEW_COUNTS = {"train": 32, "val": 16, "query": 8, "gallery": 8}  # number of images per category of the fixture `few`


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the key that signs runs out of the user's state folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Function that builds a folder once per session; tests of all workers share the folder and must not change it."""
    root = tmp_path_factory.getbasetemp()
    root = (
        root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    )  # the folder of the main process, which ends last

    def build(name: str, write: Callable[[Path], object]) -> Path:
        folder = root / name
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (root / f"{name}.done").exists():
                shutil.rmtree(folder, ignore_errors=True)  # remains of a failed build
                folder.mkdir()
                write(folder)
                (root / f"{name}.done").touch()
        return folder

    return build


@pytest.fixture(scope="session")
def shapes(shared_folder: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Manifest of shapes. Each item has its own colour, a shop image on white and a street image on noise."""
    return shared_folder("shapes", _write_shapes) / "manifest.csv"


@pytest.fixture(scope="session")
def few(shared_folder: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Catalogue file of a few composed images of four categories; the images are in the same folder."""
    return shared_folder("few", _write_few) / "few.parquet"


@pytest.fixture
def make_data(shapes: Path) -> Callable[..., GarmentData]:
    """Function that creates GarmentData of the shapes; keyword arguments override the defaults."""

    def make(**changes: Any) -> GarmentData:
        defaults: dict[str, Any] = {
            "source": "folder", "root": str(shapes), "categories": None, "sources": None,
            "crop": "annotated", "box_selector": BoxSelector("given", 0.3, 8.0, "whole"), "margin": 0.1,
            "image_size": 32,
            "jitter": 0.08, "min_crop_area": 1.0,
            "ratios": {"train": 0.5, "val": 0.2, "query": 0.1, "gallery": 0.2},
            "gallery": "gallery", "leaks": "refuse", "split_seed": 0,
            "batch_size": 16, "workers": 0, "samples_per_epoch": None, "balanced": False, "seed": 0,
        }  # fmt: skip
        return GarmentData(**(defaults | changes))

    return make


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Any]:
    """Function that writes finished runs below `tmp_path`; see `tests.report.factories.finished_run`."""
    from tests.report.factories import finished_run  # imported here, since this imports all layers below report

    return partial(finished_run, tmp_path)


def _write_shapes(folder: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [_draw(folder, rng, shape, number, view) for shape in SHAPES for number in range(NUM_ITEMS)
            for view in ("shop", "street")]  # fmt: skip
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def _write_few(folder: Path) -> None:
    source = open_dataset("shop_street", None, 0)
    full = source.catalogue({"category": ["bag", "coat", "dress", "shirt"]})
    rows = [full.rows(split)[full.column("category")[full.rows(split)] == name][:count]
            for split, count in FEW_COUNTS.items() for name in full.categories]  # fmt: skip
    few = full.take(np.concatenate(rows))
    names = {key: f"{number}.png" for number, key in enumerate(sorted(set(few.column("image"))))}
    for key, name in names.items():
        Image.fromarray(source.image(key)).save(folder / name)
    few.with_columns(image=[names[key] for key in few.column("image")]).save(folder / "few.parquet")


def _draw(folder: Path, rng: np.random.Generator, shape: str, number: int, view: str) -> dict[str, object]:
    background = (
        np.full((IMAGE_SIDE, IMAGE_SIDE, 3), 250)
        if view == "shop"
        else rng.integers(90, 160, (IMAGE_SIDE, IMAGE_SIDE, 3))
    )
    image = Image.fromarray(background.astype(np.uint8))
    x, y = (rng.integers(4, 16, 2)).tolist()
    box = (x, y, x + 26, y + 26)
    draw, colour = ImageDraw.Draw(image), f"hsl({number * 30}, 90%, 40%)"
    if shape == "circle":
        draw.ellipse(box, fill=colour)
    elif shape == "square":
        draw.rectangle(box, fill=colour)
    else:
        draw.line((x, y, x + 26, y + 26), fill=colour, width=7)
        draw.line((x + 26, y, x, y + 26), fill=colour, width=7)
    name, item = f"{shape}-{number}-{view}.png", f"{shape}-{number}"
    image.save(folder / name)
    corners = dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))
    return {"image": name, "category": shape, "item": item, "group": item, "view": view, **corners}
