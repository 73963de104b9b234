"""Tie-aware ranking metrics.

Rows at equal Hamming distance have no defined order, so the score of a ranking would depend on the library that orders
them. The `tied_*` functions take the number of rows and of relevant rows at each distance, and return the exact
expectation over all orders of tied rows, and the best and worst case. The formulas follow F. McSherry and M. Najork,
"Computing information retrieval performance measures efficiently in the presence of tied scores", ECIR 2008.

For R, and for scores of NaN and 0, see `ranking.py`.
"""

from typing import NamedTuple

import numpy as np

from fashion_lsh.metrics.ranking import blocks, check_totals, nan_without_relevant


class TiedScores(NamedTuple):
    """Scores of rankings with ties, (Q,) float64 each: worst <= expected <= best."""

    expected: np.ndarray  # mean over all orders of tied rows
    best: np.ndarray  # relevant rows first among tied rows
    worst: np.ndarray  # relevant rows last among tied rows


def tied_average_precision(
    relevant_at: np.ndarray, total_at: np.ndarray, total_relevant: np.ndarray, k: int
) -> TiedScores:
    """AP@k (see `average_precision`) over all orders of tied rows: exact mean, best, worst.  R = 0: NaN.

    A level (one distance) has n rows, r of them relevant, after N nearer rows, c of them relevant. The row at rank
    i = N + j is relevant with probability r/n; the expected number of relevant rows before it in the level is then
    (j - 1)(r - 1)/(n - 1). With s = (r - 1)/(n - 1), rank i adds r/n · (1 + c + (i - N - 1)s) / i. With
    m = min(n, k - N) ranks up to k, and harmonic numbers H, the level adds
    r/n · ((1 + c - (N + 1)s)(H[N + m] - H[N]) + ms).

    Args:
        relevant_at: (Q, L) int64, relevant rows at each distance, nearest first; only rows that can be retrieved.
        total_at: (Q, L) int64, all rows at each distance, likewise.
        total_relevant: (Q,) int, R, including relevant rows that cannot be retrieved.
        k: cutoff rank, at least 1.

    Returns:
        Expected, best and worst score, (Q,) float64 each.
    """
    _check_histograms(relevant_at, total_at, total_relevant, k)
    max_rank = min(k, int(total_at.sum(axis=1).max(initial=0)))
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, max_rank + 1))])
    sums = np.zeros((3, len(total_at)))
    for block in blocks(*total_at.shape):
        sums[:, block] = _tied_sums(relevant_at[block], total_at[block], harmonic)
    expected, best, worst = sums / np.maximum(np.minimum(total_relevant, k), 1)
    expected = np.clip(expected, worst, best)  # rounding errors
    return TiedScores(*(nan_without_relevant(scores, total_relevant) for scores in (expected, best, worst)))


def tied_recall(relevant_at: np.ndarray, total_at: np.ndarray, total_relevant: np.ndarray, k: int) -> TiedScores:
    """recall@k over all orders of tied rows: P(a relevant row among the first k), best, worst.  R = 0: NaN.

    Args as for `tied_average_precision`: (Q, L) int64, (Q, L) int64 and (Q,) int -> (Q,) float64 each.
    """
    _check_histograms(relevant_at, total_at, total_relevant, k)
    boundary = _boundary_level(relevant_at, total_at, k)
    expected = 1 - np.where(boundary.hits > 0, 0.0, _probability_of_none(boundary))
    scores = (expected, boundary.max_hits > 0, boundary.min_hits > 0)
    return TiedScores(*(nan_without_relevant(values, total_relevant) for values in scores))


