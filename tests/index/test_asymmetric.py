"""Asymmetric distance and search in lists against loops over bits."""

from math import sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.index import asymmetric as module
from fashion_lsh.index.asymmetric import CodeLists, asymmetric
from fashion_lsh.index.codes import pack, unpack
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import HashIndex
from tests.index.factories import SyntheticDataset, assert_same_hits, hits_from_lists, synthetic_dataset

NUM_LISTS = 5
seeds, bit_counts = st.integers(0, 2**32 - 1), st.sampled_from([1, 7, 8, 9, 24, 48, 64])


def loop_distance(query: np.ndarray, bits: np.ndarray) -> float:
    """Distance of one query and one code, bit by bit."""
    norm = sqrt(sum(float(value) ** 2 for value in query) * len(query))
    product = sum(float(value) * (2 * int(bit) - 1) for value, bit in zip(query, bits, strict=True))
    return sqrt(max(0.0, 2 - (2 / norm if norm else 0.0) * product))


def exact_queries(seed: int, count: int, bits: int) -> np.ndarray:
    """Activations that are small integers / 8, whose sums are exact in any order."""
    return np.float32(np.random.default_rng(seed).integers(-20, 21, (count, bits)) / 8)


def loop_search(queries: np.ndarray, dataset: SyntheticDataset, bits: int, k: int) -> Hits:
    rankings = []
    for query, lists in zip(queries, dataset.probed_lists, strict=True):
        in_lists = np.isin(dataset.list_ids, lists[lists >= 0])
        rows = zip(unpack(dataset.vectors[in_lists], bits), dataset.rows[in_lists], strict=True)
        rankings.append(sorted((np.float32(loop_distance(query, code)), int(row)) for code, row in rows)[:k])
    return hits_from_lists(
        [[row for _, row in each] for each in rankings], [[d for d, _ in each] for each in rankings], k
    )


def code_lists(dataset: SyntheticDataset, bits: int) -> CodeLists:
    return CodeLists.from_index(dataset.add_to(HashIndex(bits, NUM_LISTS)))


