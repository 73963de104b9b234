"""SVG figures: labels, sizes and determinism."""

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
    "a name that is longer than a single line",
    "$x$ & <y>",
]


def texts(svg: bytes) -> list[ET.Element]:
    return list(ET.fromstring(svg).iter(TEXT))


def width(line: str) -> float:
    """Width in points of 9-point DejaVu Sans; characters missing in the font count as squares."""
    font = ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), 900)
    return sum(9.0 if ord(character) > 0x3000 else font.getlength(character) / 100 for character in line)


def matrix(names: list[str]) -> tuple[bytes, int]:
    counts = np.arange(len(names) ** 2).reshape(len(names), len(names))
    return figures.confusion(counts, counts / counts.sum(axis=1, keepdims=True), names)


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


def all_figures() -> dict[str, bytes]:
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


def test_axes_and_lines_are_labelled() -> None:
    texts_by_figure: dict[str, Any] = {
        name: {str(text.text) for text in texts(svg)} for name, svg in all_figures().items()
    }
    assert texts_by_figure["learning"] > {"loss", "accuracy"}
    assert "accuracy" not in texts_by_figure["losses"]
    assert texts_by_figure["precision"] > {"recall", "precision", "mean of all queries", "best category"}
    assert texts_by_figure["hamming"] > {"other category", "same category"}
    assert any("Hamming distance" in text for text in texts_by_figure["hamming"])
    assert texts_by_figure["reliability"] > {"accuracy", "queries"}
    assert any("confidence" in text for text in texts_by_figure["reliability"])


def test_figures_are_deterministic_and_leave_rcparams_unchanged() -> None:
    before = dict(mpl.rcParams)
    assert all_figures() == all_figures()
    assert dict(mpl.rcParams) == before


def test_characters_missing_in_the_font_cause_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        matrix(NAMES)