def tied_precision(relevant_at: np.ndarray, total_at: np.ndarray, total_relevant: np.ndarray, k: int) -> TiedScores:
    """precision@k over all orders of tied rows: exact mean, best, worst.  R = 0: NaN.

    Args as for `tied_average_precision`: (Q, L) int64, (Q, L) int64 and (Q,) int -> (Q,) float64 each.
    """
    _check_histograms(relevant_at, total_at, total_relevant, k)
    boundary = _boundary_level(relevant_at, total_at, k)
    expected = boundary.hits + boundary.num_ranks * boundary.relevant / np.maximum(boundary.rows, 1)
    return TiedScores(
        *(nan_without_relevant(hits / k, total_relevant) for hits in (expected, boundary.max_hits, boundary.min_hits))
    )


def distance_histograms(
    distances: np.ndarray, relevant: np.ndarray, levels: int, probed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Count relevant rows and all rows at each distance: the input of the `tied_*` functions.

    Args:
        distances: (Q, N) int, 0..levels - 1 where probed; any value elsewhere.
        relevant: (Q, N) bool.
        levels: number of possible distances, bits + 1 for Hamming.
        probed: (Q, N) bool, rows in the probed lists; None: all.

    Returns:
        relevant_at and total_at, (Q, levels) int64 each.

    Raises:
        ValueError: wrong shape or dtype, or a probed distance is out of range.
    """
    _check_distances(distances, relevant, probed)
    relevant_at, total_at = np.zeros((2, len(distances), levels), dtype=np.int64)
    for block in blocks(*distances.shape):
        block_distances, block_relevant = distances[block], relevant[block]
        if probed is not None:
            block_distances, block_relevant = (
                np.where(probed[block], block_distances, 0),
                block_relevant & probed[block],
            )
        if block_distances.size and not 0 <= block_distances.min() <= block_distances.max() < levels:
            raise ValueError(
                f"{levels=}: distances range from {block_distances.min()} to {block_distances.max()}; "
                "pass levels = bits + 1"
            )
        shape = total_at[block].shape
        bins = block_distances + levels * np.arange(shape[0])[:, None]  # (q, N) int64: `levels` bins per query
        total_at[block] = np.bincount(bins.ravel(), minlength=shape[0] * levels).reshape(shape)
        relevant_at[block] = np.bincount(bins[block_relevant], minlength=shape[0] * levels).reshape(shape)
        if probed is not None:
            total_at[block, 0] -= np.count_nonzero(~probed[block], axis=1)  # counted at distance 0
    return relevant_at, total_at


class _BoundaryLevel(NamedTuple):
    """Level that contains rank k (the last level if fewer rows are retrieved), (Q,) int64 each."""

    hits: np.ndarray  # relevant rows at nearer levels, which are always among the first k
    num_ranks: np.ndarray  # ranks up to k within this level
    relevant: np.ndarray  # relevant rows at this level
    rows: np.ndarray  # rows at this level

    @property
    def max_hits(self) -> np.ndarray:
        """Relevant rows among the first k, with relevant rows first among tied rows: (Q,) int64."""
        return np.asarray(self.hits + np.minimum(self.num_ranks, self.relevant))

    @property
    def min_hits(self) -> np.ndarray:
        """Relevant rows among the first k, with relevant rows last among tied rows: (Q,) int64."""
        return np.asarray(self.hits + np.maximum(self.num_ranks - (self.rows - self.relevant), 0))


def _boundary_level(relevant_at: np.ndarray, total_at: np.ndarray, k: int) -> _BoundaryLevel:
    cumulative = total_at.cumsum(axis=1)
    level = np.minimum((cumulative < k).sum(axis=1), total_at.shape[1] - 1)[:, None]
    relevant, rows, hits, last = (
        np.take_along_axis(counts, level, axis=1)[:, 0]
        for counts in (relevant_at, total_at, relevant_at.cumsum(axis=1), cumulative)
    )
    return _BoundaryLevel(hits - relevant, np.minimum(k - (last - rows), rows), relevant, rows)


def _probability_of_none(boundary: _BoundaryLevel) -> np.ndarray:
    """P(no relevant row at the m ranks of the level) = C(n - r, m) / C(n, m), a product of min(m, r) factors: (Q,)."""
    smaller = np.minimum(boundary.num_ranks, boundary.relevant)
    larger = np.maximum(boundary.num_ranks, boundary.relevant)
    probability = np.ones(len(smaller))
    for step in range(int(smaller.max(initial=0))):
        active = np.flatnonzero((step < smaller) & (probability > 1e-18))  # below, 1 - probability is 1
        if not active.size:
            break
        remaining = boundary.rows[active] - step
        probability[active] *= np.maximum(remaining - larger[active], 0) / remaining
    return probability


def _tied_sums(relevant: np.ndarray, total: np.ndarray, harmonic: np.ndarray) -> np.ndarray:
    """Sums of precisions at relevant ranks (expected, best, worst), up to rank len(harmonic) - 1: (3, Q) float64."""
    max_rank = len(harmonic) - 1
    before, hits = total.cumsum(axis=1) - total, relevant.cumsum(axis=1) - relevant
    num_ranks = np.clip(max_rank - before, 0, total)
    slope = (relevant - 1) / np.maximum(total - 1, 1)
    harmonic_sum = _harmonic_between(before, num_ranks, harmonic)
    expected = relevant / np.maximum(total, 1) * ((1 + hits - (before + 1) * slope) * harmonic_sum + num_ranks * slope)
    worst_before = before + total - relevant
    best = _sum_precisions(hits, before, np.minimum(relevant, num_ranks), harmonic)
    worst = _sum_precisions(hits, worst_before, np.clip(max_rank - worst_before, 0, relevant), harmonic)
    return np.stack([sums.sum(axis=1) for sums in (expected, best, worst)])


def _sum_precisions(hits: np.ndarray, before: np.ndarray, count: np.ndarray, harmonic: np.ndarray) -> np.ndarray:
    """Sum of precisions over `count` consecutive relevant rows after `before` rows, `hits` of them relevant."""
    return np.asarray(count + (hits - before) * _harmonic_between(before, count, harmonic))


def _harmonic_between(before: np.ndarray, count: np.ndarray, harmonic: np.ndarray) -> np.ndarray:
    """1/(before + 1) + ... + 1/(before + count), elementwise; 0 after the last rank, where count is 0."""
    start = np.minimum(before, len(harmonic) - 1)
    return np.asarray(harmonic[start + count] - harmonic[start])


def _check_histograms(relevant_at: np.ndarray, total_at: np.ndarray, total_relevant: np.ndarray, k: int) -> None:
    if total_at.ndim != 2 or relevant_at.shape != total_at.shape or not total_at.shape[1]:
        raise ValueError(f"{relevant_at.shape=}, {total_at.shape=}; pass two (Q, L) histograms, L at least 1")
    if relevant_at.dtype != np.int64 or total_at.dtype != np.int64:
        raise ValueError(f"{relevant_at.dtype=}, {total_at.dtype=}; pass int64 counts")
    if (relevant_at < 0).any() or (relevant_at > total_at).any():
        query = int(np.flatnonzero(((relevant_at < 0) | (relevant_at > total_at)).any(axis=1))[0])
        raise ValueError(f"relevant_at[{query}] is negative or above total_at; count both over the same rows")
    check_totals(relevant_at.sum(axis=1), total_relevant, k)


def _check_distances(distances: np.ndarray, relevant: np.ndarray, probed: np.ndarray | None) -> None:
    if distances.ndim != 2 or not np.issubdtype(distances.dtype, np.integer):
        raise ValueError(f"distances has shape {distances.shape} and dtype {distances.dtype}; pass (Q, N) int")
    for name, mask in (("relevant", relevant), ("probed", probed)):
        if mask is not None and (mask.shape != distances.shape or mask.dtype != np.bool_):
            raise ValueError(f"{name} has shape {mask.shape} and dtype {mask.dtype}; pass {distances.shape} bool")
