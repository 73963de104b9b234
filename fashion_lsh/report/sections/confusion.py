"""Confusion matrix of the categories."""

from collections.abc import Sequence

import numpy as np

from fashion_lsh.report import curves, figures
from fashion_lsh.report.blocks import Block, Figure, Table, Text
from fashion_lsh.report.phrases import one_line
from fashion_lsh.report.run_data import Findings

MIXED_UP = 10  # pairs of categories that are named
UNNAMED = Text("Left out: no query is of a category that was trained, so the model can name none right.", note=True)


def confusion(found: Findings) -> list[Block]:
    """Plot the confusion matrix of the queries, and list its most frequent mistakes."""
    if not found.named:
        return [UNNAMED]
    true, seen, names = found.column("category"), found.column("predicted"), found.garments.categories
    counts, shown = curves.confusion(true, seen, names), [one_line(name) for name in names]
    svg, wide = figures.confusion(counts, curves.shares(counts), shown)
    cells = "numbers: queries" if len(names) <= figures.COUNTED else "the counts are in queries.parquet"
    caption = f"True category (row) and what it was seen as (column); colour: share of the row; {cells}."
    matrix = Figure("confusion.svg", svg, caption, wide)
    rows = _mixed_up(counts, shown)
    if not rows:
        return [matrix, Text("No query was seen as another category.")]
    return [matrix, Table(["is", "seen as", "queries", "share of the category"], rows)]


def _mixed_up(counts: np.ndarray, names: Sequence[str]) -> list[list[str]]:
    """The most frequent mistakes: true category, predicted category, queries, ratio of the category."""
    wrong = np.argwhere((counts > 0) & ~np.eye(len(counts), dtype=bool))
    common = sorted(map(tuple, wrong), key=lambda cell: (-counts[cell], cell))[:MIXED_UP]
    shares = curves.shares(counts)
    return [[names[cell[0]], names[cell[1]], f"{counts[cell]:,}", f"{shares[cell]:.1%}"] for cell in common]
