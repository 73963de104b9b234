"""Tie-aware ranking metrics.

Rows at equal Hamming distance have no defined order, so the score of a ranking would depend on the library that sorts
the rows. `score_levels` takes the number of rows and of relevant rows at each distance, and returns the exact
expectation over all orders of tied rows, and the best and worst AP. The formulas follow F. McSherry and M. Najork,
"Computing information retrieval performance measures efficiently in the presence of tied scores", ECIR 2008.

For R, and for scores of NaN and 0, see `ranking.py`.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from fashion_lsh.metrics.ranking import (
    CUTOFFS,
    Scores,
    block_slices,
    check_totals,
    concatenate_scores,
    discounts,
    metric_scores,
    nan_without_relevant,
)
from fashion_lsh.metrics.tie_formulas import (
    Boundary,
    expected_mean_precision,
    expected_precision_sum,
    expected_reciprocal_rank,
    precision_sum_bounds,
    probability_of_none,
)


class Levels:
    """Rankings with ties.

    A level is the set of rows at one distance. It has n rows, r of them relevant; N rows are nearer, c of them
    relevant.

    Args:
        relevant_at: (Q, L) int64, number of relevant rows at each distance, nearest first, in the probed lists.
        total_at: (Q, L) int64, number of all rows at each distance, nearest first, in the probed lists.
        total_relevant: (Q,) int, R of each query, including relevant rows outside the probed lists.

    Raises:
        ValueError: a shape or dtype is wrong, or there are more relevant rows than rows or than R.
    """

    def __init__(self, relevant_at: np.ndarray, total_at: np.ndarray, total_relevant: np.ndarray) -> None:
        _check_histograms(relevant_at, total_at, total_relevant)
        self.relevant, self.total, self.total_relevant = relevant_at, total_at, total_relevant
        self.nearer = total_at.cumsum(axis=1) - total_at
        self.nearer_relevant = relevant_at.cumsum(axis=1) - relevant_at

    @property
    def num_retrieved(self) -> np.ndarray:
        """Number of rows in the probed lists, (Q,) int64."""
        return np.asarray(self.total.sum(axis=1))

    @cached_property
    def harmonic(self) -> np.ndarray:
        """Sums of 1 / rank up to each rank, from 0: (K + 1,) float64, K the length of the longest ranking."""
        return _cumulative(1 / np.arange(1, self.num_retrieved.max(initial=0) + 1))

    @cached_property
    def discount_sums(self) -> np.ndarray:
        """Sums of the discounts of nDCG up to each rank, from 0: (K + 1,) float64."""
        return _cumulative(discounts(np.arange(1, self.num_retrieved.max(initial=0) + 1)))

    def ranks_up_to(self, max_rank: int | np.ndarray) -> np.ndarray:
        """Number of ranks up to a rank (int, or (Q,) int) at each level: (Q, L) int64."""
        return np.clip(np.reshape(max_rank, (-1, 1)) - self.nearer, 0, self.total)

    def boundary(self, max_rank: int | np.ndarray) -> Boundary:
        """Level that contains a rank (int, or (Q,) int), or the last level if fewer rows are retrieved."""
        level = (np.reshape(max_rank, (-1, 1)) > self.nearer + self.total).sum(axis=1)[:, None]
        level = np.minimum(level, self.total.shape[1] - 1)
        columns = (self.nearer, self.nearer_relevant, self.total, self.relevant, self.ranks_up_to(max_rank))
        return Boundary(*(np.take_along_axis(counts, level, axis=1)[:, 0] for counts in columns))


def score_levels(levels: Levels, cutoffs: Sequence[int] = CUTOFFS) -> Scores:
    """Expectation of all metrics over all orders of tied rows.

    Returns:
        (Q,) float64 by metric and cutoff rank: see `metric_scores`, and `map_best` and `map_worst`, the AP@k with the
        relevant rows first and last among tied rows.
    """
    return concatenate_scores([_score_block(block, cutoffs) for block in _blocks(levels)])


def distance_histograms(
    distances: np.ndarray, is_relevant: np.ndarray, num_levels: int, is_probed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Count relevant rows and all rows at each distance, as arguments of `Levels`.

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


def _score_block(levels: Levels, cutoffs: Sequence[int]) -> Scores:
    def sums(name: str, max_rank: int | np.ndarray) -> np.ndarray:
        match name:
            case "precision":
                return expected_precision_sum(levels, max_rank)
            case "mean_precision":
                return expected_mean_precision(levels, max_rank)
            case "first":
                return expected_reciprocal_rank(levels)
            case "any":
                boundary = levels.boundary(max_rank)
                return 1 - np.where(boundary.nearer_relevant > 0, 0.0, probability_of_none(boundary))
        share = levels.relevant / np.maximum(levels.total, 1)
        num_ranks = levels.ranks_up_to(max_rank)
        if name == "count":
            return np.asarray((share * num_ranks).sum(axis=1))
        gains = levels.discount_sums[levels.nearer + num_ranks] - levels.discount_sums[levels.nearer]
        return np.asarray((share * gains).sum(axis=1))

    scores = metric_scores(sums, levels.total_relevant, cutoffs)
    for k in cutoffs:
        max_rank = k or np.iinfo(np.int64).max
        bounds = precision_sum_bounds(levels, max_rank) / np.maximum(np.minimum(levels.total_relevant, max_rank), 1)
        for name, bound, limit in zip(("map_worst", "map_best"), bounds, (np.minimum, np.maximum), strict=True):
            limited = limit(bound, scores["map", k])  # removes rounding errors
            scores[name, k] = nan_without_relevant(limited, levels.total_relevant)
    return scores


def _blocks(levels: Levels) -> list[Levels]:
    slices = list(block_slices(*levels.total.shape)) or [slice(0)]
    return [Levels(levels.relevant[part], levels.total[part], levels.total_relevant[part]) for part in slices]


def _cumulative(values: np.ndarray) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(values)])


def _check_histograms(relevant_at: np.ndarray, total_at: np.ndarray, total_relevant: np.ndarray) -> None:
    if total_at.ndim != 2 or relevant_at.shape != total_at.shape or not total_at.shape[1]:
        raise ValueError(f"{relevant_at.shape=}, {total_at.shape=}; pass two (Q, L) histograms, L at least 1")
    if relevant_at.dtype != np.int64 or total_at.dtype != np.int64:
        raise ValueError(f"{relevant_at.dtype=}, {total_at.dtype=}; pass int64 counts")
    if (relevant_at < 0).any() or (relevant_at > total_at).any():
        query = int(np.flatnonzero(((relevant_at < 0) | (relevant_at > total_at)).any(axis=1))[0])
        raise ValueError(f"relevant_at[{query}] is negative or above total_at; count both over the same rows")
    check_totals(relevant_at.sum(axis=1), total_relevant)


def _check_distances(distances: np.ndarray, is_relevant: np.ndarray, is_probed: np.ndarray | None) -> None:
    if distances.ndim != 2 or not np.issubdtype(distances.dtype, np.integer):
        raise ValueError(f"distances has shape {distances.shape} and dtype {distances.dtype}; pass (Q, N) int")
    for name, mask in (("is_relevant", is_relevant), ("is_probed", is_probed)):
        if mask is not None and (mask.shape != distances.shape or mask.dtype != np.bool_):
            raise ValueError(f"{name} has shape {mask.shape} and dtype {mask.dtype}; pass {distances.shape} bool")
