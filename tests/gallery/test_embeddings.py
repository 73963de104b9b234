"""Embeddings in segments against a single array."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.gallery import embeddings as module
from fashion_lsh.gallery.embeddings import Embeddings

seeds = st.integers(0, 2**32 - 1)
segment_sizes = st.lists(st.integers(0, 7), min_size=1, max_size=5)


def random_vectors(seed: int, num_rows: int, dimensions: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num_rows, dimensions)).astype(np.float32)


def make_store(embeddings: np.ndarray, sizes: list[int]) -> Embeddings:
    """Split (N, D) float16 embeddings into segments of the given sizes, which may be 0."""
    return Embeddings(np.split(embeddings, np.cumsum(sizes)[:-1]))


@given(seeds, segment_sizes, st.integers(1, 9))
@settings(deadline=None)
def test_segments_read_as_one_array(seed: int, sizes: list[int], block: int) -> None:
    array = random_vectors(seed, sum(sizes)).astype(np.float16)
    store, rng = make_store(array, sizes), np.random.default_rng(seed)
    assert (len(store), store.shape, store.dtype) == (len(array), array.shape, np.float16)
    for shape in ((0,), (4,), (2, 5)) if len(array) else ((0,),):
        rows = rng.integers(0, max(1, len(array)), shape)
        rows_read = store[rows]
        assert rows_read.dtype == np.float16
        assert np.array_equal(rows_read, array[rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        order = rng.permutation(len(array))
        selected, blocks = store.take(order), list(store.blocks())
    assert len(selected.segments) == 1
    assert np.array_equal(selected.segments[0], array[order])
    assert all(len(rows) <= block and rows.dtype == np.float32 for rows in blocks)
    assert np.array_equal(np.concatenate([np.empty((0, 3)), *blocks]), array)


@given(seeds, segment_sizes, segment_sizes)
def test_concatenate_keeps_order_and_shares_segments(seed: int, sizes: list[int], other_sizes: list[int]) -> None:
    array = random_vectors(seed, sum(sizes) + sum(other_sizes)).astype(np.float16)
    store, other = make_store(array[: sum(sizes)], sizes), make_store(array[sum(sizes) :], other_sizes)
    concatenated = store.concatenate(other)
    assert np.array_equal(concatenated[np.arange(len(array))], array)
    assert [id(segment) for segment in concatenated.segments] == [
        id(segment) for segment in [*store.segments, *other.segments]
    ]
    assert len(store) == sum(sizes)


def test_from_array_stores_float16_in_one_segment() -> None:
    values = random_vectors(0, 20)
    store = Embeddings.from_array(values)
    assert len(store.segments) == 1
    assert np.array_equal(store[np.arange(20)], values.astype(np.float16))
    unit_vectors = values / np.linalg.norm(values, axis=1, keepdims=True)
    half_precision = Embeddings.from_array(unit_vectors)[np.arange(20)].astype(float)
    exact, rounded = (
        np.linalg.norm(array[:, None] - array, axis=2) for array in (unit_vectors.astype(float), half_precision)
    )
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
        Embeddings.from_array(random_vectors(0, 2, 3)).concatenate(Embeddings.from_array(random_vectors(0, 2, 4)))


@pytest.mark.parametrize("row", [5, 6])
@pytest.mark.parametrize("sizes", [[5], [2, 3], [5, 0]])
def test_row_beyond_the_last_raises_index_error(row: int, sizes: list[int]) -> None:
    store = make_store(random_vectors(0, 5).astype(np.float16), sizes)
    with pytest.raises(IndexError):
        store[np.array([row])]


def test_only_requested_rows_of_a_mapped_segment_are_read(tmp_path: Path) -> None:
    array = random_vectors(0, 30).astype(np.float16)
    np.save(tmp_path / "segment.npy", array)
    mapped = np.load(tmp_path / "segment.npy", mmap_mode="r")
    for store in (Embeddings([mapped]), Embeddings([mapped, array])):
        assert store.segments[0] is mapped
        rows_read = store[np.array([7, 3])]
        assert type(rows_read) is np.ndarray
        assert not np.shares_memory(rows_read, mapped)
        assert np.array_equal(rows_read, array[[7, 3]])
