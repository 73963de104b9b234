"""Pairs of a query and a gallery garment, counted by the Hamming distance of their codes."""

from typing import NamedTuple

import numpy as np

from fashion_lsh.evaluation.protocol import truths
from fashion_lsh.index.distances import hamming
from fashion_lsh.metrics.ties import distance_histograms
from fashion_lsh.report.blocks import Text
from fashion_lsh.report.run_data import Codes, Findings
from fashion_lsh.report.tiles import evenly

PAIRS = 1 << 26  # codes compared for a figure at most: some seconds
NO_CODES = Text("Left out: with hash=none there are no codes.", note=True)


class Pairs(NamedTuple):
    """Counts of pairs by Hamming distance.

    relevant: by category and, where known, by item, (q, L) int64 each; total: all pairs whose relevance is known,
    likewise; categories: of the q queries that were counted, str; asked: number of queries in the run.
    """

    relevant: dict[str, np.ndarray]
    total: dict[str, np.ndarray]
    categories: np.ndarray
    asked: int

    @property
    def part(self) -> str:
        """Addition to a caption where not all queries were counted."""
        counted = len(self.categories)
        return f" {counted:,} of the {self.asked:,} queries, evenly chosen." if counted < self.asked else ""


def count_pairs(found: Findings, codes: Codes) -> Pairs:
    """Count pairs by Hamming distance; of many queries an even sample, so that at most PAIRS pairs are compared."""
    some = evenly(len(codes.query), PAIRS // max(1, len(codes.gallery)))
    query, gallery = (found.garments.take(rows) for rows in (codes.query_rows[some], codes.gallery_rows))
    apart = hamming(codes.query[some], codes.gallery)
    levels = found.bits + 1
    relevant, total = {}, {}
    for name, truth in truths(query, gallery).items():
        known = (truth.query[:, None] >= 0) & (truth.gallery >= 0)
        relevant[name], total[name] = distance_histograms(apart, truth.relevant(slice(None)), levels, known)
    return Pairs(relevant, total, query.column("category"), len(codes.query))
