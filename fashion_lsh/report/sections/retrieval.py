"""Precision and recall of the codes within each Hamming radius."""

import numpy as np

from fashion_lsh.report import curves, figures
from fashion_lsh.report.blocks import Block, Figure, Text
from fashion_lsh.report.hamming_pairs import NO_CODES, Pairs
from fashion_lsh.report.phrases import one_line


def retrieval(pairs: Pairs | None) -> list[Block]:
    """Plot precision against recall by category: of all queries, of the best and of the worst category."""
    if pairs is None:
        return [NO_CODES]
    relevant, total = pairs.relevant["category"], pairs.total["category"]
    areas = list(curves.areas(relevant, total, pairs.categories).items())
    if not areas:
        return [Text("Left out: no query has a garment of its category in the gallery.", note=True)]
    asked = {"mean of all queries": np.full(len(total), True)}
    if len(areas) > 1:
        asked |= {f"{end} category": pairs.categories == areas[place][0] for end, place in (("best", 0), ("worst", -1))}
    drawn = {name: curves.recall_precision(relevant[rows], total[rows]) for name, rows in asked.items()}
    best, worst = (f"{one_line(areas[place][0])} ({areas[place][1]:.3f})" for place in (0, -1))
    caption = (
        "Relevant: same category. Each point is a Hamming radius over the whole gallery, all rows of a distance "
        f"together. Area under the curve: {curves.area(*drawn['mean of all queries']):.3f}; best category {best}, "
        f"worst {worst}."
    )
    return [Figure("precision-recall.svg", figures.precision_recall(drawn), caption + pairs.part)]
