"""Both indexes against brute force, and the laws they keep."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.index.codes import pack
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import FloatIndex, HashIndex, kept_width
from fashion_lsh.index.inverted_lists import threads
from fashion_lsh.index.validation import LAST_ROW
from tests.index.factories import (
    Library,
    assert_inside,
    assert_same,
    kinds,
    library,
    made_for,
    to_the_row,
    whole,
)

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(1, 300), st.integers(0, 60), st.integers(1, 70))
@settings(max_examples=150, deadline=None)
def test_codes_are_found_as_by_brute_force(seed: int, bits: int, rows: int, k: int) -> None:
    made = library(seed, bits, rows)
    index = made.filed(HashIndex(bits, 5), parts=3)
    assert_same(index.nearest(made.queries, made.probes, k), made.expected(k))
    assert_inside(index.search(made.queries, made.probes, k), made.expected(rows + k))


@given(seeds, st.integers(1, 300), st.integers(0, 60), st.integers(0, 302))
@settings(max_examples=60, deadline=None)
def test_within_a_radius_are_all_rows_up_to_it(seed: int, bits: int, rows: int, radius: int) -> None:
    made = library(seed, bits, rows)
    index, everything = made.filed(HashIndex(bits, 5)), made.expected(max(1, rows))
    for query, apart in enumerate(everything.distances):
        found = index.within(made.queries[query], made.probes[query], radius)
        near = apart <= radius
        assert_same(found, Hits(everything.rows[[query]][:, near], everything.distances[[query]][:, near]))


@given(seeds, st.integers(1, 40), st.integers(0, 60), st.integers(1, 70))
@settings(max_examples=60, deadline=None)
def test_embeddings_are_found_as_by_brute_force(seed: int, dimensions: int, rows: int, k: int) -> None:
    made = library(seed, dimensions, rows, codes=False)
    found = made.filed(FloatIndex(dimensions, 5), parts=3).search(made.queries, made.probes, k)
    assert_inside(found, made.expected(rows + k))


@pytest.mark.parametrize(
    ("bits", "kept"),
    [(1, 4), (32, 4), (33, 8), (48, 8), (64, 8), (65, 16), (128, 16), (129, 20), (161, 32), (256, 32), (257, 40)],
)
def test_codes_are_kept_in_bytes_that_faiss_compares_fast(bits: int, kept: int) -> None:
    assert kept_width(bits) == kept


def test_of_many_equal_codes_the_nearest_are_the_lowest_rows() -> None:
    rows = np.random.default_rng(0).permutation(3000)
    index = HashIndex(64, 30)
    index.add(np.zeros((3000, 8), np.uint8), rows % 30, rows)
    found = index.nearest(np.zeros((2, 8), np.uint8), np.tile(np.arange(30), (2, 1)), 10)
    assert found.rows.tolist() == [list(range(10))] * 2
    assert not found.distances.any()


@pytest.mark.parametrize("bits", [1, 300])
def test_the_last_rows_that_fit_are_found(bits: int) -> None:
    rows, codes = np.array([LAST_ROW, LAST_ROW - 1, 0]), pack(np.array([[0.0], [0.0], [1.0]]).repeat(bits, axis=1))
    index = HashIndex(bits, 1)
    index.add(codes, np.zeros(3, np.int64), rows)
    found = index.nearest(codes[:1], np.zeros((1, 1), np.int64), 3)
    assert found.rows.tolist() == [[LAST_ROW - 1, LAST_ROW, 0]]
    assert found.distances.tolist() == [[0, 0, bits]]


@given(seeds, st.integers(1, 300))
@settings(max_examples=30, deadline=None)
def test_a_mask_over_all_codes_changes_nothing(seed: int, bits: int) -> None:
    made = library(seed, bits)
    mask = pack(np.random.default_rng(seed).random((1, bits)))
    masked = Library(made.vectors ^ mask, made.lists, made.rows, made.queries ^ mask, made.probes)
    plain = made.filed(HashIndex(bits, 5)).nearest(made.queries, made.probes, 7)
    assert_same(masked.filed(HashIndex(bits, 5)).nearest(masked.queries, masked.probes, 7), plain)


@kinds
@pytest.mark.parametrize("k", [9, 60])
def test_all_lists_probed_are_the_whole_gallery(kind: type[Any], k: int) -> None:
    index, made = made_for(kind)
    single = kind(12, 1)
    single.add(made.vectors, np.zeros_like(made.lists), made.rows)
    everything = to_the_row(single, made.queries, whole(made, 1), k)
    assert_same(to_the_row(index, made.queries, whole(made), k), everything)
    assert (everything.rows >= 0).all()


@kinds
@given(seeds, st.data())
@settings(max_examples=30, deadline=None)
def test_any_split_of_a_batch_and_order_of_probes_gives_the_same(
    kind: type[Any], seed: int, data: st.DataObject
) -> None:
    index, made = made_for(kind, seed, queries=12)
    cuts = sorted(data.draw(st.lists(st.integers(0, 12), max_size=4)))
    parts = np.split(np.arange(12), cuts)
    shuffled = np.random.default_rng(seed).permuted(made.probes, axis=1)
    exact = [to_the_row(index, made.queries[part], shuffled[part], 8) for part in parts]
    assert_same(Hits.joined(exact, 8), to_the_row(index, made.queries, made.probes, 8))
    found = [index.search(made.queries[part], shuffled[part], 8) for part in parts]
    assert_inside(Hits.joined(found, 8), made.expected(60))


@kinds
def test_threads_do_not_matter(kind: type[Any]) -> None:
    found = []
    for count in (1, 3):
        with threads(count):
            index, made = made_for(kind, queries=30)
            found.append(to_the_row(index, made.queries, made.probes, 8))
            assert_inside(index.search(made.queries, made.probes, 8), made.expected(60))
    assert_same(*found)


@kinds
@given(seeds, st.integers(0, 40), st.integers(0, 40), st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_added_then_removed_is_never_added(kind: type[Any], seed: int, kept: int, removed: int, k: int) -> None:
    made = library(seed, 12, kept + removed, codes=kind is HashIndex)
    stays = np.random.default_rng(seed).permutation(kept + removed) < kept
    gone, left = made.part(~stays), made.part(stays)
    index, never = made.filed(kind(12, 5), parts=2), left.filed(kind(12, 5))
    index.remove(gone.rows)
    for ours, wanted in zip(index.contents(), never.contents(), strict=True):
        assert np.array_equal(ours, wanted)
    assert index.stats() == never.stats()
    assert_same(to_the_row(index, made.queries, made.probes, k), left.expected(k))
    gone.filed(index)
    assert_same(to_the_row(index, made.queries, made.probes, k), made.expected(k))


@kinds
@pytest.mark.parametrize("rows", [0, 60])
def test_contents_and_stats_are_of_what_was_filed(kind: type[Any], rows: int) -> None:
    index, made = made_for(kind, rows=rows)
    order = np.argsort(made.rows)
    for held, filed in zip(index.contents(), (made.rows, made.lists, made.vectors), strict=True):
        assert held.dtype == filed.dtype
        assert np.array_equal(held, filed[order])
    sizes = np.bincount(made.lists, minlength=5).tolist()
    each = kept_width(12) if kind is HashIndex else 4 * 12
    assert index.stats() == (rows, rows * each, made.rows.astype(np.int64).nbytes, sizes)
    assert index.list_sizes().tolist() == sizes


@kinds
def test_an_index_emptied_or_new_answers_with_nothing(kind: type[Any]) -> None:
    index, made = made_for(kind)
    index.remove(made.rows)
    fresh = made_for(kind)[0].empty()
    fresh.add(made.vectors[:0], made.lists[:0], made.rows[:0])
    fresh.remove(made.rows[:0])
    for nothing in (index, fresh):
        assert type(nothing) is kind
        assert nothing.stats() == (0, 0, 0, [0] * 5)
        assert_same(
            nothing.search(made.queries, whole(made), 3), Hits(np.full((4, 3), -1), np.full((4, 3), np.inf, "f"))
        )
        assert to_the_row(nothing, made.queries[:0], made.probes[:0], 3).rows.shape == (0, 3)
        assert_same(to_the_row(made.filed(nothing), made.queries, made.probes, 9), made.expected(9))
    assert (fresh.bits if kind is HashIndex else fresh.dimensions) == 12


@kinds
def test_no_probe_no_hit_and_k_beyond_the_rows(kind: type[Any]) -> None:
    index, made = made_for(kind)
    for search in (index.search, lambda *asked: to_the_row(index, *asked)):
        assert (search(made.queries, np.full((4, 5), -1), 3).rows == -1).all()
        beyond = search(made.queries, whole(made), 1000)
        beyond.check()
        assert beyond.rows.shape == (4, 1000)
        assert ((beyond.rows >= 0).sum(axis=1) == 60).all()


@kinds
def test_arrays_in_any_memory_order_serve(kind: type[Any]) -> None:
    index, made = made_for(kind)
    turned = kind(12, 5)
    turned.add(np.asfortranarray(made.vectors), np.repeat(made.lists, 2)[::2], np.repeat(made.rows, 2)[::2])
    turned.remove(np.repeat(made.rows, 2)[:40:2])
    index.remove(made.rows[:20])
    expected = to_the_row(index, made.queries, made.probes, 5)
    assert_same(to_the_row(turned, np.asfortranarray(made.queries), np.asfortranarray(made.probes), 5), expected)
    if kind is HashIndex:
        wide, lists = np.repeat(made.queries, 2, axis=1)[0, ::2], np.repeat(made.probes, 2, axis=1)[0, ::2]
        assert_same(turned.within(wide, lists, 4), index.within(made.queries[0], made.probes[0], 4))
