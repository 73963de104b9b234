"""Hits hold themselves to their contract."""

import numpy as np
import pytest

from fashion_lsh.retrieval.hits import Hits

INF = float("inf")


def hits(rows: list[list[int]], distances: list[list[float]]) -> Hits:
    return Hits(np.array(rows, dtype=np.int64), np.array(distances, dtype=np.float32))


def test_good_hits_pass() -> None:
    hits([[4, 0, 2, -1], [-1, -1, -1, -1]], [[0, 1, 1, INF], [INF] * 4]).check()
    hits([[]], [[]]).check()


@pytest.mark.parametrize(
    ("rows", "distances", "message"),
    [
        ([1, 2], [2, 1], "do not ascend"),
        ([1, 2], [1, np.nan], "NaN"),
        ([1, 1], [1, 2], "stands twice"),
        ([1, -1], [1, 2], "-1 without distance inf"),
        ([1, 2], [1, INF], "or the reverse"),
        ([-1, 2], [INF, INF], "or the reverse"),
        ([-2, 2], [0, 1], "below -1"),
    ],
)
def test_bad_hits_are_named(rows: list[int], distances: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=rf"query 1 hold .*{message}"):
        hits([[5, 6], rows], [[0, 0], distances]).check()


@pytest.mark.parametrize(
    ("rows", "distances"),
    [
        (np.zeros((1, 2), np.int32), np.zeros((1, 2), np.float32)),
        (np.zeros((1, 2), np.int64), np.zeros((1, 2))),
        (np.zeros((1, 2), np.int64), np.zeros((1, 3), np.float32)),
        (np.zeros(2, np.int64), np.zeros(2, np.float32)),
    ],
)
def test_types_and_shapes_are_held(rows: np.ndarray, distances: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"give \(Q, K\) int64"):
        Hits(rows, distances).check()


def test_best_sorts_by_distance_then_row_cuts_and_pads() -> None:
    rows = np.array([[7, -1, 3, 5]])
    distances = np.array([[1, 0, 1, 0]])
    best = Hits.best(rows, distances, 2)
    assert (best.rows.tolist(), best.distances.tolist()) == ([[5, 3]], [[0, 1]])
    best = Hits.best(rows, distances, 5)
    best.check()
    assert (best.rows.tolist(), best.distances.tolist()) == ([[5, 3, 7, -1, -1]], [[0, 1, 1, INF, INF]])
