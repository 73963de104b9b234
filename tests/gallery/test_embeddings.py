"""Embeddings in segments, compared with one array."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.gallery import embeddings as module
from fashion_lsh.gallery.embeddings import Embeddings

seeds = st.integers(0, 2**32 - 1)
sizes = st.lists(st.integers(0, 7), min_size=1, max_size=5)


def vectors(seed: int, rows: int, dimensions: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, dimensions)).astype(np.float32)


def split(half: np.ndarray, parts: list[int]) -> Embeddings:
    """Split the rows of `half` into segments of these sizes, some of them empty."""
    return Embeddings(np.split(half, np.cumsum(parts)[:-1]))


@given(seeds, sizes, st.integers(1, 9))
@settings(deadline=None)
def test_segments_read_as_one_array(seed: int, parts: list[int], block: int) -> None:
    half = vectors(seed, sum(parts)).astype(np.float16)
    store, rng = split(half, parts), np.random.default_rng(seed)
    assert (len(store), store.shape, store.dtype) == (len(half), half.shape, np.float16)
    for shape in ((0,), (4,), (2, 5)) if len(half) else ((0,),):
        rows = rng.integers(0, max(1, len(half)), shape)
        rows_read = store[rows]
        assert rows_read.dtype == np.float16
        assert np.array_equal(rows_read, half[rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        order = rng.permutation(len(half))
        selected, blocks = store.take(order), list(store.blocks())
    assert len(selected.segments) == 1
    assert np.array_equal(selected.segments[0], half[order])
    assert all(len(part) <= block and part.dtype == np.float32 for part in blocks)
    assert np.array_equal(np.concatenate([np.empty((0, 3)), *blocks]), half)


@given(seeds, sizes, sizes)
def test_concatenate_keeps_order_and_shares_segments(seed: int, ours: list[int], others: list[int]) -> None:
    half = vectors(seed, sum(ours) + sum(others)).astype(np.float16)
    first, second = split(half[: sum(ours)], ours), split(half[sum(ours) :], others)
    joined = first.concatenate(second)
    assert np.array_equal(joined[np.arange(len(half))], half)
    assert [id(part) for part in joined.segments] == [id(part) for part in [*first.segments, *second.segments]]
    assert len(first) == sum(ours)


def test_from_array_stores_float16_in_one_segment() -> None:
    values = vectors(0, 20)
    store = Embeddings.from_array(values)
    assert len(store.segments) == 1
    assert np.array_equal(store[np.arange(20)], values.astype(np.float16))
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    half_precision = Embeddings.from_array(unit)[np.arange(20)].astype(float)
    exact, rounded = (np.linalg.norm(array[:, None] - array, axis=2) for array in (unit.astype(float), half_precision))
    assert 0 < np.abs(exact - rounded).max() < 0.001


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.float32([[1, 2], [np.nan, 0]]), r"embeddings\[1\] .*NaN"),
        (np.float32([[1, np.inf]]), r"embeddings\[0\] "),
        (np.float32([[1, 70000]]), "embeddings .*float16"),
        (np.zeros((2, 3)), r"embeddings .*\(2, 3\) .*float64"),
        (np.zeros(3, np.float32), r"embeddings .*\(3,\) .*float32"),
    ],
)
def test_from_array_rejects_invalid_vectors(values: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Embeddings.from_array(values)


@pytest.mark.parametrize(
    "segments",
    [
        [np.zeros((2, 3), np.float16), np.zeros((2, 4), np.float16)],
        [np.zeros((2, 3), np.float16), np.zeros((2, 3), np.float32)],
        [np.zeros((2, 3), np.float32)],
        [np.zeros((2, 3), ">f2")],
        [np.zeros(3, np.float16)],
        [],
    ],
)
def test_segments_of_wrong_shape_or_dtype_are_rejected(segments: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"segments .*\(n, D\) float16"):
        Embeddings(segments)


def test_concatenate_rejects_another_dimension() -> None:
    with pytest.raises(ValueError, match=r"segments .*\(n, D\) float16"):
        Embeddings.from_array(vectors(0, 2, 3)).concatenate(Embeddings.from_array(vectors(0, 2, 4)))


@pytest.mark.parametrize("row", [5, 6])
@pytest.mark.parametrize("parts", [[5], [2, 3], [5, 0]])
def test_row_beyond_the_last_raises_index_error(row: int, parts: list[int]) -> None:
    store = split(vectors(0, 5).astype(np.float16), parts)
    with pytest.raises(IndexError):
        store[np.array([row])]


def test_only_requested_rows_of_a_mapped_segment_are_read(tmp_path: Path) -> None:
    half = vectors(0, 30).astype(np.float16)
    np.save(tmp_path / "segment.npy", half)
    mapped = np.load(tmp_path / "segment.npy", mmap_mode="r")
    for store in (Embeddings([mapped]), Embeddings([mapped, half])):
        assert store.segments[0] is mapped
        rows_read = store[np.array([7, 3])]
        assert type(rows_read) is np.ndarray
        assert not np.shares_memory(rows_read, mapped)
        assert np.array_equal(rows_read, half[[7, 3]])
