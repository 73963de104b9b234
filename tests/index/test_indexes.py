"""HashIndex and FloatIndex against brute-force search, and invariants of both indexes."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.index.codes import pack, stored_code_bytes
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import FloatIndex, HashIndex, faiss_threads
from fashion_lsh.index.validation import MAX_ROW
from tests.index.factories import (
    SyntheticDataset,
    all_lists,
    assert_hits_equal_up_to_ties,
    assert_same_hits,
    both_index_classes,
    exact_search,
    index_and_dataset,
    synthetic_dataset,
)

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(1, 300), st.integers(0, 60), st.integers(1, 70))
@settings(max_examples=150, deadline=None)
def test_hash_index_equals_brute_force(seed: int, bits: int, num_rows: int, k: int) -> None:
    dataset = synthetic_dataset(seed, bits, num_rows)
    index = dataset.add_to(HashIndex(bits, 5), num_batches=3)
    assert_same_hits(index.search(dataset.queries, dataset.probed_lists, k), dataset.expected(k))


@given(seeds, st.integers(1, 300), st.integers(0, 60), st.integers(0, 302))
@settings(max_examples=60, deadline=None)
def test_range_search_returns_all_rows_up_to_the_radius(seed: int, bits: int, num_rows: int, radius: int) -> None:
    dataset = synthetic_dataset(seed, bits, num_rows)
    index, all_hits = dataset.add_to(HashIndex(bits, 5)), dataset.expected(max(1, num_rows))
    for query, distances in enumerate(all_hits.distances):
        hits = index.range_search(dataset.queries[query], dataset.probed_lists[query], radius)
        within_radius = distances <= radius
        expected = Hits(all_hits.rows[[query]][:, within_radius], distances[None, within_radius])
        assert_same_hits(hits, expected)


@given(seeds, st.integers(1, 40), st.integers(0, 60), st.integers(1, 70))
@settings(max_examples=60, deadline=None)
def test_float_index_equals_brute_force(seed: int, dimensions: int, num_rows: int, k: int) -> None:
    dataset = synthetic_dataset(seed, dimensions, num_rows, codes=False)
    hits = dataset.add_to(FloatIndex(dimensions, 5), num_batches=3).search(dataset.queries, dataset.probed_lists, k)
    assert_hits_equal_up_to_ties(hits, dataset.expected(num_rows + k))


@pytest.mark.parametrize(
    ("bits", "size"),
    [(1, 4), (32, 4), (33, 8), (48, 8), (64, 8), (65, 16), (128, 16), (129, 20), (161, 32), (256, 32), (257, 40)],
)
def test_code_sizes_are_fast_in_faiss(bits: int, size: int) -> None:
    assert stored_code_bytes(bits) == size


def test_ties_are_broken_by_lowest_row() -> None:
    rows = np.random.default_rng(0).permutation(3000)
    index = HashIndex(64, 30)
    index.add(np.zeros((3000, 8), np.uint8), rows % 30, rows)
    hits = index.search(np.zeros((2, 8), np.uint8), np.tile(np.arange(30), (2, 1)), 10)
    assert hits.rows.tolist() == [list(range(10))] * 2
    assert not hits.distances.any()


@pytest.mark.parametrize("bits", [1, 300])
def test_largest_row_numbers_are_found(bits: int) -> None:
    rows, codes = np.array([MAX_ROW, MAX_ROW - 1, 0]), pack(np.array([[0.0], [0.0], [1.0]]).repeat(bits, axis=1))
    index = HashIndex(bits, 1)
    index.add(codes, np.zeros(3, np.int64), rows)
    hits = index.search(codes[:1], np.zeros((1, 1), np.int64), 3)
    assert hits.rows.tolist() == [[MAX_ROW - 1, MAX_ROW, 0]]
    assert hits.distances.tolist() == [[0, 0, bits]]


@given(seeds, st.integers(1, 300))
@settings(max_examples=30, deadline=None)
def test_search_is_invariant_under_xor(seed: int, bits: int) -> None:
    dataset = synthetic_dataset(seed, bits)
    mask = pack(np.random.default_rng(seed).random((1, bits)))
    masked = SyntheticDataset(
        dataset.vectors ^ mask, dataset.list_ids, dataset.rows, dataset.queries ^ mask, dataset.probed_lists
    )
    expected = dataset.add_to(HashIndex(bits, 5)).search(dataset.queries, dataset.probed_lists, 7)
    assert_same_hits(masked.add_to(HashIndex(bits, 5)).search(masked.queries, masked.probed_lists, 7), expected)


@both_index_classes
@pytest.mark.parametrize("k", [9, 60])
def test_probing_all_lists_is_exhaustive_search(index_class: type[Any], k: int) -> None:
    index, dataset = index_and_dataset(index_class)
    one_list = index_class(12, 1)
    one_list.add(dataset.vectors, np.zeros_like(dataset.list_ids), dataset.rows)
    expected = exact_search(one_list, dataset.queries, all_lists(dataset, 1), k)
    assert_same_hits(exact_search(index, dataset.queries, all_lists(dataset), k), expected)
    assert (expected.rows >= 0).all()


@both_index_classes
@given(seeds, st.data())
@settings(max_examples=30, deadline=None)
def test_search_does_not_depend_on_batches_or_order_of_lists(
    index_class: type[Any], seed: int, data: st.DataObject
) -> None:
    index, dataset = index_and_dataset(index_class, seed, num_queries=12)
    cuts = sorted(data.draw(st.lists(st.integers(0, 12), max_size=4)))
    batches = np.split(np.arange(12), cuts)
    shuffled = np.random.default_rng(seed).permuted(dataset.probed_lists, axis=1)
    exact = [exact_search(index, dataset.queries[batch], shuffled[batch], 8) for batch in batches]
    assert_same_hits(Hits.concatenate(exact, 8), exact_search(index, dataset.queries, dataset.probed_lists, 8))
    hits = [index.search(dataset.queries[batch], shuffled[batch], 8) for batch in batches]
    assert_hits_equal_up_to_ties(Hits.concatenate(hits, 8), dataset.expected(60))


@both_index_classes
def test_search_does_not_depend_on_threads(index_class: type[Any]) -> None:
    hits = []
    for count in (1, 3):
        with faiss_threads(count):
            index, dataset = index_and_dataset(index_class, num_queries=30)
            hits.append(exact_search(index, dataset.queries, dataset.probed_lists, 8))
            assert_hits_equal_up_to_ties(index.search(dataset.queries, dataset.probed_lists, 8), dataset.expected(60))
    assert_same_hits(*hits)


@both_index_classes
@given(seeds, st.integers(0, 40), st.integers(0, 40), st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_remove_undoes_add(index_class: type[Any], seed: int, num_kept: int, num_removed: int, k: int) -> None:
    dataset = synthetic_dataset(seed, 12, num_kept + num_removed, codes=index_class is HashIndex)
    is_kept = np.random.default_rng(seed).permutation(num_kept + num_removed) < num_kept
    removed, kept = dataset.subset(~is_kept), dataset.subset(is_kept)
    index, expected_index = dataset.add_to(index_class(12, 5), num_batches=2), kept.add_to(index_class(12, 5))
    index.remove(removed.rows)
    for actual, expected in zip(index.contents(), expected_index.contents(), strict=True):
        assert np.array_equal(actual, expected)
    assert index.stats() == expected_index.stats()
    assert_same_hits(exact_search(index, dataset.queries, dataset.probed_lists, k), kept.expected(k))
    removed.add_to(index)
    assert_same_hits(exact_search(index, dataset.queries, dataset.probed_lists, k), dataset.expected(k))


@both_index_classes
@pytest.mark.parametrize("num_rows", [0, 60])
def test_contents_and_stats_match_added_rows(index_class: type[Any], num_rows: int) -> None:
    index, dataset = index_and_dataset(index_class, num_rows=num_rows)
    order = np.argsort(dataset.rows)
    for actual, expected in zip(index.contents(), (dataset.rows, dataset.list_ids, dataset.vectors), strict=True):
        assert actual.dtype == expected.dtype
        assert np.array_equal(actual, expected[order])
    sizes = np.bincount(dataset.list_ids, minlength=5).tolist()
    vector_bytes = stored_code_bytes(12) if index_class is HashIndex else 4 * 12
    assert index.stats() == (num_rows, num_rows * vector_bytes, dataset.rows.astype(np.int64).nbytes, sizes)
    assert index.list_sizes().tolist() == sizes


@both_index_classes
def test_empty_index_returns_no_hits(index_class: type[Any]) -> None:
    index, dataset = index_and_dataset(index_class)
    index.remove(dataset.rows)
    empty = index_and_dataset(index_class)[0].empty()
    empty.add(dataset.vectors[:0], dataset.list_ids[:0], dataset.rows[:0])
    empty.remove(dataset.rows[:0])
    for empty_index in (index, empty):
        assert type(empty_index) is index_class
        assert empty_index.stats() == (0, 0, 0, [0] * 5)
        assert_same_hits(
            empty_index.search(dataset.queries, all_lists(dataset), 3),
            Hits(np.full((4, 3), -1), np.full((4, 3), np.inf, "f")),
        )
        assert exact_search(empty_index, dataset.queries[:0], dataset.probed_lists[:0], 3).rows.shape == (0, 3)
        assert_same_hits(
            exact_search(dataset.add_to(empty_index), dataset.queries, dataset.probed_lists, 9), dataset.expected(9)
        )
    assert (empty.bits if index_class is HashIndex else empty.dimensions) == 12


@both_index_classes
def test_hits_are_padded_without_probed_lists_and_with_a_large_k(index_class: type[Any]) -> None:
    index, dataset = index_and_dataset(index_class)
    for search in (index.search, lambda *args: exact_search(index, *args)):
        assert (search(dataset.queries, np.full((4, 5), -1), 3).rows == -1).all()
        padded_hits = search(dataset.queries, all_lists(dataset), 1000)
        padded_hits.check()
        assert padded_hits.rows.shape == (4, 1000)
        assert ((padded_hits.rows >= 0).sum(axis=1) == 60).all()


@both_index_classes
def test_index_accepts_any_memory_order(index_class: type[Any]) -> None:
    index, dataset = index_and_dataset(index_class)
    reordered = index_class(12, 5)
    reordered.add(
        np.asfortranarray(dataset.vectors), np.repeat(dataset.list_ids, 2)[::2], np.repeat(dataset.rows, 2)[::2]
    )
    reordered.remove(np.repeat(dataset.rows, 2)[:40:2])
    index.remove(dataset.rows[:20])
    expected = exact_search(index, dataset.queries, dataset.probed_lists, 5)
    assert_same_hits(
        exact_search(reordered, np.asfortranarray(dataset.queries), np.asfortranarray(dataset.probed_lists), 5),
        expected,
    )
    if index_class is HashIndex:
        strided_query = np.repeat(dataset.queries, 2, axis=1)[0, ::2]
        strided_lists = np.repeat(dataset.probed_lists, 2, axis=1)[0, ::2]
        assert_same_hits(
            reordered.range_search(strided_query, strided_lists, 4),
            index.range_search(dataset.queries[0], dataset.probed_lists[0], 4),
        )
