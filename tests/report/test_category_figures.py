"""Confusion matrix and scores by category as SVG."""

import re
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import ImageFont

from fashion_lsh.report.category_figures import category_scores, confusion_matrix
from tests.report.test_figures import texts

NAMES = [
    "bag",
    "WWWWWWWWWWWWWWWW",
    "长袖外套短袖外套长袖外套",
    "a name that is longer than a single line",
    "$x$ & <y>",
]


def width(line: str) -> float:
    """Width in points of 9-point DejaVu Sans; characters missing in the font count as squares."""
    font = ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), 900)
    return sum(9.0 if ord(character) > 0x3000 else font.getlength(character) / 100 for character in line)


def matrix(names: list[str]) -> tuple[bytes, int]:
    counts = np.arange(len(names) ** 2).reshape(len(names), len(names))
    return confusion_matrix(counts, counts / counts.sum(axis=1, keepdims=True), names)


@pytest.mark.parametrize("count", [5, 30])
def test_category_names_fit_next_to_the_confusion_matrix(count: int) -> None:
    names = [*NAMES, *(f"category {number}" for number in range(count - len(NAMES)))]
    svg, width_px = matrix(names)
    view_box = [float(axis) for axis in ET.fromstring(svg).get("viewBox", "").split()]
    assert width_px == round(view_box[2] * 96 / 72)
    labels = [text for text in texts(svg) if "text-anchor: end" in text.get("style", "")]
    for name in names:
        lines = [text for text in labels if text.text and text.text in name and text.text.strip()]
        assert len(lines) >= 2
    for text in labels:
        x, y = (float(text.get(axis, "nan")) for axis in "xy")
        angle = float(re.findall(r"rotate\(([-\d.]+)", text.get("transform", "rotate(0"))[0])
        available = x if abs(angle) < 1 else view_box[3] - y
        assert width(str(text.text)) < available


def test_cells_show_counts_only_for_few_categories() -> None:
    few_texts, many_texts = (
        [str(text.text) for text in texts(matrix([f"n{n}" for n in range(count)])[0])] for count in (15, 16)
    )
    assert {"1", "17", "224"} <= set(few_texts)
    assert "0" not in few_texts  # an empty cell stays empty
    assert not any(text.isdecimal() for text in many_texts)


def test_characters_missing_in_the_font_cause_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matrix(NAMES)


@pytest.mark.parametrize("names", [NAMES, ["bag"]])
def test_each_category_has_a_label_and_each_panel_a_title(names: list[str]) -> None:
    values = np.linspace(0.1, 0.9, len(names))
    scores = np.stack([values, values - 0.1, values + 0.1], axis=1)
    scores[0, 1:] = np.nan
    svg, width_px = category_scores(names, {"first": scores, "second": -scores}, {"first": 0.5, "second": -0.5})
    drawn = [str(text.text) for text in texts(svg)]
    assert {"first", "second"} <= set(drawn)
    for name in names:
        assert "".join(name.split()) in "".join("".join(drawn).split())
    assert width_px == round(float(ET.fromstring(svg).get("viewBox", "").split()[2]) * 96 / 72)


def test_scores_without_any_value_are_drawn() -> None:
    svg, _ = category_scores(["bag"], {"AP": np.full((1, 3), np.nan)}, {"AP": np.nan})
    assert "bag" in [text.text for text in texts(svg)]
