"""How near in Hamming distance lies what belongs together: a report's sections on the codes."""

from typing import NamedTuple

import numpy as np

from fashion_lsh.evaluation.protocol import truths
from fashion_lsh.evaluation.ties import distance_histograms
from fashion_lsh.report import curves, figures
from fashion_lsh.report.blocks import Block, Figure, Text
from fashion_lsh.report.findings import Codes, Findings
from fashion_lsh.report.words import one_line
from fashion_lsh.retrieval.codes import hamming

NO_CODES = Text("Left out: with hash=none there are no codes.", note=True)


class Pairs(NamedTuple):
    """Pairs of a query and a gallery garment, counted by Hamming distance.

    relevant: by category and, where known, by item, (q, L) int64 each; total: all pairs, likewise; categories: of the
    q queries that were counted, str; asked: how many there are.
    """

    relevant: dict[str, np.ndarray]
    total: np.ndarray
    categories: np.ndarray
    asked: int

    @property
    def part(self) -> str:
        """What a caption says where not all queries were counted."""
        counted = len(self.categories)
        return f" {counted:,} of the {self.asked:,} queries, evenly chosen." if counted < self.asked else ""


def count_pairs(found: Findings, codes: Codes) -> Pairs:
    """Count pairs by Hamming distance; of many queries every so-manyth, so that at most PAIRS pairs are compared."""
    some = curves.evenly(len(codes.query), curves.PAIRS // max(1, len(codes.gallery)))
    query, gallery = (found.garments.take(rows) for rows in (codes.query_rows[some], codes.gallery_rows))
    apart, levels = hamming(codes.query[some], codes.gallery), found.config["hash"]["bits"] + 1
    relevant, total = {}, np.empty(0)
    for name, truth in truths(query, gallery).items():
        relevant[name], total = distance_histograms(apart, truth.relevant(slice(None)), levels)
    return Pairs(relevant, total, query.column("category"), len(codes.query))


def retrieval(pairs: Pairs | None) -> list[Block]:
    """Precision and recall by category within each Hamming radius."""
    if pairs is None:
        return [NO_CODES]
    relevant, total = pairs.relevant["category"], pairs.total
    areas = list(curves.areas(relevant, total, pairs.categories).items())
    if not areas:
        return [Text("Left out: no query has a garment of its category in the gallery.", note=True)]
    asked = {"mean of all queries": np.full(len(total), True)}
    if len(areas) > 1:
        asked |= {f"{end} category": pairs.categories == areas[place][0] for end, place in (("best", 0), ("worst", -1))}
    drawn = {name: curves.precision_recall(relevant[rows], total[rows]) for name, rows in asked.items()}
    best, worst = (f"{one_line(areas[place][0])} ({areas[place][1]:.3f})" for place in (0, -1))
    caption = (
        "Relevant: same category. Each point is a Hamming radius over the whole gallery, all rows of a distance "
        f"together. Area under the curve: {curves.area(*drawn['mean of all queries']):.3f}; best category {best}, "
        f"worst {worst}."
    )
    return [Figure("precision-recall.svg", figures.precision_recall(drawn), caption + pairs.part)]


def distances(pairs: Pairs | None) -> list[Block]:
    """How far apart codes are that belong together, and those that do not."""
    if pairs is None:
        return [NO_CODES]
    same = pairs.relevant["category"].sum(axis=0)
    counts = {"other category": pairs.total.sum(axis=0) - same, "same category": same}
    if "item" in pairs.relevant:
        counts["same item"] = pairs.relevant["item"].sum(axis=0)
    means = [f"{name} {curves.mean_distance(found):.1f}" for name, found in counts.items() if found.any()]
    caption = f"Pairs of a query and a gallery garment by their distance. Mean distances in bits: {', '.join(means)}."
    return [Figure("distances.svg", figures.hamming(counts), caption + pairs.part)]
