"""Hits: validation, sorting, padding and concatenation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.index.hits import NO_HIT, Hits, make_sort_keys
from fashion_lsh.index.validation import MAX_ROW

INF = float("inf")


def make_hits(rows: list[list[int]], distances: list[list[float]]) -> Hits:
    return Hits(np.array(rows, dtype=np.int64), np.array(distances, dtype=np.float32))


def test_check_accepts_valid_hits() -> None:
    make_hits([[4, 0, 2, -1], [-1, -1, -1, -1]], [[0, 1, 1, INF], [INF] * 4]).check()
    make_hits([[]], [[]]).check()


@pytest.mark.parametrize(
    ("rows", "distances", "message"),
    [
        ([1, 2], [2, 1], "not ascending"),
        ([1, 2], [1, np.nan], "NaN"),
        ([1, 1], [1, 2], "duplicate row"),
        ([1, -1], [1, 2], "-1 without distance inf"),
        ([1, 2], [1, INF], "or the reverse"),
        ([-1, 2], [INF, INF], "or the reverse"),
        ([-2, 2], [0, 1], "below -1"),
    ],
)
def test_check_rejects_invalid_hits(rows: list[int], distances: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=rf"query 1 .*{message}"):
        make_hits([[5, 6], rows], [[0, 0], distances]).check()


@pytest.mark.parametrize(
    ("rows", "distances"),
    [
        (np.zeros((1, 2), np.int32), np.zeros((1, 2), np.float32)),
        (np.zeros((1, 2), np.int64), np.zeros((1, 2))),
        (np.zeros((1, 2), np.int64), np.zeros((1, 3), np.float32)),
        (np.zeros(2, np.int64), np.zeros(2, np.float32)),
    ],
)
def test_check_rejects_wrong_dtype_and_shape(rows: np.ndarray, distances: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"rows .*distances .*\(Q, K\) int64"):
        Hits(rows, distances).check()


def test_nearest_sorts_by_distance_then_row_truncates_and_pads() -> None:
    rows = np.array([[7, -1, 3, 5]])
    distances = np.array([[1, 0, 1, 0]])
    nearest = Hits.nearest(rows, distances, 2)
    assert (nearest.rows.tolist(), nearest.distances.tolist()) == ([[5, 3]], [[0, 1]])
    nearest = Hits.nearest(rows, distances, 5)
    nearest.check()
    assert (nearest.rows.tolist(), nearest.distances.tolist()) == ([[5, 3, 7, -1, -1]], [[0, 1, 1, INF, INF]])


@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(0, 12), st.sampled_from([20, MAX_ROW]))
def test_from_keys_equals_nearest(seed: int, num_queries: int, num_hits: int, max_row: int) -> None:
    rng = np.random.default_rng(seed)
    rows = max_row - rng.permuted(np.tile(np.arange(20), (num_queries, 1)), axis=1)[:, :num_hits]
    distances = rng.integers(0, 5, rows.shape, dtype=np.int32)
    is_padding = rng.random(rows.shape) < 0.3
    keys = np.sort(np.where(is_padding, NO_HIT, make_sort_keys(distances, rows)), axis=1)
    actual, expected = Hits.from_keys(keys), Hits.nearest(np.where(is_padding, -1, rows), distances, num_hits)
    actual.check()
    assert np.array_equal(actual.rows, expected.rows)
    assert np.array_equal(actual.distances, expected.distances)


def test_top_truncates_or_pads() -> None:
    hits = make_hits([[5, 3, 7], [2, -1, -1]], [[0, 1, 1], [4, INF, INF]])
    for k, rows, distances in (
        (1, [[5], [2]], [[0], [4]]),
        (3, hits.rows.tolist(), hits.distances.tolist()),
        (4, [[5, 3, 7, -1], [2, -1, -1, -1]], [[0, 1, 1, INF], [4, INF, INF, INF]]),
    ):
        top = hits.top(k)
        top.check()
        assert (top.rows.tolist(), top.distances.tolist()) == (rows, distances)


def test_pad_never_truncates() -> None:
    two_hits = make_hits([[5, 3]], [[0, 1]])
    assert two_hits.pad(1).rows.tolist() == [[5, 3]]
    assert two_hits.pad(3).rows.tolist() == [[5, 3, -1]]


def test_concatenate_keeps_the_order_of_batches() -> None:
    concatenated = Hits.concatenate(
        [make_hits([[5, 3]], [[0, 1]]), make_hits([[1, 2], [4, -1]], [[2, 3], [0, INF]])], 2
    )
    concatenated.check()
    assert concatenated.rows.tolist() == [[5, 3], [1, 2], [4, -1]]
    assert concatenated.distances.tolist() == [[0, 1], [2, 3], [0, INF]]
    no_hits = Hits.concatenate([], 2)
    no_hits.check()
    assert no_hits.rows.shape == (0, 2)
