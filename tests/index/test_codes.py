"""Packing, and Hamming against counting bit by bit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.index import codes
from fashion_lsh.index.codes import check_codes, hamming, pack, unpack, width

seeds = st.integers(0, 2**32 - 1)


def random_bits(seed: int, count: int, bits: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (count, bits), dtype=np.uint8)


def test_first_bit_is_the_lowest_of_the_first_byte() -> None:
    activations = np.zeros((1, 10))
    activations[0, [0, 3, 9]] = 1.0
    assert pack(activations).tolist() == [[0b0000_1001, 0b0000_0010]]


def test_threshold_itself_is_not_above_it() -> None:
    assert pack(np.array([[0.5, 0.51, 0.49]])).tolist() == [[0b010]]
    assert pack(np.array([[-0.1, 0.1]]), threshold=0.0).tolist() == [[0b10]]


@given(seeds, st.integers(0, 5), st.integers(1, 130))
def test_unpack_undoes_pack(seed: int, count: int, bits: int) -> None:
    expected = random_bits(seed, count, bits)
    packed = pack(expected.astype(np.float32))
    assert packed.shape == (count, width(bits))
    check_codes(packed, bits)
    assert np.array_equal(unpack(packed, bits), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_pack_as_arrays_do(dtype: torch.dtype) -> None:
    activations = torch.rand(7, 20, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    assert np.array_equal(pack(activations), pack(activations.detach().double().numpy()))


def test_nan_is_refused_with_its_row() -> None:
    activations = np.ones((3, 4))
    activations[2, 1] = np.nan
    with pytest.raises(ValueError, match="row 2 hold NaN"):
        pack(activations)


@pytest.mark.parametrize("activations", [np.ones(4), np.ones((2, 0)), np.ones((2, 4), dtype=np.int64)])
def test_other_activations_are_refused(activations: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"give \(B, bits\) floats"):
        pack(activations)


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (np.zeros((2, 3), dtype=np.uint8), r"\(B, 2\) uint8"),
        (np.zeros((2, 2), dtype=np.int8), "int8"),
        (np.zeros(2, dtype=np.uint8), r"codes are \(2,\)"),
        (np.array([[1, 1], [1, 16]], dtype=np.uint8), "code 1 has bits set beyond its 12"),
    ],
)
def test_codes_that_break_the_contract_are_refused(packed: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unpack(packed, 12)


def test_a_code_has_bits() -> None:
    with pytest.raises(ValueError, match="bits=0"):
        width(0)


@given(seeds, st.integers(0, 6), st.integers(0, 9), st.integers(1, 200), st.integers(1, 30))
@settings(max_examples=50)
def test_hamming_counts_bits_whatever_the_block(seed: int, queries: int, rows: int, bits: int, block: int) -> None:
    asked, filed = random_bits(seed, queries, bits), random_bits(seed + 1, rows, bits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(codes, "BLOCK", block)
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
