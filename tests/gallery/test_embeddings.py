"""Segments one after the other are one array."""

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


def split(short: np.ndarray, parts: list[int]) -> Embeddings:
    """The rows of `short` in segments of these sizes, some of them empty."""
    return Embeddings(np.split(short, np.cumsum(parts)[:-1]))


@given(seeds, sizes, st.integers(1, 9))
@settings(deadline=None)
def test_segments_read_as_one_array(seed: int, parts: list[int], block: int) -> None:
    short = vectors(seed, sum(parts)).astype(np.float16)
    store, rng = split(short, parts), np.random.default_rng(seed)
    assert (len(store), store.shape, store.dtype) == (len(short), short.shape, np.float16)
    for shape in ((0,), (4,), (2, 5)) if len(short) else ((0,),):
        rows = rng.integers(0, max(1, len(short)), shape)
        found = store[rows]
        assert found.dtype == np.float16
        assert np.array_equal(found, short[rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        order = rng.permutation(len(short))
        taken, blocks = store.taken(order), list(store.blocks())
    assert len(taken.segments) == 1
    assert np.array_equal(taken.segments[0], short[order])
    assert all(len(part) <= block and part.dtype == np.float32 for part in blocks)
    assert np.array_equal(np.concatenate([np.empty((0, 3)), *blocks]), short)


@given(seeds, sizes, sizes)
def test_joined_are_these_then_the_others_and_shares_their_segments(
    seed: int, ours: list[int], others: list[int]
) -> None:
    short = vectors(seed, sum(ours) + sum(others)).astype(np.float16)
    first, second = split(short[: sum(ours)], ours), split(short[sum(ours) :], others)
    joined = first.joined(second)
    assert np.array_equal(joined[np.arange(len(short))], short)
    assert [id(part) for part in joined.segments] == [id(part) for part in [*first.segments, *second.segments]]
    assert len(first) == sum(ours)


def test_of_vectors_is_their_half_precision_in_one_segment() -> None:
    made = vectors(0, 20)
    store = Embeddings.of(made)
    assert len(store.segments) == 1
    assert np.array_equal(store[np.arange(20)], made.astype(np.float16))
    unit = made / np.linalg.norm(made, axis=1, keepdims=True)
    kept = Embeddings.of(unit)[np.arange(20)].astype(float)
    exact, short = (np.linalg.norm(one[:, None] - one, axis=2) for one in (unit.astype(float), kept))
    assert 0 < np.abs(exact - short).max() < 0.001


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (np.float32([[1, 2], [np.nan, 0]]), "embedding 1 is not finite"),
        (np.float32([[1, np.inf]]), "embedding 0 is not finite"),
        (np.float32([[1, 70000]]), "embeddings reach beyond float16: normalise them first"),
        (np.zeros((2, 3)), r"embeddings are \(2, 3\) float64"),
        (np.zeros(3, np.float32), r"embeddings are \(3,\) float32"),
    ],
)
def test_vectors_that_cannot_be_kept_are_refused(made: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Embeddings.of(made)


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
def test_segments_of_another_form_are_refused(segments: list[np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"give \(n, D\) float16, all of one D"):
        Embeddings(segments)


def test_embeddings_of_another_length_are_not_joined() -> None:
    with pytest.raises(ValueError, match=r"give \(n, D\) float16, all of one D"):
        Embeddings.of(vectors(0, 2, 3)).joined(Embeddings.of(vectors(0, 2, 4)))


@pytest.mark.parametrize("row", [5, 6])
@pytest.mark.parametrize("parts", [[5], [2, 3], [5, 0]])
def test_a_row_beyond_the_last_is_an_error(row: int, parts: list[int]) -> None:
    store = split(vectors(0, 5).astype(np.float16), parts)
    with pytest.raises(IndexError):
        store[np.array([row])]


def test_of_a_mapped_segment_no_more_than_what_is_asked_is_in_memory(tmp_path: Path) -> None:
    short = vectors(0, 30).astype(np.float16)
    np.save(tmp_path / "segment.npy", short)
    mapped = np.load(tmp_path / "segment.npy", mmap_mode="r")
    for store in (Embeddings([mapped]), Embeddings([mapped, short])):
        assert store.segments[0] is mapped
        found = store[np.array([7, 3])]
        assert type(found) is np.ndarray
        assert not np.shares_memory(found, mapped)
        assert np.array_equal(found, short[[7, 3]])
