"""Precision and recall of the codes within each Hamming radius, and precision at each rank."""

from collections import defaultdict

import numpy as np

from fashion_lsh.metrics.results import WHOLE_GALLERY
from fashion_lsh.report import curves, figures
from fashion_lsh.report.blocks import Block, Figure, Text
from fashion_lsh.report.hamming_pairs import NO_CODES, PairCounts
from fashion_lsh.report.phrases import one_line
from fashion_lsh.report.run_data import RunData

MIN_POINTS = 4  # a method with fewer cutoff ranks has no curve


def precision_at_ranks(run_data: RunData) -> list[Block]:
    """Plot precision at the first N hits in the whole gallery, by category relevance; empty without curves."""
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for row in run_data.results.select(metric="precision", relevance="category", scope=WHOLE_GALLERY, condition=""):
        points[row.method].append((row.k, row.value))
    lines = {method: tuple(np.array(sorted(values)).T) for method, values in points.items() if len(values) > MIN_POINTS}
    caption = "Precision among the first N hits in the whole gallery. Relevant: same category."
    return [Figure("precision-at-n.svg", figures.precision_at_ranks(lines), caption)] if lines else []


def retrieval(pairs: PairCounts | None) -> list[Block]:
    """Plot precision-recall curves by category relevance: all queries, the best and the worst category."""
    if pairs is None:
        return [NO_CODES]
    relevant, total = pairs.relevant["category"], pairs.total["category"]
    pr_aucs = list(curves.pr_auc_by_category(relevant, total, pairs.categories).items())
    if not pr_aucs:
        return [Text("Skipped: no query has a garment of its category in the gallery.", note=True)]
    query_masks = {"mean of all queries": np.full(len(total), True)}
    if len(pr_aucs) > 1:
        query_masks |= {
            f"{label} category": pairs.categories == pr_aucs[place][0] for label, place in (("best", 0), ("worst", -1))
        }
    pr_curves = {name: curves.recall_precision(relevant[rows], total[rows]) for name, rows in query_masks.items()}
    best, worst = (f"{one_line(pr_aucs[place][0])} ({pr_aucs[place][1]:.3f})" for place in (0, -1))
    caption = (
        "Relevant: same category. Each point is a Hamming radius, searched in the whole gallery. "
        f"Area under the curve: {curves.pr_auc(*pr_curves['mean of all queries']):.3f}; best category "
        f"{best}, worst {worst}."
    )
    return [Figure("precision-recall.svg", figures.precision_recall(pr_curves), caption + pairs.note)]
