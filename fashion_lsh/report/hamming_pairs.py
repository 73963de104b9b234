"""Pairs of a query and a gallery garment, counted by the Hamming distance of their codes."""

from typing import NamedTuple

import numpy as np

from fashion_lsh.evaluation.protocol import relevances
from fashion_lsh.index.distances import hamming
from fashion_lsh.metrics.ties import distance_histograms
from fashion_lsh.report.blocks import Text
from fashion_lsh.report.run_data import Codes, RunData
from fashion_lsh.report.tiles import evenly_spaced

MAX_PAIRS = 1 << 26  # limit that keeps the count within seconds
NO_CODES = Text("Skipped: with hash=none there are no codes.", note=True)


class PairCounts(NamedTuple):
    """Counts of pairs by Hamming distance.

    relevant: relevant pairs by category and, if known, by item, (q, L) int64 each; total: the same for all pairs of
    known relevance; categories: of the q counted queries, (q,) str; num_queries: number of queries in the run.
    """

    relevant: dict[str, np.ndarray]
    total: dict[str, np.ndarray]
    categories: np.ndarray
    num_queries: int

    @property
    def note(self) -> str:
        """Sentence to add to a caption if only a sample of the queries was counted."""
        num_counted = len(self.categories)
        return (
            f" From an even sample of {num_counted:,} of {self.num_queries:,} queries."
            if num_counted < self.num_queries
            else ""
        )


def count_pairs(run_data: RunData, codes: Codes) -> PairCounts:
    """Count pairs by Hamming distance; above MAX_PAIRS pairs, only of an even sample of the queries."""
    sampled = evenly_spaced(len(codes.query), MAX_PAIRS // max(1, len(codes.gallery)))
    query, gallery = (run_data.garments.take(rows) for rows in (codes.query_rows[sampled], codes.gallery_rows))
    distances = hamming(codes.query[sampled], codes.gallery)
    levels = run_data.bits + 1
    relevant, total = {}, {}
    for name, relevance in relevances(query, gallery).items():
        mask = (relevance.query[:, None] >= 0) & (relevance.gallery >= 0)
        relevant[name], total[name] = distance_histograms(distances, relevance.relevant(slice(None)), levels, mask)
    return PairCounts(relevant, total, query.column("category"), len(codes.query))
