"""Ranking metrics AP@k, recall@k and precision@k for rankings without ties (with ties: see `ties.py`).

R is the number of relevant rows in the gallery, retrieved or not. The scores of a query with R = 0 are NaN, so average
scores with `np.nanmean`. The scores of a query with R > 0 and no hit are 0.
"""

from collections.abc import Iterator

import numpy as np

Scores = dict[tuple[str, int], np.ndarray]  # metric and cutoff rank, for example ("map", 100) -> (Q,) float
BLOCK_CELLS = 1 << 20  # number of array elements per block; an intermediate array then takes 8 MB


def average_precision(is_relevant: np.ndarray, total_relevant: np.ndarray, k: int) -> np.ndarray:
    """AP@k: sum of the precisions at the relevant ranks up to k, divided by min(R, k); NaN if R = 0.

    Args:
        is_relevant: (Q, K) bool, nearest first, True for a relevant hit, False for padding. If K < k, the ranks after K
            count as not relevant.
        total_relevant: (Q,) int, R of each query.
        k: cutoff rank, at least 1.

    Returns:
        (Q,) float64.
    """
    _check_ranking(is_relevant, total_relevant, k)
    sums = np.zeros(len(is_relevant))
    for block in block_slices(len(is_relevant), min(k, is_relevant.shape[1])):
        is_relevant_hit = is_relevant[block, :k]
        precisions = is_relevant_hit.cumsum(axis=1) / np.arange(1, is_relevant_hit.shape[1] + 1)
        sums[block] = np.where(is_relevant_hit, precisions, 0).sum(axis=1)
    return nan_without_relevant(sums / np.maximum(np.minimum(total_relevant, k), 1), total_relevant)


def recall(is_relevant: np.ndarray, total_relevant: np.ndarray, k: int) -> np.ndarray:
    """recall@k: 1 if at least one of the first k hits is relevant, else 0; NaN if R = 0.

    Arguments and result as for `average_precision`.
    """
    _check_ranking(is_relevant, total_relevant, k)
    return nan_without_relevant(is_relevant[:, :k].sum(axis=1) > 0, total_relevant)


def precision(is_relevant: np.ndarray, total_relevant: np.ndarray, k: int) -> np.ndarray:
    """precision@k: relevant rows among the first k, divided by k even if fewer were retrieved; NaN if R = 0.

    Arguments and result as for `average_precision`.
    """
    _check_ranking(is_relevant, total_relevant, k)
    return nan_without_relevant(is_relevant[:, :k].sum(axis=1) / k, total_relevant)


def block_slices(num_rows: int, row_size: int) -> Iterator[slice]:
    """Split `num_rows` rows of `row_size` elements each into slices of about BLOCK_CELLS elements."""
    step = max(1, BLOCK_CELLS // max(row_size, 1))
    return (slice(start, start + step) for start in range(0, num_rows, step))


def nan_without_relevant(scores: np.ndarray, total_relevant: np.ndarray) -> np.ndarray:
    """Replace scores by NaN where R = 0.  scores (Q,), total_relevant (Q,) int -> (Q,) float64."""
    return np.where(total_relevant > 0, scores, np.nan)


def check_totals(retrieved: np.ndarray, total_relevant: np.ndarray, k: int) -> None:
    """Check that k is at least 1, and that no query retrieves more relevant rows than R.

    retrieved: (Q,) int, number of relevant rows retrieved; total_relevant: (Q,) int, R of each query.

    Raises:
        ValueError: a check failed, or the shape or dtype of `total_relevant` is wrong.
    """
    if k < 1:
        raise ValueError(f"{k=}: not positive; pass 1 or more")
    if total_relevant.shape != retrieved.shape or not np.issubdtype(total_relevant.dtype, np.integer):
        raise ValueError(
            f"total_relevant has shape {total_relevant.shape} and dtype {total_relevant.dtype}; "
            f"pass {retrieved.shape} int"
        )
    if (retrieved > total_relevant).any():
        query = int(np.argmax(retrieved > total_relevant))
        raise ValueError(
            f"total_relevant[{query}]={total_relevant[query]} is below the {retrieved[query]} relevant rows retrieved; "
            "count all relevant rows of the gallery, and retrieve each at most once"
        )


def _check_ranking(is_relevant: np.ndarray, total_relevant: np.ndarray, k: int) -> None:
    if is_relevant.ndim != 2 or is_relevant.dtype != np.bool_:
        raise ValueError(
            f"is_relevant has shape {is_relevant.shape} and dtype {is_relevant.dtype}; "
            "pass (Q, K) bool, False for padding"
        )
    check_totals(is_relevant.sum(axis=1), total_relevant, k)
