"""Shared fixtures: a small synthetic data set, and finished runs."""

import csv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detections import BoxSelector

SHAPES = ("circle", "cross", "square")
ITEMS = 12  # per shape
SIDE = 48


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of synthetic shapes: each item has a colour, a shop image on white and a street image on noise."""
    folder = tmp_path_factory.mktemp("drawn")
    rng = np.random.default_rng(0)
    rows = [_draw(folder, rng, shape, number, view) for shape in SHAPES for number in range(ITEMS)
            for view in ("shop", "street")]  # fmt: skip
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"


@pytest.fixture
def make_data(shapes: Path) -> Callable[..., GarmentData]:
    """Create GarmentData over the synthetic shapes; keyword arguments override the defaults."""

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
    """Write finished runs below `tmp_path`; for the arguments see `tests.report.factories.finished_run`."""
    from tests.report.factories import finished_run  # here, since it imports all layers below report

    return partial(finished_run, tmp_path)


def _draw(folder: Path, rng: np.random.Generator, shape: str, number: int, view: str) -> dict[str, object]:
    background = np.full((SIDE, SIDE, 3), 250) if view == "shop" else rng.integers(90, 160, (SIDE, SIDE, 3))
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
