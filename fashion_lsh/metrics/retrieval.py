"""Per-query retrieval scores, with relevance by category or by item."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fashion_lsh.index.distances import hamming
from fashion_lsh.index.hits import Hits
from fashion_lsh.metrics.ranking import Scores, average_precision, block_slices, nan_without_relevant, precision, recall
from fashion_lsh.metrics.ties import (
    TiedScores,
    distance_histograms,
    tied_average_precision,
    tied_precision,
    tied_recall,
)

MAX_K = 100  # cutoff rank of map@100, and therefore the number of hits to search


@dataclass(frozen=True)
class Relevance:
    """Relevance labels: a gallery row is relevant to a query with the same label, unless the label is -1.

    Attributes:
        query: (Q,) int64, labels of the queries.
        gallery: (N,) int64, labels of the gallery rows.
        not_indexed: (L,) int64, labels of garments missing from the gallery, which count as relevant but not retrieved.
    """

    query: np.ndarray
    gallery: np.ndarray
    not_indexed: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    @classmethod
    def from_names(
        cls, query_names: np.ndarray, gallery_names: np.ndarray, not_indexed_names: np.ndarray | None = None
    ) -> "Relevance":
        """Create labels from names of queries (Q,), of gallery rows (N,) and of garments not indexed (L,), str.

        Rows with the name "" are not relevant to any query.
        """
        not_indexed = np.empty(0, dtype=object) if not_indexed_names is None else not_indexed_names
        names = np.concatenate([query_names, gallery_names, not_indexed]).astype(str)
        _, ids = np.unique(names, return_inverse=True)
        ids = np.where(names == "", -1, ids)
        return cls(*np.split(ids, np.cumsum([len(query_names), len(gallery_names)])))

    def is_relevant(self, queries: slice) -> np.ndarray:
        """Relevance of all gallery rows to a slice of the queries: (q, N) bool."""
        query = self.query[queries, None]
        return np.asarray((query == self.gallery) & (query >= 0))

    @property
    def totals(self) -> np.ndarray:
        """Number of relevant garments, indexed or not: (Q,) int64."""
        ids = np.concatenate([self.gallery, self.not_indexed])
        counts = np.bincount(ids[ids >= 0], minlength=self.query.max(initial=0) + 1)
        return np.where(self.query >= 0, counts[self.query], 0)


def score_hits(hits: Hits, relevance: Relevance) -> Scores:
    """Score rankings without ties: the best and worst scores equal the expected score.

    Args:
        hits: (Q, K); rows are positions in `relevance.gallery`, padded with -1.
        relevance: relevance labels.

    Returns:
        (Q,) float64 by metric and cutoff rank; see `score_distances`.
    """
    hit_labels = np.where(hits.rows >= 0, relevance.gallery[hits.rows], -1)
    is_relevant = (hit_labels == relevance.query[:, None]) & (hit_labels >= 0)
    ap = average_precision(is_relevant, relevance.totals, MAX_K)
    scores = {(name, MAX_K): ap for name in ("map", "map_best", "map_worst")}
    scores |= {("recall", k): recall(is_relevant, relevance.totals, k) for k in (1, 10)}
    return scores | {("precision", 10): precision(is_relevant, relevance.totals, 10)}


def score_distances(
    distances: Callable[[slice], np.ndarray],
    num_levels: int,
    relevance: Relevance,
    find_probed: Callable[[slice], np.ndarray] | None,
) -> Scores:
    """Tie-aware scores of integer distances: the mean over all orders of equally distant rows.

    Args:
        distances: function of a slice of the queries that returns (q, N) int, 0..num_levels - 1.
        num_levels: number of possible distances.
        relevance: relevance labels.
        find_probed: function of a slice of the queries that returns (q, N) bool, True for rows in probed lists; None if
            all rows are probed.

    Returns:
        (Q,) float64 by metric and cutoff rank: `map`, `map_best`, `map_worst` at 100, `recall` at 1 and 10, `precision`
        at 10.
    """
    histograms = []
    for block in block_slices(len(relevance.query), len(relevance.gallery)):
        is_probed = None if find_probed is None else find_probed(block)
        histograms.append(distance_histograms(distances(block), relevance.is_relevant(block), num_levels, is_probed))
    relevant_at, total_at = (np.concatenate(parts) for parts in zip(*histograms, strict=True))
    ap = tied_average_precision(relevant_at, total_at, relevance.totals, MAX_K)
    scores = {("map", MAX_K): ap.expected, ("map_best", MAX_K): ap.best, ("map_worst", MAX_K): ap.worst}
    tied_scores: dict[tuple[str, int], TiedScores] = {
        ("recall", k): tied_recall(relevant_at, total_at, relevance.totals, k) for k in (1, 10)
    } | {("precision", 10): tied_precision(relevant_at, total_at, relevance.totals, 10)}
    return scores | {column: tied.expected for column, tied in tied_scores.items()}


def score_codes(
    queries: np.ndarray, gallery: np.ndarray, relevance: Relevance, find_probed: Callable[[slice], np.ndarray] | None
) -> Scores:
    """Tie-aware scores of Hamming distances between packed codes; see `score_distances`.

    queries: (Q, W) uint8, gallery: (N, W) uint8.
    """
    num_levels = 8 * queries.shape[1] + 1
    return score_distances(lambda block: hamming(queries[block], gallery), num_levels, relevance, find_probed)


def precision_at_radius(queries: np.ndarray, gallery: np.ndarray, relevance: Relevance, radius: int) -> np.ndarray:
    """Precision of hash lookup: ratio of relevant rows among the rows within a Hamming radius.

    The precision is 0 if no row is within the radius, and NaN if no garment is relevant.

    queries: packed codes (Q, W) uint8, gallery: packed codes (N, W) uint8 -> (Q,) float64.
    """
    num_within, num_relevant = np.zeros((2, len(queries)))
    for block in block_slices(len(queries), len(gallery)):
        is_within = hamming(queries[block], gallery) <= radius
        num_within[block], num_relevant[block] = (
            is_within.sum(axis=1),
            (is_within & relevance.is_relevant(block)).sum(axis=1),
        )
    return nan_without_relevant(num_relevant / np.maximum(num_within, 1), relevance.totals)
