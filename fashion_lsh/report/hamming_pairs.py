"""Pairs of a query and a gallery garment, counted by the Hamming distance of their codes."""

from typing import NamedTuple

import numpy as np

from fashion_lsh.evaluation.scoring import relevance_by_column
from fashion_lsh.index.distances import hamming
from fashion_lsh.io.rows import evenly_spaced
from fashion_lsh.metrics.ties import distance_histograms
from fashion_lsh.report.blocks import Text
from fashion_lsh.report.run_data import Codes, RunData

MAX_PAIRS = 1 << 26  # counting more pairs takes more than a few seconds
NO_CODES = Text("Skipped: with hash=none there are no codes.", note=True)


class PairCounts(NamedTuple):
    """Counts of pairs of q queries by Hamming distance, with L = bits + 1 distances.

    Attributes:
        relevant: (q, L) int64 counts of relevant pairs, by `category` and, if items are known, by `item`.
        total: (q, L) int64 counts of all pairs with known relevance, with the same keys.
        categories: (q,) str, categories of the counted queries.
        num_queries: number of queries in the run, counted or not.
    """

    relevant: dict[str, np.ndarray]
    total: dict[str, np.ndarray]
    categories: np.ndarray
    num_queries: int

    @property
    def note(self) -> str:
        """Sentence for captions that names the sample of queries; empty if all queries were counted."""
        num_counted = len(self.categories)
        return (
            f" From {num_counted:,} of the {self.num_queries:,} queries, evenly spaced."
            if num_counted < self.num_queries
            else ""
        )


def count_pairs(run_data: RunData, codes: Codes) -> PairCounts:
    """Count pairs by Hamming distance; with more than MAX_PAIRS pairs, only those of evenly spaced queries."""
    sampled_rows = evenly_spaced(len(codes.query), MAX_PAIRS // max(1, len(codes.gallery)))
    query, gallery = codes.query_garments.take(sampled_rows), codes.gallery_garments
    distances = hamming(codes.query[sampled_rows], codes.gallery)
    num_distances = run_data.bits + 1
    relevant, total = {}, {}
    for name, relevance in relevance_by_column(query, gallery).items():
        is_known = (relevance.query[:, None] >= 0) & (relevance.gallery >= 0)
        relevant[name], total[name] = distance_histograms(
            distances, relevance.is_relevant(slice(None)), num_distances, is_known
        )
    return PairCounts(relevant, total, query.column("category"), len(codes.query))
