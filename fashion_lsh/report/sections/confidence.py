"""Reliability diagram of the category head."""

import numpy as np

from fashion_lsh.metrics.statistics import item_interval
from fashion_lsh.report import curves, figures
from fashion_lsh.report.blocks import Block, Figure, Table, Text
from fashion_lsh.report.run_data import RunData
from fashion_lsh.report.sections.confusion import UNKNOWN_CATEGORIES


def confidence(run_data: RunData) -> list[Block]:
    """Plot accuracy against confidence on the queries, with the expected calibration error; tabulate the bins."""
    if not run_data.has_known_categories:
        return [UNKNOWN_CATEGORIES]
    is_detected = run_data.column("predicted") != ""
    if not is_detected.any():
        return [Text("Skipped: nothing was detected in any query.", note=True)]
    is_correct = (run_data.column("category") == run_data.column("predicted"))[is_detected]
    probabilities = run_data.column("confidence")[is_detected]
    diagram = curves.reliability(probabilities, is_correct)
    bins = curves.confidence_bins(probabilities)
    intervals = _intervals(bins, is_correct.astype(float), run_data.column("item")[is_detected])
    caption = (
        f"Expected calibration error (ECE) on the queries: {diagram.error:.3f} ({curves.BINS} equal-width bins); mean "
        f"confidence {probabilities.mean():.3f}, accuracy {is_correct.mean():.3f}. Below the diagonal, the classifier "
        "is over-confident. Error bars: 95 % confidence intervals (bootstrap over items). The temperature was fitted "
        "on val, not on these queries."
    ) + (f" Excludes {(~is_detected).sum():,} queries without a detection." if not is_detected.all() else "")
    return [Figure("reliability.svg", figures.reliability(diagram, intervals), caption), _table(diagram, intervals)]


def _intervals(bins: np.ndarray, is_correct: np.ndarray, items: np.ndarray) -> np.ndarray:
    """95 % intervals of the accuracy by bin, (BINS, 2) float; NaN for empty bins."""
    intervals = np.full((curves.BINS, 2), np.nan)
    for index in np.unique(bins):
        intervals[index] = item_interval(is_correct[bins == index], items[bins == index])
    return intervals


def _table(diagram: curves.Reliability, intervals: np.ndarray) -> Table:
    rows = [
        [f"{index / curves.BINS:.3f} to {(index + 1) / curves.BINS:.3f}", f"{count:,}",
         f"{diagram.confidence[index]:.3f}",
         f"{diagram.accuracy[index]:.3f} [{intervals[index, 0]:.3f}, {intervals[index, 1]:.3f}]"]
        for index, count in enumerate(diagram.counts) if count
    ]  # fmt: skip
    return Table(["confidence", "queries", "mean confidence", "accuracy"], rows, summary="Bins of the diagram")
