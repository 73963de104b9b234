"""Tie-aware ranking metrics.

Rows at equal Hamming distance have no defined order, so the score of a ranking would depend on the library that sorts
the rows. The `tied_*` functions take the number of rows and of relevant rows at each distance, and return the exact
expectation over all orders of tied rows, and the best and worst case. The formulas follow F. McSherry and M. Najork,
"Computing information retrieval performance measures efficiently in the presence of tied scores", ECIR 2008.

For R, and for scores of NaN and 0, see `ranking.py`.
"""

from typing import NamedTuple

import numpy as np

from fashion_lsh.metrics.ranking import block_slices, check_totals, nan_without_relevant


class TiedScores(NamedTuple):
    """Scores of rankings with ties, (Q,) float64 each, with worst <= expected <= best.

    Attributes:
        expected: mean over all orders of tied rows.
        best: score with the relevant rows first among tied rows.
        worst: score with the relevant rows last among tied rows.
    """

    expected: np.ndarray
    best: np.ndarray
    worst: np.ndarray


def tied_average_precision(
    relevant_at: np.ndarray, total_at: np.ndarray, total_relevant: np.ndarray, k: int
) -> TiedScores:
    """Exact mean, best and worst AP@k (see `average_precision`) over all orders of tied rows; NaN if R = 0.

    A level is the set of rows at one distance. It has n rows, r of them relevant; N rows are nearer, c of them
    relevant. The row at rank i = N + j is relevant with probability r/n; the expected number of relevant rows before it
    in the level is then (j - 1)(r - 1)/(n - 1). With s = (r - 1)/(n - 1), rank i adds r/n · (1 + c + (i - N - 1)s) / i.
    With m = min(n, k - N) ranks up to k, and harmonic numbers H, the level adds
    r/n · ((1 + c - (N + 1)s)(H[N + m] - H[N]) + ms).

    Args:
        relevant_at: (Q, L) int64, number of relevant rows at each distance, nearest first, in the probed lists.
        total_at: (Q, L) int64, number of all rows at each distance, nearest first, in the probed lists.
        total_relevant: (Q,) int, R of each query, including relevant rows outside the probed lists.
        k: cutoff rank, at least 1.

    Returns:
        Expected, best and worst score, (Q,) float64 each.
    """
    _check_histograms(relevant_at, total_at, total_relevant, k)
    max_rank = min(k, int(total_at.sum(axis=1).max(initial=0)))
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, max_rank + 1))])
    sums = np.zeros((3, len(total_at)))
    for block in block_slices(*total_at.shape):
        sums[:, block] = _tied_sums(relevant_at[block], total_at[block], harmonic)
    expected, best, worst = sums / np.maximum(np.minimum(total_relevant, k), 1)
    expected = np.clip(expected, worst, best)  # removes rounding errors
    return TiedScores(*(nan_without_relevant(scores, total_relevant) for scores in (expected, best, worst)))


def tied_recall(relevant_at: np.ndarray, total_at: np.ndarray, total_relevant: np.ndarray, k: int) -> TiedScores:
    """Exact mean, best and worst recall@k over all orders of tied rows; NaN if R = 0.

    The mean is the probability of a relevant row among the first k.

    Arguments and result as for `tied_average_precision`.
    """
    _check_histograms(relevant_at, total_at, total_relevant, k)
    boundary = _boundary_level(relevant_at, total_at, k)
    expected = 1 - np.where(boundary.nearer_relevant > 0, 0.0, _probability_of_none(boundary))
    scores = (expected, boundary.max_relevant > 0, boundary.min_relevant > 0)
    return TiedScores(*(nan_without_relevant(values, total_relevant) for values in scores))


def tied_precision(relevant_at: np.ndarray, total_at: np.ndarray, total_relevant: np.ndarray, k: int) -> TiedScores:
    """Exact mean, best and worst precision@k over all orders of tied rows; NaN if R = 0.

    Arguments and result as for `tied_average_precision`.
    """
    _check_histograms(relevant_at, total_at, total_relevant, k)
    boundary = _boundary_level(relevant_at, total_at, k)
    expected = boundary.nearer_relevant + boundary.num_ranks * boundary.num_relevant / np.maximum(boundary.num_rows, 1)
    counts = (expected, boundary.max_relevant, boundary.min_relevant)
    return TiedScores(*(nan_without_relevant(count / k, total_relevant) for count in counts))


