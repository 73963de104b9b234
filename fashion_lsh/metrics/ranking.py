"""How good a ranking is: AP@k, recall@k, precision@k (pure numpy).  For rankings with ties see `ties.py`.

Common to all: R is the number of relevant rows in the gallery, retrieved or not. A query with R = 0 scores NaN: take
`np.nanmean` and count the NaN. A query with R > 0 and no hit scores 0.
"""

from collections.abc import Iterator

import numpy as np

Scores = dict[str, np.ndarray]  # (Q,) float each, by the name of the measure
BLOCK_CELLS = 1 << 20  # array cells worked on at once: 8 MB an intermediate array


def average_precision(relevant: np.ndarray, total_relevant: np.ndarray, k: int) -> np.ndarray:
    """AP@k: precision at each relevant place in the first k, summed, over min(R, k).  R = 0: NaN.

    Args:
        relevant: (Q, K) bool, nearest first: the hit at this place is relevant (False at padded places). With K < k,
            the places after K hold nothing.
        total_relevant: (Q,) int, R.
        k: places that count, at least 1.

    Returns:
        (Q,) float64.
    """
    _check_ranking(relevant, total_relevant, k)
    sums = np.zeros(len(relevant))
    for block in blocks(len(relevant), min(k, relevant.shape[1])):
        top_k = relevant[block, :k]
        precisions = top_k.cumsum(axis=1) / np.arange(1, top_k.shape[1] + 1)
        sums[block] = np.where(top_k, precisions, 0).sum(axis=1)
    return nan_without_relevant(sums / np.maximum(np.minimum(total_relevant, k), 1), total_relevant)


def recall(relevant: np.ndarray, total_relevant: np.ndarray, k: int) -> np.ndarray:
    """recall@k: 1 with at least one relevant row in the first k, else 0.  R = 0: NaN.

    Args as for `average_precision`: (Q, K) bool and (Q,) int -> (Q,) float64.
    """
    _check_ranking(relevant, total_relevant, k)
    return nan_without_relevant(relevant[:, :k].sum(axis=1) > 0, total_relevant)


def precision(relevant: np.ndarray, total_relevant: np.ndarray, k: int) -> np.ndarray:
    """precision@k: relevant rows in the first k, over k (also where fewer were retrieved).  R = 0: NaN.

    Args as for `average_precision`: (Q, K) bool and (Q,) int -> (Q,) float64.
    """
    _check_ranking(relevant, total_relevant, k)
    return nan_without_relevant(relevant[:, :k].sum(axis=1) / k, total_relevant)


def blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices over `rows` such that each holds about BLOCK_CELLS cells."""
    step = max(1, BLOCK_CELLS // max(width, 1))
    return (slice(start, start + step) for start in range(0, rows, step))


def nan_without_relevant(scores: np.ndarray, total_relevant: np.ndarray) -> np.ndarray:
    """(Q,) scores with NaN where nothing is relevant."""
    return np.where(total_relevant > 0, scores, np.nan)


def check_totals(retrieved: np.ndarray, total_relevant: np.ndarray, k: int) -> None:
    """Refuse k below 1, and totals that are not (Q,) int or below the relevant rows that were found, (Q,) int."""
    if k < 1:
        raise ValueError(f"{k=}: give at least 1")
    if total_relevant.shape != retrieved.shape or not np.issubdtype(total_relevant.dtype, np.integer):
        raise ValueError(f"total_relevant is {total_relevant.dtype} {total_relevant.shape}: give {retrieved.shape} int")
    if (retrieved > total_relevant).any():
        query = int(np.argmax(retrieved > total_relevant))
        raise ValueError(
            f"query {query}: {retrieved[query]} relevant rows retrieved, total_relevant {total_relevant[query]}: "
            "count every relevant row of the gallery in total_relevant, and retrieve none twice"
        )


def _check_ranking(relevant: np.ndarray, total_relevant: np.ndarray, k: int) -> None:
    if relevant.ndim != 2 or relevant.dtype != np.bool_:
        raise ValueError(f"relevant is {relevant.dtype} {relevant.shape}: give (Q, K) bool, False at padded places")
    check_totals(relevant.sum(axis=1), total_relevant, k)
