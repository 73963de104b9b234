"""Hamming against counting bit by bit, and Euclid against plain sums."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.index import distances as module
from fashion_lsh.index.codes import pack
from fashion_lsh.index.distances import euclidean, hamming
from tests.index.factories import random_bits, unit

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(0, 6), st.integers(0, 9), st.integers(1, 200), st.integers(1, 30))
@settings(max_examples=50)
def test_hamming_counts_bits_whatever_the_block(seed: int, queries: int, rows: int, bits: int, block: int) -> None:
    asked, filed = random_bits(seed, queries, bits), random_bits(seed + 1, rows, bits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        distances = hamming(pack(asked.astype(float)), pack(filed.astype(float)))
    assert distances.dtype == np.int16
    slow = [[sum(a != b for a, b in zip(query, row, strict=True)) for row in filed] for query in asked]
    assert distances.tolist() == slow


@given(seeds, st.integers(1, 130))
def test_hamming_is_a_distance_and_a_mask_changes_nothing(seed: int, bits: int) -> None:
    packed = pack(random_bits(seed, 6, bits).astype(float))
    mask = pack(random_bits(seed + 1, 1, bits).astype(float))
    distances = hamming(packed, packed)
    assert np.array_equal(distances, distances.T)
    assert not distances.diagonal().any()
    assert (distances[:, :, None] <= distances[:, None, :] + distances.T[None]).all()
    assert np.array_equal(hamming(packed ^ mask, packed ^ mask), distances)


def test_hamming_reads_slices_of_wider_arrays() -> None:
    wide = np.arange(64, dtype=np.uint8).reshape(4, 16)
    assert np.array_equal(
        hamming(wide[::2, 3:12], wide[:, 3:12]), hamming(wide[::2, 3:12].copy(), wide[:, 3:12].copy())
    )


def test_hamming_counts_the_widest_codes() -> None:
    none, everything = np.zeros((1, 4095), dtype=np.uint8), np.full((1, 4095), 255, dtype=np.uint8)
    assert hamming(none, everything).tolist() == [[32760]]


@pytest.mark.parametrize(
    ("queries", "gallery", "message"),
    [
        (np.zeros((1, 2), np.uint8), np.zeros((1, 3), np.uint8), "queries are 2 bytes wide, the gallery 3"),
        (np.zeros((1, 4096), np.uint8), np.zeros((1, 4096), np.uint8), "at most 4095"),
        (np.zeros((1, 2), np.int64), np.zeros((1, 2), np.uint8), r"queries are \(1, 2\) int64"),
        (np.zeros((1, 2), np.uint8), np.zeros(2, np.uint8), r"gallery are \(2,\) uint8"),
    ],
)
def test_hamming_refuses_what_cannot_be_compared(queries: np.ndarray, gallery: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hamming(queries, gallery)


@given(seeds, st.integers(0, 4), st.integers(0, 5), st.integers(1, 70))
def test_euclidean_is_the_square_root_of_summed_squares(seed: int, queries: int, rows: int, size: int) -> None:
    asked, near = unit(seed, queries, size), unit(seed + 1, queries, rows, size)
    found = euclidean(asked, near)
    assert found.shape == (queries, rows)
    assert found.dtype == np.float32
    slow = np.sqrt(((near.astype(float) - asked[:, None].astype(float)) ** 2).sum(axis=2))
    assert np.allclose(found, slow, atol=1e-6)


def test_euclidean_of_equal_and_opposite_vectors() -> None:
    asked = unit(0, 3, 50)
    found = euclidean(asked, np.stack([asked, -asked], axis=1))
    assert (found[:, 0] == 0).all()
    assert np.allclose(found[:, 1], 2)


@pytest.mark.parametrize(
    ("queries", "near"), [((2, 3), (2, 5, 4)), ((2, 3), (1, 5, 3)), ((2, 3), (2, 3)), ((3,), (2, 5, 3))]
)
def test_euclidean_refuses_shapes_that_do_not_belong_together(queries: tuple[int, ...], near: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"give \(Q, D\) and \(Q, S, D\)"):
        euclidean(np.zeros(queries), np.zeros(near))
