"""Fixtures of several subpackages: small images that are drawn, not downloaded, and finished runs."""

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
ITEMS = 12  # of each shape
SIDE = 48


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest of shapes: each item has a colour, a shop picture on white and a street picture on noise."""
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
def make_data(drawn: Path) -> Callable[..., GarmentData]:
    """GarmentData over the drawn shapes; give what is to differ."""

    def make(**changes: Any) -> GarmentData:
        plain: dict[str, Any] = {
            "source": "folder", "root": str(drawn), "categories": None, "sources": None,
            "crop": "annotated", "box_selector": BoxSelector("given", 0.3, 8.0, "whole"), "margin": 0.1,
            "image_size": 32,
            "jitter": 0.08, "min_crop_area": 1.0,
            "ratios": {"train": 0.5, "val": 0.2, "query": 0.1, "gallery": 0.2},
            "gallery": "gallery", "leaks": "refuse", "split_seed": 0,
            "batch_size": 16, "workers": 0, "samples_per_epoch": None, "balanced": False, "seed": 0,
        }  # fmt: skip
        return GarmentData(**(plain | changes))

    return make


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Any]:
    """Write finished runs below `tmp_path`; arguments are those of `tests.report.factories.finished_run`."""
    from tests.report.factories import finished_run  # imported where it is used: it needs all layers below report

    return partial(finished_run, tmp_path)


def _draw(folder: Path, rng: np.random.Generator, shape: str, number: int, view: str) -> dict[str, object]:
    ground = np.full((SIDE, SIDE, 3), 250) if view == "shop" else rng.integers(90, 160, (SIDE, SIDE, 3))
    image = Image.fromarray(ground.astype(np.uint8))
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
