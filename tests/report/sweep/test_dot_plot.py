"""Dot plots of the scores of a sweep."""

import re
from typing import Any

import pytest

from fashion_lsh.report.sweep.dot_plot import RATIO_METRICS, dot_plot
from fashion_lsh.report.sweep.metrics import METRICS
from fashion_lsh.report.sweep.rows import Estimate, SweepRow


def texts(figure: bytes | None) -> list[str]:
    assert figure is not None
    return re.findall(r"<text[^>]*>([^<]*)</text>", figure.decode())


def row(score: float | None, **settings: object) -> SweepRow:
    named = {name.replace("_", "."): value for name, value in settings.items()}
    return SweepRow("", named, {} if score is None else {"top-1": Estimate(score, sd=0.01)})


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
    ([row(0.5, hash="csq"), row(None, hash="none")], ["hash"], ["top-1"]),
])  # fmt: skip
def test_incomparable_rows_are_not_plotted(means: list[SweepRow], settings: list[str], metrics: list[str]) -> None:
    assert dot_plot(means, settings, metrics) is None


def test_the_first_three_metrics_are_plotted() -> None:
    names = ["top-1", "macro F1", "item mAP@100", "entropy"]
    metrics = dict.fromkeys(names, Estimate(0.5))
    means = [SweepRow("", {"hash": name}, metrics) for name in ("csq", "none")]
    labels = texts(dot_plot(means, ["hash"], names))
    assert [name in labels for name in names] == [True, True, True, False]


def test_dot_plot_is_deterministic() -> None:
    means = [row(0.5, hash="csq"), row(0.6, hash="none")]
    assert dot_plot(means, ["hash"], ["top-1"]) == dot_plot(means, ["hash"], ["top-1"])


def test_error_bars_are_intervals_or_standard_deviations() -> None:
    def plot(**bounds: Any) -> bytes | None:
        means = [SweepRow("", {"hash": name}, {"top-1": Estimate(0.5, **bounds)}) for name in ("csq", "none")]
        return dot_plot(means, ["hash"], ["top-1"])

    interval, deviation, neither = plot(low=0.4, high=0.6), plot(sd=0.1), plot()
    assert interval == deviation  # both from 0.4 to 0.6
    assert interval != neither


def test_metrics_between_0_and_1_are_metrics_of_the_table() -> None:
    assert {"top-1", "category mAP@100", "undetected"} <= set(RATIO_METRICS) < METRICS.keys()
    assert not {"FLOPs", "search ms", "queries"} & set(RATIO_METRICS)
