"""SVG figures: labels, sizes and determinism."""

import xml.etree.ElementTree as ET
from typing import Any

import matplotlib as mpl
import numpy as np

from fashion_lsh.report import figures
from fashion_lsh.report.curves import BINS, reliability

TEXT = "{http://www.w3.org/2000/svg}text"


def texts(svg: bytes) -> list[ET.Element]:
    return list(ET.fromstring(svg).iter(TEXT))


def all_figures() -> dict[str, bytes]:
    points = np.array([[9.0, 0, 2.5], [19, 1, 1.5]])
    rng = np.random.default_rng(0)
    curve = (np.array([0.1, 1.0]), np.array([1.0, 0.2]))
    return {
        "learning": figures.learning({"train/loss": points, "val/accuracy": points[1:]}),
        "losses": figures.learning({"train/loss": points}),
        "precision": figures.precision_recall({"mean of all queries": curve, "best category": curve}),
        "hamming": figures.hamming([{"other category": np.array([1, 5, 2]), "same category": np.zeros(3, int)}]),
        "reliability": figures.reliability(
            reliability(rng.random(50), rng.random(50) < 0.5), np.sort(rng.random((BINS, 2)))
        ),
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
