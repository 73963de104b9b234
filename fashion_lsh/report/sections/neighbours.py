"""How near in Hamming distance lies what belongs together: a report's sections on the codes."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from fashion_lsh.evaluation.protocol import truths
from fashion_lsh.index.codes import hamming
from fashion_lsh.metrics.ties import distance_histograms
from fashion_lsh.report import curves, figures
from fashion_lsh.report.blocks import Block, Figure, Table, Text
from fashion_lsh.report.phrases import one_line
from fashion_lsh.report.run_data import Codes, Findings
from fashion_lsh.report.tiles import evenly

BITS = {  # measures of the gallery's codes: title, format, what it says
    "entropy": ("entropy", ".3f", "mean of the bits: 1 each halves the garments, 0 each is constant"),
    "balance": ("balance", ".3f", "mean of |share of ones - 1/2|: 0 each halves the garments, 0.5 each is constant"),
    "correlation": ("correlation", ".3f", "mean |Pearson| of two bits: 0 none repeats another"),
    "distinct": ("distinct codes", ",.0f", "different ones"),
    "distinct_share": ("distinct share", ".3f", "the same, of all garments"),
    "constant_bits": ("constant bits", ",.0f", "bits that are the same in all codes"),
    "quantisation_error": ("quantisation error", ".3f", "1 - cosine of activations and bits: 0 they are bits already"),
}
NO_CODES = Text("Left out: with hash=none there are no codes.", note=True)


class Pairs(NamedTuple):
    """Pairs of a query and a gallery garment, counted by Hamming distance.

    relevant: by category and, where known, by item, (q, L) int64 each; total: all pairs of which that is known,
    likewise; categories: of the q queries that were counted, str; asked: how many there are.
    """

    relevant: dict[str, np.ndarray]
    total: dict[str, np.ndarray]
    categories: np.ndarray
    asked: int

    @property
    def part(self) -> str:
        """What a caption says where not all queries were counted."""
        counted = len(self.categories)
        return f" {counted:,} of the {self.asked:,} queries, evenly chosen." if counted < self.asked else ""


def count_pairs(found: Findings, codes: Codes) -> Pairs:
    """Count pairs by Hamming distance; of many queries every so-manyth, so that at most PAIRS pairs are compared."""
    some = evenly(len(codes.query), curves.PAIRS // max(1, len(codes.gallery)))
    query, gallery = (found.garments.take(rows) for rows in (codes.query_rows[some], codes.gallery_rows))
    apart = hamming(codes.query[some], codes.gallery)
    levels = found.bits + 1
    relevant, total = {}, {}
    for name, truth in truths(query, gallery).items():
        known = (truth.query[:, None] >= 0) & (truth.gallery >= 0)
        relevant[name], total[name] = distance_histograms(apart, truth.relevant(slice(None)), levels, known)
    return Pairs(relevant, total, query.column("category"), len(codes.query))


def retrieval(pairs: Pairs | None) -> list[Block]:
    """Precision and recall by category within each Hamming radius."""
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


def distances(pairs: Pairs | None, metrics: Mapping[str, float]) -> list[Block]:
    """How far apart codes are that belong together, and those that do not; how much their bits say."""
    if pairs is None:
        return [NO_CODES]
    panels = []
    for name, relevant in pairs.relevant.items():
        same = relevant.sum(axis=0)
        panels.append({f"other {name}": pairs.total[name].sum(axis=0) - same, f"same {name}": same})
    counted = [(name, found) for panel in panels for name, found in panel.items() if found.any()]
    means = [f"{name} {curves.mean_distance(found):.1f}" for name, found in counted]
    caption = f"Pairs of a query and a gallery garment by their distance. Mean distances in bits: {', '.join(means)}."
    figure = Figure("distances.svg", figures.hamming(panels), caption + pairs.part)
    rows = [[title, f"{metrics[f'codes/{name}']:{form}}", what] for name, (title, form, what) in BITS.items()
            if f"codes/{name}" in metrics]  # fmt: skip
    return [figure, *([Table(["bits of the gallery's codes", "", ""], rows)] if rows else [])]
