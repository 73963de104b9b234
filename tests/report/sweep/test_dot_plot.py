"""Dot plots of the scores of a sweep."""

import re
from typing import Any

import pytest

from fashion_lsh.report.sweep.dot_plot import dot_plot

Row = dict[str, Any]


def texts(figure: bytes | None) -> list[str]:
    assert figure is not None
    return re.findall(r"<text[^>]*>([^<]*)</text>", figure.decode())


def row(score: float, **settings: object) -> Row:
    return {name.replace("_", "."): value for name, value in settings.items()} | {"top-1": score, "top-1 sd": 0.01}


def test_rows_are_labelled_by_the_settings_that_distinguish_the_rows() -> None:
    means = [
        row(0.5, hash="csq", hash_weight=0.0, search="rerank"),
        row(0.6, hash="csq", hash_weight=0.5, search="rerank"),
        row(0.7, hash="none", hash_weight=None, search="euclidean"),
    ]
    labels = texts(dot_plot(means, ["hash", "search", "hash.weight", "seeds"], ["top-1"]))
    assert {"csq · weight 0.0", "csq · weight 0.5", "none"} <= set(labels)
    assert "top-1" in labels


def test_a_numeric_setting_is_the_axis_with_one_curve_per_other_setting() -> None:
    means = [row(bits / 100, hash=name, bits=bits) for name in ("csq", "softmax") for bits in (12, 24, 256)]
    labels = texts(dot_plot(means, ["hash", "bits"], ["top-1"]))
    assert {"12", "24", "256", "bits", "csq", "softmax"} <= set(labels)
    few_labels = texts(dot_plot(means[:2], ["bits"], ["top-1"]))
    assert {"bits 12", "bits 24"} <= set(few_labels)  # fewer than MIN_POINTS points


@pytest.mark.parametrize(("means", "settings", "metrics"), [
    ([row(0.5, hash="csq")], ["hash"], ["top-1"]),
    ([row(0.5), row(0.6)], ["seeds"], ["top-1"]),
    ([row(0.5, hash="csq"), row(0.6, hash="none")], ["hash"], ["queries"]),
    ([row(0.5, hash="csq"), row(0.6, hash="none") | {"top-1": None}], ["hash"], ["top-1"]),
])  # fmt: skip
def test_incomparable_rows_are_not_plotted(means: list[Row], settings: list[str], metrics: list[str]) -> None:
    assert dot_plot(means, settings, metrics) is None


def test_the_first_three_metrics_are_plotted() -> None:
    names = ["top-1", "macro F1", "item mAP@100", "entropy"]
    means = [{"hash": name} | dict.fromkeys(names, 0.5) for name in ("csq", "none")]
    labels = texts(dot_plot(means, ["hash"], names))
    assert [name in labels for name in names] == [True, True, True, False]


def test_dot_plot_is_deterministic() -> None:
    means = [row(0.5, hash="csq"), row(0.6, hash="none")]
    assert dot_plot(means, ["hash"], ["top-1"]) == dot_plot(means, ["hash"], ["top-1"])
