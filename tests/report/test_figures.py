"""Figures as a browser reads them."""

import re
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from PIL import ImageFont

from fashion_lsh.report import figures
from fashion_lsh.report.curves import reliability

TEXT = "{http://www.w3.org/2000/svg}text"
NAMES = [
    "bag",
    "WWWWWWWWWWWWWWWW",
    "长袖外套短袖外套长袖外套",
    "a name that goes on over more than a line",
    "$x$ & <y>",
]


def texts(svg: bytes) -> list[ET.Element]:
    return list(ET.fromstring(svg).iter(TEXT))


def width(line: str) -> float:
    """Points at 9 points, by DejaVu Sans; what it lacks is as wide as it is high."""
    font = ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), 900)
    return sum(9.0 if ord(sign) > 0x3000 else font.getlength(sign) / 100 for sign in line)


def matrix(names: list[str]) -> tuple[bytes, int]:
    counts = np.arange(len(names) ** 2).reshape(len(names), len(names))
    return figures.confusion(counts, counts / counts.sum(axis=1, keepdims=True), names)


@pytest.mark.parametrize("count", [5, 30])
def test_no_name_of_a_matrix_is_cut_or_reaches_into_it(count: int) -> None:
    names = [*NAMES, *(f"category {number}" for number in range(count - len(NAMES)))]
    svg, wide = matrix(names)
    sides = [float(side) for side in ET.fromstring(svg).get("viewBox", "").split()]
    assert wide == round(sides[2] * 96 / 72)
    named = [text for text in texts(svg) if "text-anchor: end" in text.get("style", "")]
    for name in names:
        lines = [text for text in named if text.text and text.text in name and text.text.strip()]
        assert len(lines) >= 2
    for text in named:
        x, y = (float(text.get(side, "nan")) for side in "xy")
        angle = float(re.findall(r"rotate\(([-\d.]+)", text.get("transform", "rotate(0"))[0])
        room = x if abs(angle) < 1 else sides[3] - y
        assert width(str(text.text)) < room


def test_counts_stand_in_the_cells_where_there_are_few() -> None:
    few, many = ([str(text.text) for text in texts(matrix([f"n{n}" for n in range(count)])[0])] for count in (15, 16))
    assert {"1", "17", "224"} <= set(few)
    assert "0" not in few  # an empty cell stays empty
    assert not any(text.isdecimal() for text in many)


def drawn() -> dict[str, bytes]:
    points = np.array([[9.0, 0, 2.5], [19, 1, 1.5]])
    rng = np.random.default_rng(0)
    curve = (np.array([0.1, 1.0]), np.array([1.0, 0.2]))
    return {
        "learning": figures.learning({"train/loss": points, "val/accuracy": points[1:]}),
        "losses": figures.learning({"train/loss": points}),
        "precision": figures.precision_recall({"mean of all queries": curve, "best category": curve}),
        "hamming": figures.hamming([{"other category": np.array([1, 5, 2]), "same category": np.zeros(3, int)}]),
        "reliability": figures.reliability(reliability(rng.random(50), rng.random(50) < 0.5)),
    }


def test_axes_are_labelled_and_lines_are_named() -> None:
    found: dict[str, Any] = {name: {text.text for text in texts(svg)} for name, svg in drawn().items()}
    assert found["learning"] > {"loss", "training", "accuracy", "training step (batches)"}
    assert "accuracy" not in found["losses"]
    assert found["precision"] > {"recall", "precision", "mean of all queries", "best category"}
    assert found["hamming"] > {"Hamming distance (bits)", "share of pairs", "other category", "same category"}
    assert found["reliability"] > {"accuracy", "queries", "confidence (calibrated softmax mass)"}


def test_the_same_numbers_give_the_same_file_and_the_users_style_is_left_alone() -> None:
    before = dict(mpl.rcParams)
    assert drawn() == drawn()
    assert dict(mpl.rcParams) == before


def test_letters_that_the_font_lacks_are_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matrix(NAMES)
