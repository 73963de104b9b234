"""Hamming and Euclidean distances against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.index import distances as module
from fashion_lsh.index.codes import pack
from fashion_lsh.index.distances import euclidean, hamming
from tests.index.factories import random_bits, random_unit_vectors

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(0, 6), st.integers(0, 9), st.integers(1, 200), st.integers(1, 30))
@settings(max_examples=50)
def test_hamming_does_not_depend_on_block_size(
    seed: int, num_queries: int, num_rows: int, bits: int, block: int
) -> None:
    query_bits, gallery_bits = random_bits(seed, num_queries, bits), random_bits(seed + 1, num_rows, bits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        distances = hamming(pack(query_bits.astype(float)), pack(gallery_bits.astype(float)))
    assert distances.dtype == np.int16
    expected = [[sum(a != b for a, b in zip(query, row, strict=True)) for row in gallery_bits] for query in query_bits]
    assert distances.tolist() == expected


@given(seeds, st.integers(1, 130))
def test_hamming_is_a_metric_invariant_under_xor(seed: int, bits: int) -> None:
    packed = pack(random_bits(seed, 6, bits).astype(float))
    mask = pack(random_bits(seed + 1, 1, bits).astype(float))
    distances = hamming(packed, packed)
    assert np.array_equal(distances, distances.T)
    assert not distances.diagonal().any()
    assert (distances[:, :, None] <= distances[:, None, :] + distances.T[None]).all()
    assert np.array_equal(hamming(packed ^ mask, packed ^ mask), distances)


def test_hamming_accepts_noncontiguous_arrays() -> None:
    wide = np.arange(64, dtype=np.uint8).reshape(4, 16)
    assert np.array_equal(
        hamming(wide[::2, 3:12], wide[:, 3:12]), hamming(wide[::2, 3:12].copy(), wide[:, 3:12].copy())
    )


def test_hamming_of_the_widest_codes() -> None:
    zeros, ones = np.zeros((1, 4095), dtype=np.uint8), np.full((1, 4095), 255, dtype=np.uint8)
    assert hamming(zeros, ones).tolist() == [[32760]]


@pytest.mark.parametrize(
    ("queries", "gallery", "message"),
    [
        (np.zeros((1, 2), np.uint8), np.zeros((1, 3), np.uint8), "queries .*2 bytes.*gallery .*3 bytes"),
        (np.zeros((1, 4096), np.uint8), np.zeros((1, 4096), np.uint8), "at most 4095"),
        (np.zeros((1, 2), np.int64), np.zeros((1, 2), np.uint8), r"queries .*\(1, 2\).*int64"),
        (np.zeros((1, 2), np.uint8), np.zeros(2, np.uint8), r"gallery .*\(2,\).*uint8"),
    ],
)
def test_hamming_rejects_incompatible_codes(queries: np.ndarray, gallery: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hamming(queries, gallery)


@given(seeds, st.integers(0, 4), st.integers(0, 5), st.integers(1, 70))
def test_euclidean_matches_the_definition(seed: int, num_queries: int, num_rows: int, dimensions: int) -> None:
    query_vectors = random_unit_vectors(seed, num_queries, dimensions)
    candidate_vectors = random_unit_vectors(seed + 1, num_queries, num_rows, dimensions)
    actual = euclidean(query_vectors, candidate_vectors)
    assert actual.shape == (num_queries, num_rows)
    assert actual.dtype == np.float32
    expected = np.sqrt(((candidate_vectors.astype(float) - query_vectors[:, None].astype(float)) ** 2).sum(axis=2))
    assert np.allclose(actual, expected, atol=1e-6)


def test_euclidean_of_equal_and_opposite_vectors() -> None:
    query_vectors = random_unit_vectors(0, 3, 50)
    actual = euclidean(query_vectors, np.stack([query_vectors, -query_vectors], axis=1))
    assert (actual[:, 0] == 0).all()
    assert np.allclose(actual[:, 1], 2)


@pytest.mark.parametrize(
    ("queries_shape", "candidates_shape"),
    [((2, 3), (2, 5, 4)), ((2, 3), (1, 5, 3)), ((2, 3), (2, 3)), ((3,), (2, 5, 3))],
)
def test_euclidean_rejects_mismatched_shapes(queries_shape: tuple[int, ...], candidates_shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"queries .*candidate_embeddings .*\(Q, S, D\)"):
        euclidean(np.zeros(queries_shape), np.zeros(candidates_shape))
