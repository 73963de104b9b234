"""Per-query retrieval scores, with relevance by category or by item."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fashion_lsh.index.distances import hamming
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.quantizers import QuantizedVectors
from fashion_lsh.metrics.ranking import (
    CUTOFFS,
    RelevantRanks,
    Scores,
    block_slices,
    concatenate_scores,
    nan_without_relevant,
    score_ranks,
)
from fashion_lsh.metrics.ties import Levels, distance_histograms, score_levels

MAX_HITS = 100  # number of hits of a query that are searched and timed


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

    def take(self, queries: slice) -> "Relevance":
        """Return the labels of a slice of the queries, with the same gallery."""
        return Relevance(self.query[queries], self.gallery, self.not_indexed)

    @property
    def totals(self) -> np.ndarray:
        """Number of relevant garments, indexed or not: (Q,) int64."""
        ids = np.concatenate([self.gallery, self.not_indexed])
        counts = np.bincount(ids[ids >= 0], minlength=self.query.max(initial=0) + 1)
        return np.where(self.query >= 0, counts[self.query], 0)


def score_hits(hits: Hits, relevance: Relevance, cutoffs: Sequence[int] = CUTOFFS) -> Scores:
    """Score rankings without ties.

    Args:
        hits: (Q, K); rows are positions in `relevance.gallery`, padded with -1.
        relevance: relevance labels.
        cutoffs: cutoff ranks, ALL for all K hits.

    Returns:
        (Q,) float64 by metric and cutoff rank; see `metric_scores`.
    """
    hit_labels = np.where(hits.rows >= 0, relevance.gallery[hits.rows], -1)
    is_relevant = (hit_labels == relevance.query[:, None]) & (hit_labels >= 0)
    return score_ranks(RelevantRanks.from_ranking(is_relevant, relevance.totals), cutoffs)


def score_distances(
    distances: Callable[[slice], np.ndarray],
    num_levels: int,
    relevance: Relevance,
    find_probed: Callable[[slice], np.ndarray] | None,
    cutoffs: Sequence[int] = CUTOFFS,
) -> Scores:
    """Tie-aware scores of integer distances: the mean over all orders of equally distant rows.

    Args:
        distances: function of a slice of the queries that returns (q, N) int, 0..num_levels - 1.
        num_levels: number of possible distances.
        relevance: relevance labels.
        find_probed: function of a slice of the queries that returns (q, N) bool, True for rows in probed lists; None if
            all rows are probed.
        cutoffs: cutoff ranks, ALL for all rows in the probed lists.

    Returns:
        (Q,) float64 by metric and cutoff rank; see `score_levels`.
    """
    histograms = [(np.empty((0, num_levels), np.int64),) * 2]
    for block in block_slices(len(relevance.query), len(relevance.gallery)):
        is_probed = None if find_probed is None else find_probed(block)
        histograms.append(distance_histograms(distances(block), relevance.is_relevant(block), num_levels, is_probed))
    relevant_at, total_at = (np.concatenate(parts) for parts in zip(*histograms, strict=True))
    return score_levels(Levels(relevant_at, total_at, relevance.totals), cutoffs)


def score_codes(
    queries: np.ndarray,
    gallery: np.ndarray,
    relevance: Relevance,
    find_probed: Callable[[slice], np.ndarray] | None,
    cutoffs: Sequence[int] = CUTOFFS,
) -> Scores:
    """Tie-aware scores of Hamming distances between packed codes; see `score_distances`.

    queries: (Q, W) uint8, gallery: (N, W) uint8.
    """
    num_levels = 8 * queries.shape[1] + 1
    return score_distances(lambda block: hamming(queries[block], gallery), num_levels, relevance, find_probed, cutoffs)


def score_embeddings(
    queries: np.ndarray,
    gallery: np.ndarray,
    relevance: Relevance,
    find_probed: Callable[[slice], np.ndarray] | None,
    cutoffs: Sequence[int] = CUTOFFS,
) -> Scores:
    """Scores of exact Euclidean search; rows at equal distance are ranked by row.

    queries: (Q, D) float, gallery: (N, D) float; find_probed, cutoffs and result as for `score_distances`.

    Raises:
        ValueError: vectors are not finite, or of different lengths.
    """
    if queries.ndim != 2 or queries.shape[1:] != gallery.shape[1:]:
        raise ValueError(f"{queries.shape=}, {gallery.shape=}; pass (Q, D) and (N, D) vectors of one length D")
    for name, vectors in (("queries", queries), ("gallery", gallery)):
        is_invalid = ~np.isfinite(vectors).all(axis=1)
        if is_invalid.any():
            raise ValueError(
                f"{is_invalid.sum()} of {len(vectors)} vectors of {name} contain NaN or inf, for example in row "
                f"{is_invalid.argmax()}; remove these rows"
            )
    norms = np.einsum("nd,nd->n", gallery, gallery, dtype=np.float32)

    def distances(block: slice) -> np.ndarray:  # the norm of the query is the same for all rows
        return np.asarray(norms - 2 * (queries[block] @ gallery.T))

    return score_float_distances(distances, relevance, find_probed, cutoffs)


def score_quantized(
    queries: np.ndarray,
    gallery: QuantizedVectors,
    relevance: Relevance,
    find_probed: Callable[[slice], np.ndarray] | None,
    cutoffs: Sequence[int] = CUTOFFS,
) -> Scores:
    """Scores of exact Euclidean search of quantised vectors.

    queries: (Q, D) float32; find_probed, cutoffs and result as for `score_distances`.
    """
    return score_float_distances(
        lambda block: gallery.squared_distances(queries[block]), relevance, find_probed, cutoffs
    )


def score_float_distances(
    distances: Callable[[slice], np.ndarray],
    relevance: Relevance,
    find_probed: Callable[[slice], np.ndarray] | None,
    cutoffs: Sequence[int] = CUTOFFS,
) -> Scores:
    """Scores of distances with few ties; rows at equal distance are ranked by row.

    distances: function of a slice of the queries that returns (q, N) float32; find_probed, cutoffs and result as for
    `score_distances`.
    """
    blocks = []
    for block in block_slices(len(relevance.query), len(relevance.gallery)):
        block_distances = distances(block)
        is_relevant = relevance.is_relevant(block)
        if find_probed is not None:
            is_probed = find_probed(block)
            block_distances[~is_probed] = np.inf
            is_relevant &= is_probed
        blocks.append(score_ranks(_relevant_ranks(block_distances, is_relevant, relevance.totals[block]), cutoffs))
    return concatenate_scores(blocks)


def _relevant_ranks(distances: np.ndarray, is_relevant: np.ndarray, totals: np.ndarray) -> RelevantRanks:
    """Ranks of relevant rows by (distance, row).

    Sorting the distances and searching for those of the relevant rows is faster than a stable argsort.

    distances: (q, N) float32; is_relevant: (q, N) bool, True for relevant rows to rank; totals: (q,) int, R.
    """
    ranks = []
    for query_distances, mask in zip(distances, is_relevant, strict=True):
        rows = np.flatnonzero(mask)
        found, ordered = query_distances[rows], np.sort(query_distances)
        first, last = (np.searchsorted(ordered, found, side) for side in ("left", "right"))
        for tied in np.flatnonzero(last - first > 1):
            first[tied] += np.count_nonzero(query_distances[: rows[tied]] == found[tied])
        ranks.append(np.sort(first) + 1)
    return RelevantRanks(np.repeat(np.arange(len(ranks)), [len(each) for each in ranks]), np.concatenate(ranks), totals)


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
