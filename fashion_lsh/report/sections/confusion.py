"""Confusion matrix of the categories."""

from collections.abc import Sequence

import numpy as np

from fashion_lsh.report import curves, figures
from fashion_lsh.report.blocks import Block, Figure, Table, Text
from fashion_lsh.report.phrases import one_line, percent
from fashion_lsh.report.run_data import RunData

MAX_CONFUSIONS = 10  # maximum number of rows in the table of confusions
UNKNOWN_CATEGORIES = Text(
    "Skipped: the query categories are not in the training data, so no prediction can be correct.", note=True
)


def confusion(run_data: RunData) -> list[Block]:
    """Plot the confusion matrix of the queries, and list the most frequent confusions."""
    if not run_data.has_known_categories:
        return [UNKNOWN_CATEGORIES]
    true_categories, predicted, names = (
        run_data.column("category"),
        run_data.column("predicted"),
        run_data.garments.categories,
    )
    counts, shown = curves.confusion(true_categories, predicted, names), [one_line(name) for name in names]
    svg, wide = figures.confusion(counts, curves.row_ratios(counts), shown)
    cells = "numbers: queries" if len(names) <= figures.MAX_ANNOTATED else "all predictions are in queries.parquet"
    caption = f"Rows: true category; columns: predicted category; colour: fraction of the row; {cells}."
    matrix = Figure("confusion.svg", svg, caption, wide)
    rows = _top_confusions(counts, shown)
    if not rows:
        return [matrix, Text("No query was assigned to a wrong category.")]
    return [matrix, Table(["true", "predicted", "queries", "percentage of category"], rows)]


def _top_confusions(counts: np.ndarray, names: Sequence[str]) -> list[list[str]]:
    """Table of the most frequent confusions: true category, predicted category, queries, percentage of category."""
    confusions = np.argwhere((counts > 0) & ~np.eye(len(counts), dtype=bool))
    most_frequent = sorted(map(tuple, confusions), key=lambda cell: (-counts[cell], cell))[:MAX_CONFUSIONS]
    ratios = curves.row_ratios(counts)
    return [[names[cell[0]], names[cell[1]], f"{counts[cell]:,}", percent(ratios[cell])] for cell in most_frequent]
