"""How good a ranking with ties is (pure numpy).

Rows at one Hamming distance have no order of their own, so a score depends on how a library happens to order them. The
`tied_*` functions need no ranking: from the number of rows and of relevant rows at each distance they give the exact
expectation over all orders inside the distances, and the two extremes. The formulas follow F. McSherry and M. Najork,
"Computing information retrieval performance measures efficiently in the presence of tied scores", ECIR 2008.

R, NaN and 0 as in `ranking.py`.
"""

from typing import NamedTuple

import numpy as np

from fashion_lsh.metrics.ranking import blocks, check_totals, nan_without_relevant


class TiedScores(NamedTuple):
    """Scores of rankings with ties, (Q,) float64 each: worst <= expected <= best."""

    expected: np.ndarray  # mean over all orders of equally distant rows
    best: np.ndarray  # relevant rows first among equals
    worst: np.ndarray  # relevant rows last among equals


def tied_average_precision(
    relevant_at: np.ndarray, total_at: np.ndarray, total_relevant: np.ndarray, k: int
) -> TiedScores:
    """AP@k (see `average_precision`) over all orders of equally distant rows: exact mean, best, worst.  R = 0: NaN.

    Take a level of n rows, r of them relevant, after N nearer rows with c relevant. Its place i = N + j holds a
    relevant row with probability r/n, and then (j - 1)(r - 1)/(n - 1) of the level's places before it are expected to
    hold another, so with s = (r - 1)/(n - 1) the place adds r/n · (1 + c + (i - N - 1)s) / i. Over the places that
    count, m = min(n, k - N), and with H the harmonic numbers, the level adds
    r/n · ((1 + c - (N + 1)s)(H[N + m] - H[N]) + ms).

    Args:
        relevant_at: (Q, L) int, relevant rows at each distance, nearest first; only rows that can be retrieved.
        total_at: (Q, L) int, all rows at each distance, likewise.
        total_relevant: (Q,) int, R, with the relevant rows that cannot be retrieved.
        k: places that count, at least 1.

    Returns:
        (Q,) float64 three times.
    """
    _check_histograms(relevant_at, total_at, total_relevant, k)
    max_rank = min(k, int(total_at.sum(axis=1).max(initial=0)))
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, max_rank + 1))])
    sums = np.zeros((3, len(total_at)))
    for block in blocks(*total_at.shape):
        sums[:, block] = _tied_sums(relevant_at[block], total_at[block], harmonic)
    expected, best, worst = sums / np.maximum(np.minimum(total_relevant, k), 1)
    expected = np.clip(expected, worst, best)  # they may pass each other by a rounding error
    return TiedScores(*(nan_without_relevant(scores, total_relevant) for scores in (expected, best, worst)))


def tied_recall(relevant_at: np.ndarray, total_at: np.ndarray, total_relevant: np.ndarray, k: int) -> TiedScores:
    """recall@k over all orders of equally distant rows: P(a relevant row in the first k), best, worst.  R = 0: NaN.

    Args as for `tied_average_precision`: (Q, L) int, (Q, L) int and (Q,) int -> (Q,) float64 three times.
    """
    _check_histograms(relevant_at, total_at, total_relevant, k)
    boundary = _boundary_level(relevant_at, total_at, k)
    expected = 1 - np.where(boundary.hits > 0, 0.0, _probability_of_none(boundary))
    scores = (expected, boundary.max_hits > 0, boundary.min_hits > 0)
    return TiedScores(*(nan_without_relevant(values, total_relevant) for values in scores))


def tied_precision(relevant_at: np.ndarray, total_at: np.ndarray, total_relevant: np.ndarray, k: int) -> TiedScores:
    """precision@k over all orders of equally distant rows: exact mean, best, worst.  R = 0: NaN.

    Args as for `tied_average_precision`: (Q, L) int, (Q, L) int and (Q,) int -> (Q,) float64 three times.
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
    """Count relevant rows and all rows at each distance: what the `tied_*` functions take.

    Args:
        distances: (Q, N) int, 0..levels - 1 where reached; anything elsewhere.
        relevant: (Q, N) bool.
        levels: number of distances, bits + 1 for Hamming.
        probed: (Q, N) bool, rows that a probe reached; None: all.

    Returns:
        relevant_at and total_at, (Q, levels) int64 each.

    Raises:
        ValueError: shapes or types differ from these, or a reached distance is out of range.
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
                f"distances reach from {block_distances.min()} to {block_distances.max()}, {levels=}: "
                "give levels = bits + 1"
            )
        shape = total_at[block].shape
        bins = (
            block_distances + levels * np.arange(shape[0])[:, None]
        )  # (q, N) int64: a query's levels lie beside each other
        total_at[block] = np.bincount(bins.ravel(), minlength=shape[0] * levels).reshape(shape)
        relevant_at[block] = np.bincount(bins[block_relevant], minlength=shape[0] * levels).reshape(shape)
        if probed is not None:
            total_at[block, 0] -= np.count_nonzero(~probed[block], axis=1)  # they were put at 0
    return relevant_at, total_at


