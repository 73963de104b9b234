"""HashIndex and FloatIndex against brute force, and their invariants."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.index.codes import pack
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import FloatIndex, HashIndex, stored_width
from fashion_lsh.index.inverted_lists import threads
from fashion_lsh.index.validation import MAX_ROW
from tests.index.factories import (
    SyntheticDataset,
    all_lists,
    assert_hits_within,
    assert_same_hits,
    both_indexes,
    exact_search,
    index_and_dataset,
    synthetic_dataset,
)

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(1, 300), st.integers(0, 60), st.integers(1, 70))
@settings(max_examples=150, deadline=None)
def test_hash_index_equals_brute_force(seed: int, bits: int, rows: int, k: int) -> None:
    dataset = synthetic_dataset(seed, bits, rows)
    index = dataset.add_to(HashIndex(bits, 5), parts=3)
    assert_same_hits(index.search_exact(dataset.queries, dataset.probed_lists, k), dataset.expected(k))
    assert_hits_within(index.search(dataset.queries, dataset.probed_lists, k), dataset.expected(rows + k))


@given(seeds, st.integers(1, 300), st.integers(0, 60), st.integers(0, 302))
@settings(max_examples=60, deadline=None)
def test_range_search_returns_all_rows_up_to_the_radius(seed: int, bits: int, rows: int, radius: int) -> None:
    dataset = synthetic_dataset(seed, bits, rows)
    index, everything = dataset.add_to(HashIndex(bits, 5)), dataset.expected(max(1, rows))
    for query, apart in enumerate(everything.distances):
        hits = index.range_search(dataset.queries[query], dataset.probed_lists[query], radius)
        near = apart <= radius
        assert_same_hits(hits, Hits(everything.rows[[query]][:, near], everything.distances[[query]][:, near]))


@given(seeds, st.integers(1, 40), st.integers(0, 60), st.integers(1, 70))
@settings(max_examples=60, deadline=None)
def test_float_index_equals_brute_force(seed: int, dimensions: int, rows: int, k: int) -> None:
    dataset = synthetic_dataset(seed, dimensions, rows, codes=False)
    hits = dataset.add_to(FloatIndex(dimensions, 5), parts=3).search(dataset.queries, dataset.probed_lists, k)
    assert_hits_within(hits, dataset.expected(rows + k))


@pytest.mark.parametrize(
    ("bits", "size"),
    [(1, 4), (32, 4), (33, 8), (48, 8), (64, 8), (65, 16), (128, 16), (129, 20), (161, 32), (256, 32), (257, 40)],
)
def test_stored_width_is_fast_in_faiss(bits: int, size: int) -> None:
    assert stored_width(bits) == size


def test_ties_are_broken_by_lowest_row() -> None:
    rows = np.random.default_rng(0).permutation(3000)
    index = HashIndex(64, 30)
    index.add(np.zeros((3000, 8), np.uint8), rows % 30, rows)
    hits = index.search_exact(np.zeros((2, 8), np.uint8), np.tile(np.arange(30), (2, 1)), 10)
    assert hits.rows.tolist() == [list(range(10))] * 2
    assert not hits.distances.any()


@pytest.mark.parametrize("bits", [1, 300])
def test_largest_row_numbers_are_found(bits: int) -> None:
    rows, codes = np.array([MAX_ROW, MAX_ROW - 1, 0]), pack(np.array([[0.0], [0.0], [1.0]]).repeat(bits, axis=1))
    index = HashIndex(bits, 1)
    index.add(codes, np.zeros(3, np.int64), rows)
    hits = index.search_exact(codes[:1], np.zeros((1, 1), np.int64), 3)
    assert hits.rows.tolist() == [[MAX_ROW - 1, MAX_ROW, 0]]
    assert hits.distances.tolist() == [[0, 0, bits]]


@given(seeds, st.integers(1, 300))
@settings(max_examples=30, deadline=None)
def test_search_is_invariant_under_xor(seed: int, bits: int) -> None:
    dataset = synthetic_dataset(seed, bits)
    mask = pack(np.random.default_rng(seed).random((1, bits)))
    masked = SyntheticDataset(
        dataset.vectors ^ mask, dataset.lists, dataset.rows, dataset.queries ^ mask, dataset.probed_lists
    )
    expected = dataset.add_to(HashIndex(bits, 5)).search_exact(dataset.queries, dataset.probed_lists, 7)
    assert_same_hits(masked.add_to(HashIndex(bits, 5)).search_exact(masked.queries, masked.probed_lists, 7), expected)


@both_indexes
@pytest.mark.parametrize("k", [9, 60])
def test_probing_all_lists_is_exhaustive_search(kind: type[Any], k: int) -> None:
    index, dataset = index_and_dataset(kind)
    single = kind(12, 1)
    single.add(dataset.vectors, np.zeros_like(dataset.lists), dataset.rows)
    everything = exact_search(single, dataset.queries, all_lists(dataset, 1), k)
    assert_same_hits(exact_search(index, dataset.queries, all_lists(dataset), k), everything)
    assert (everything.rows >= 0).all()


@both_indexes
@given(seeds, st.data())
@settings(max_examples=30, deadline=None)
def test_search_does_not_depend_on_batches_or_order_of_lists(kind: type[Any], seed: int, data: st.DataObject) -> None:
    index, dataset = index_and_dataset(kind, seed, queries=12)
    cuts = sorted(data.draw(st.lists(st.integers(0, 12), max_size=4)))
    parts = np.split(np.arange(12), cuts)
    shuffled = np.random.default_rng(seed).permuted(dataset.probed_lists, axis=1)
    exact = [exact_search(index, dataset.queries[part], shuffled[part], 8) for part in parts]
    assert_same_hits(Hits.concatenate(exact, 8), exact_search(index, dataset.queries, dataset.probed_lists, 8))
    hits = [index.search(dataset.queries[part], shuffled[part], 8) for part in parts]
    assert_hits_within(Hits.concatenate(hits, 8), dataset.expected(60))


@both_indexes
def test_search_does_not_depend_on_threads(kind: type[Any]) -> None:
    hits = []
    for count in (1, 3):
        with threads(count):
            index, dataset = index_and_dataset(kind, queries=30)
            hits.append(exact_search(index, dataset.queries, dataset.probed_lists, 8))
            assert_hits_within(index.search(dataset.queries, dataset.probed_lists, 8), dataset.expected(60))
    assert_same_hits(*hits)


@both_indexes
@given(seeds, st.integers(0, 40), st.integers(0, 40), st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_remove_undoes_add(kind: type[Any], seed: int, size: int, removed: int, k: int) -> None:
    dataset = synthetic_dataset(seed, 12, size + removed, codes=kind is HashIndex)
    keep_mask = np.random.default_rng(seed).permutation(size + removed) < size
    removed_part, kept_part = dataset.part(~keep_mask), dataset.part(keep_mask)
    index, expected_index = dataset.add_to(kind(12, 5), parts=2), kept_part.add_to(kind(12, 5))
    index.remove(removed_part.rows)
    for ours, expected in zip(index.contents(), expected_index.contents(), strict=True):
        assert np.array_equal(ours, expected)
    assert index.stats() == expected_index.stats()
    assert_same_hits(exact_search(index, dataset.queries, dataset.probed_lists, k), kept_part.expected(k))
    removed_part.add_to(index)
    assert_same_hits(exact_search(index, dataset.queries, dataset.probed_lists, k), dataset.expected(k))


@both_indexes
@pytest.mark.parametrize("rows", [0, 60])
def test_contents_and_stats_match_added_rows(kind: type[Any], rows: int) -> None:
    index, dataset = index_and_dataset(kind, rows=rows)
    order = np.argsort(dataset.rows)
    for actual, expected in zip(index.contents(), (dataset.rows, dataset.lists, dataset.vectors), strict=True):
        assert actual.dtype == expected.dtype
        assert np.array_equal(actual, expected[order])
    sizes = np.bincount(dataset.lists, minlength=5).tolist()
    vector_bytes = stored_width(12) if kind is HashIndex else 4 * 12
    assert index.stats() == (rows, rows * vector_bytes, dataset.rows.astype(np.int64).nbytes, sizes)
    assert index.list_sizes().tolist() == sizes


@both_indexes
def test_empty_index_returns_no_hits(kind: type[Any]) -> None:
    index, dataset = index_and_dataset(kind)
    index.remove(dataset.rows)
    empty = index_and_dataset(kind)[0].empty()
    empty.add(dataset.vectors[:0], dataset.lists[:0], dataset.rows[:0])
    empty.remove(dataset.rows[:0])
    for nothing in (index, empty):
        assert type(nothing) is kind
        assert nothing.stats() == (0, 0, 0, [0] * 5)
        assert_same_hits(
            nothing.search(dataset.queries, all_lists(dataset), 3),
            Hits(np.full((4, 3), -1), np.full((4, 3), np.inf, "f")),
        )
        assert exact_search(nothing, dataset.queries[:0], dataset.probed_lists[:0], 3).rows.shape == (0, 3)
        assert_same_hits(
            exact_search(dataset.add_to(nothing), dataset.queries, dataset.probed_lists, 9), dataset.expected(9)
        )
    assert (empty.bits if kind is HashIndex else empty.dimensions) == 12


@both_indexes
def test_no_probed_list_gives_no_hits_and_large_k_is_padded(kind: type[Any]) -> None:
    index, dataset = index_and_dataset(kind)
    for search in (index.search, lambda *args: exact_search(index, *args)):
        assert (search(dataset.queries, np.full((4, 5), -1), 3).rows == -1).all()
        beyond = search(dataset.queries, all_lists(dataset), 1000)
        beyond.check()
        assert beyond.rows.shape == (4, 1000)
        assert ((beyond.rows >= 0).sum(axis=1) == 60).all()


@both_indexes
def test_index_accepts_any_memory_order(kind: type[Any]) -> None:
    index, dataset = index_and_dataset(kind)
    reordered = kind(12, 5)
    reordered.add(np.asfortranarray(dataset.vectors), np.repeat(dataset.lists, 2)[::2], np.repeat(dataset.rows, 2)[::2])
    reordered.remove(np.repeat(dataset.rows, 2)[:40:2])
    index.remove(dataset.rows[:20])
    expected = exact_search(index, dataset.queries, dataset.probed_lists, 5)
    assert_same_hits(
        exact_search(reordered, np.asfortranarray(dataset.queries), np.asfortranarray(dataset.probed_lists), 5),
        expected,
    )
    if kind is HashIndex:
        wide, lists = np.repeat(dataset.queries, 2, axis=1)[0, ::2], np.repeat(dataset.probed_lists, 2, axis=1)[0, ::2]
        assert_same_hits(
            reordered.range_search(wide, lists, 4), index.range_search(dataset.queries[0], dataset.probed_lists[0], 4)
        )