@given(seeds, bit_counts)
@settings(max_examples=50, deadline=None)
def test_distances_equal_those_of_normalised_vectors(seed: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    queries, signs = rng.normal(size=(3, bits)).astype(np.float32), np.sign(rng.normal(size=(20, bits)))
    units = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    expected = np.linalg.norm(units[:, None] - signs / sqrt(bits), axis=2)
    distances = asymmetric(queries, pack(signs, 0.0))
    assert distances.dtype == np.float32
    np.testing.assert_allclose(distances, expected, atol=1e-3)  # of 2 - 2 cosine, the error of the root is larger at 0
    np.testing.assert_allclose(distances**2, expected**2, atol=1e-5)


def test_distance_is_0_to_the_own_signs_2_to_the_opposite_and_constant_without_activation() -> None:
    signs = np.array([[1.0, -1.0, 1.0, 1.0, -1.0, 1.0, 1.0, -1.0, -1.0]], dtype=np.float32)
    codes = pack(np.concatenate([signs, -signs]), 0.0)
    assert asymmetric(signs / 2, codes).tolist() == [[0.0, 2.0]]
    assert asymmetric(0 * signs, codes).tolist() == [[np.float32(sqrt(2))] * 2]


def test_distances_of_binary_activations_order_rows_as_the_hamming_distance() -> None:
    bits = np.random.default_rng(0).integers(0, 2, (50, 24))
    queries = np.float32(bits[:5]) - np.float32(0.5)
    hamming = (bits[:5, None] != bits).sum(axis=2)
    np.testing.assert_allclose(asymmetric(queries, pack(bits.astype(float))), 2 * np.sqrt(hamming / 24), atol=1e-6)


@given(seeds, bit_counts, st.integers(0, 60), st.integers(1, 70))
@settings(max_examples=100, deadline=None)
def test_search_equals_loops_over_bits(seed: int, bits: int, num_rows: int, k: int) -> None:
    dataset = synthetic_dataset(seed, bits, num_rows)
    queries = exact_queries(seed, len(dataset.queries), bits)
    assert_same_hits(
        code_lists(dataset, bits).search(queries, dataset.probed_lists, k), loop_search(queries, dataset, bits, k)
    )


@given(seeds, bit_counts, st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_rerank_of_all_rows_is_search_in_all_lists(seed: int, bits: int, k: int) -> None:
    dataset = synthetic_dataset(seed, bits)
    queries, lists = np.random.default_rng(seed).normal(size=(4, bits)), code_lists(dataset, bits)
    candidates = np.tile(np.append(np.random.default_rng(seed).permutation(dataset.rows), -1), (4, 1))
    hits = lists.rerank(queries, Hits(candidates, np.zeros(candidates.shape, np.float32)), k)
    assert_same_hits(hits, lists.search(queries, np.tile(np.arange(NUM_LISTS), (4, 1)), k))


@given(seeds, st.lists(st.integers(0, 12), max_size=4))
@settings(max_examples=30, deadline=None)
def test_hits_do_not_depend_on_batches(seed: int, cuts: list[int]) -> None:
    dataset = synthetic_dataset(seed, 48, num_queries=12)
    queries, lists = np.random.default_rng(seed).normal(size=(12, 48)).astype(np.float32), code_lists(dataset, 48)
    batches = np.split(np.arange(12), sorted(cuts))
    hits = [lists.search(queries[batch], dataset.probed_lists[batch], 9) for batch in batches]
    assert_same_hits(Hits.concatenate(hits, 9), lists.search(queries, dataset.probed_lists, 9))


def test_hits_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = synthetic_dataset(0, 24)
    queries, lists = np.random.default_rng(0).normal(size=(4, 24)), code_lists(dataset, 24)
    expected = lists.search(queries, dataset.probed_lists, 30)
    monkeypatch.setattr(module, "BLOCK", 7)
    assert_same_hits(lists.search(queries, dataset.probed_lists, 30), expected)


def test_empty_lists_and_batches_have_no_hits() -> None:
    lists = code_lists(synthetic_dataset(0, 24, num_rows=0), 24)
    probed = np.tile(np.arange(NUM_LISTS), (2, 1))
    assert lists.search(np.ones((2, 24)), probed, 3).rows.tolist() == [[-1] * 3] * 2
    assert lists.search(np.ones((0, 24)), probed[:0], 3).rows.shape == (0, 3)
    assert lists.rerank(np.ones((1, 24)), Hits(np.full((1, 2), -1), np.ones((1, 2))), 3).rows.tolist() == [[-1] * 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"queries": np.ones((2, 23))}, r"activations .*\(2, 23\).*\(Q, 24\)"),
        ({"queries": np.ones((2, 24), int)}, "activations .*int64"),
        ({"queries": np.array([[1.0] * 24, [np.nan] * 24])}, r"activations\[1\] .*NaN"),
        ({"queries": np.full((2, 24), np.inf)}, r"activations\[0\] .*inf"),
        ({"probed_lists": np.full((2, NUM_LISTS), NUM_LISTS)}, "probed_lists .*-1 to 4"),
        ({"k": 0}, "k=0"),
    ],
)
def test_invalid_arguments_are_rejected(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"queries": np.ones((2, 24)), "probed_lists": np.full((2, NUM_LISTS), -1), "k": 3}
    with pytest.raises(ValueError, match=message):
        code_lists(synthetic_dataset(0, 24), 24).search(**arguments | change)


@pytest.mark.parametrize("num_rows", [0, 20])
def test_candidates_of_another_index_are_rejected(num_rows: int) -> None:
    lists = code_lists(synthetic_dataset(0, 24, num_rows=num_rows), 24)
    with pytest.raises(ValueError, match=f"candidates .*{num_rows}"):
        lists.rerank(np.ones((1, 24)), Hits(np.array([[10**6]]), np.zeros((1, 1), np.float32)), 1)