def distance_histograms(
    distances: np.ndarray, is_relevant: np.ndarray, num_levels: int, is_probed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Count relevant rows and all rows at each distance, as input of the `tied_*` functions.

    Args:
        distances: (Q, N) int, 0..num_levels - 1 for probed rows; other distances are ignored.
        is_relevant: (Q, N) bool, True for relevant rows.
        num_levels: number of possible distances, bits + 1 for Hamming distances.
        is_probed: (Q, N) bool, True for rows in the probed lists; None if all rows are probed.

    Returns:
        relevant_at and total_at, (Q, num_levels) int64 each.

    Raises:
        ValueError: wrong shape or dtype, or a probed distance is out of range.
    """
    _check_distances(distances, is_relevant, is_probed)
    relevant_at, total_at = np.zeros((2, len(distances), num_levels), dtype=np.int64)
    for block in block_slices(*distances.shape):
        block_distances, is_relevant_in_block = distances[block], is_relevant[block]
        if is_probed is not None:
            block_distances, is_relevant_in_block = (
                np.where(is_probed[block], block_distances, 0),
                is_relevant_in_block & is_probed[block],
            )
        if block_distances.size and not 0 <= block_distances.min() <= block_distances.max() < num_levels:
            raise ValueError(
                f"{num_levels=}: distances range from {block_distances.min()} to {block_distances.max()}; "
                "pass num_levels = bits + 1"
            )
        shape = total_at[block].shape
        bins = block_distances + num_levels * np.arange(shape[0])[:, None]  # (q, N) int64, num_levels bins per query
        total_at[block] = np.bincount(bins.ravel(), minlength=shape[0] * num_levels).reshape(shape)
        relevant_at[block] = np.bincount(bins[is_relevant_in_block], minlength=shape[0] * num_levels).reshape(shape)
        if is_probed is not None:
            total_at[block, 0] -= np.count_nonzero(
                ~is_probed[block], axis=1
            )  # rows not probed were counted at distance 0
    return relevant_at, total_at


class _BoundaryLevel(NamedTuple):
    """Level that contains rank k, or the last level if fewer than k rows are retrieved.

    All attributes are (Q,) int64.

    Attributes:
        nearer_relevant: number of relevant rows at nearer levels, which are always among the first k.
        num_ranks: number of ranks up to k within the level.
        num_relevant: number of relevant rows at the level.
        num_rows: number of rows at the level.
    """

    nearer_relevant: np.ndarray
    num_ranks: np.ndarray
    num_relevant: np.ndarray
    num_rows: np.ndarray

    @property
    def max_relevant(self) -> np.ndarray:
        """Relevant rows among the first k, with relevant rows first among tied rows: (Q,) int64."""
        return np.asarray(self.nearer_relevant + np.minimum(self.num_ranks, self.num_relevant))

    @property
    def min_relevant(self) -> np.ndarray:
        """Relevant rows among the first k, with relevant rows last among tied rows: (Q,) int64."""
        num_irrelevant = self.num_rows - self.num_relevant
        return np.asarray(self.nearer_relevant + np.maximum(self.num_ranks - num_irrelevant, 0))


def _boundary_level(relevant_at: np.ndarray, total_at: np.ndarray, k: int) -> _BoundaryLevel:
    cumulative = total_at.cumsum(axis=1)
    level = np.minimum((cumulative < k).sum(axis=1), total_at.shape[1] - 1)[:, None]
    num_relevant, num_rows, cumulative_relevant, cumulative_rows = (
        np.take_along_axis(counts, level, axis=1)[:, 0]
        for counts in (relevant_at, total_at, relevant_at.cumsum(axis=1), cumulative)
    )
    num_ranks = np.minimum(k - (cumulative_rows - num_rows), num_rows)
    return _BoundaryLevel(cumulative_relevant - num_relevant, num_ranks, num_relevant, num_rows)


def _probability_of_none(boundary: _BoundaryLevel) -> np.ndarray:
    """P(no relevant row at the m ranks of the level) = C(n - r, m) / C(n, m), with min(m, r) factors: (Q,)."""
    smaller = np.minimum(boundary.num_ranks, boundary.num_relevant)
    larger = np.maximum(boundary.num_ranks, boundary.num_relevant)
    probability = np.ones(len(smaller))
    for step in range(int(smaller.max(initial=0))):
        active = np.flatnonzero((step < smaller) & (probability > 1e-18))  # 1 - 1e-18 is rounded to 1
        if not active.size:
            break
        remaining = boundary.num_rows[active] - step
        probability[active] *= np.maximum(remaining - larger[active], 0) / remaining
    return probability


def _tied_sums(relevant: np.ndarray, total: np.ndarray, harmonic: np.ndarray) -> np.ndarray:
    """Sums of precisions at relevant ranks (expected, best, worst), up to rank len(harmonic) - 1: (3, Q) float64."""
    max_rank = len(harmonic) - 1
    nearer, nearer_relevant = total.cumsum(axis=1) - total, relevant.cumsum(axis=1) - relevant
    num_ranks = np.clip(max_rank - nearer, 0, total)
    slope = (relevant - 1) / np.maximum(total - 1, 1)
    harmonic_sum = _harmonic_between(nearer, num_ranks, harmonic)
    level_sum = (1 + nearer_relevant - (nearer + 1) * slope) * harmonic_sum + num_ranks * slope
    expected = relevant / np.maximum(total, 1) * level_sum
    best = _precision_sum(nearer_relevant, nearer, np.minimum(relevant, num_ranks), harmonic)
    worst_nearer = nearer + total - relevant  # rows before the relevant rows of the level
    worst_count = np.clip(max_rank - worst_nearer, 0, relevant)
    worst = _precision_sum(nearer_relevant, worst_nearer, worst_count, harmonic)
    return np.stack([sums.sum(axis=1) for sums in (expected, best, worst)])


def _precision_sum(
    nearer_relevant: np.ndarray, nearer: np.ndarray, count: np.ndarray, harmonic: np.ndarray
) -> np.ndarray:
    """Sum of precisions over `count` consecutive relevant rows after `nearer` rows."""
    return np.asarray(count + (nearer_relevant - nearer) * _harmonic_between(nearer, count, harmonic))


def _harmonic_between(nearer: np.ndarray, count: np.ndarray, harmonic: np.ndarray) -> np.ndarray:
    """1/(nearer + 1) + ... + 1/(nearer + count), elementwise; 0 after the last rank, where count is 0."""
    start = np.minimum(nearer, len(harmonic) - 1)
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


def _check_distances(distances: np.ndarray, is_relevant: np.ndarray, is_probed: np.ndarray | None) -> None:
    if distances.ndim != 2 or not np.issubdtype(distances.dtype, np.integer):
        raise ValueError(f"distances has shape {distances.shape} and dtype {distances.dtype}; pass (Q, N) int")
    for name, mask in (("is_relevant", is_relevant), ("is_probed", is_probed)):
        if mask is not None and (mask.shape != distances.shape or mask.dtype != np.bool_):
            raise ValueError(f"{name} has shape {mask.shape} and dtype {mask.dtype}; pass {distances.shape} bool")