class _BoundaryLevel(NamedTuple):
    """The level that holds place k (the last one where fewer rows are retrieved), (Q,) int64 each."""

    hits: np.ndarray  # relevant rows at nearer levels: surely among the first k
    num_ranks: np.ndarray  # places of the first k that fall to this level
    relevant: np.ndarray  # relevant rows at this level
    rows: np.ndarray  # rows at this level

    @property
    def max_hits(self) -> np.ndarray:
        """(Q,) relevant rows in the first k, relevant rows first among equals."""
        return np.asarray(self.hits + np.minimum(self.num_ranks, self.relevant))

    @property
    def min_hits(self) -> np.ndarray:
        """(Q,) relevant rows in the first k, relevant rows last among equals."""
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
    """(Q,) P(no relevant row at the edge's places) = C(n - r, m) / C(n, m), as a product of min(m, r) factors."""
    smaller = np.minimum(boundary.num_ranks, boundary.relevant)
    larger = np.maximum(boundary.num_ranks, boundary.relevant)
    probability = np.ones(len(smaller))
    for step in range(int(smaller.max(initial=0))):
        active = np.flatnonzero((step < smaller) & (probability > 1e-18))  # 1 - chance is 1 below
        if not active.size:
            break
        remaining = boundary.rows[active] - step
        probability[active] *= np.maximum(remaining - larger[active], 0) / remaining
    return probability


def _tied_sums(relevant: np.ndarray, total: np.ndarray, harmonic: np.ndarray) -> np.ndarray:
    """(3, Q) sums of precisions at relevant places (expected, best, worst); `harmonic` ends at the last place."""
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
    """Precisions summed over `count` relevant rows in a row, after `before` rows with `hits` relevant: same shape."""
    return np.asarray(count + (hits - before) * _harmonic_between(before, count, harmonic))


def _harmonic_between(before: np.ndarray, count: np.ndarray, harmonic: np.ndarray) -> np.ndarray:
    """1/(before + 1) + ... + 1/(before + count): same shape; 0 past the last place, where count is 0."""
    start = np.minimum(before, len(harmonic) - 1)
    return np.asarray(harmonic[start + count] - harmonic[start])


def _check_histograms(relevant_at: np.ndarray, total_at: np.ndarray, total_relevant: np.ndarray, k: int) -> None:
    if total_at.ndim != 2 or relevant_at.shape != total_at.shape or not total_at.shape[1]:
        raise ValueError(f"{relevant_at.shape=}, {total_at.shape=}: give two (Q, L) histograms, L at least 1")
    if relevant_at.dtype != np.int64 or total_at.dtype != np.int64:
        raise ValueError(f"{relevant_at.dtype=}, {total_at.dtype=}: give int64 counts")
    if (relevant_at < 0).any() or (relevant_at > total_at).any():
        query = int(np.flatnonzero(((relevant_at < 0) | (relevant_at > total_at)).any(axis=1))[0])
        raise ValueError(f"query {query}: relevant_at is negative or above total_at: count both over the same rows")
    check_totals(relevant_at.sum(axis=1), total_relevant, k)


def _check_distances(distances: np.ndarray, relevant: np.ndarray, probed: np.ndarray | None) -> None:
    if distances.ndim != 2 or not np.issubdtype(distances.dtype, np.integer):
        raise ValueError(f"distances are {distances.dtype} {distances.shape}: give (Q, N) int")
    for name, mask in (("relevant", relevant), ("probed", probed)):
        if mask is not None and (mask.shape != distances.shape or mask.dtype != np.bool_):
            raise ValueError(f"{name} is {mask.dtype} {mask.shape}: give {distances.shape} bool")
