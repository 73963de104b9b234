"""Packing, unpacking and validation of codes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.index.codes import check_codes, code_bytes, code_prefix, pack, unpack
from tests.index.factories import random_bits

seeds = st.integers(0, 2**32 - 1)


def test_pack_is_little_endian() -> None:
    activations = np.zeros((1, 10))
    activations[0, [0, 3, 9]] = 1.0
    assert pack(activations).tolist() == [[0b0000_1001, 0b0000_0010]]


def test_activation_at_the_threshold_is_0() -> None:
    assert pack(np.array([[0.5, 0.51, 0.49]])).tolist() == [[0b010]]
    assert pack(np.array([[-0.1, 0.1]]), threshold=0.0).tolist() == [[0b10]]


@given(seeds, st.integers(0, 5), st.integers(1, 130))
def test_unpack_inverts_pack(seed: int, count: int, bits: int) -> None:
    expected = random_bits(seed, count, bits)
    packed = pack(expected.astype(np.float32))
    assert packed.shape == (count, code_bytes(bits))
    check_codes(packed, bits)
    assert np.array_equal(unpack(packed, bits), expected)


def test_row_of_a_nan_activation_is_in_the_error() -> None:
    activations = np.ones((3, 4))
    activations[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"activations\[2\] .*NaN"):
        pack(activations)


@pytest.mark.parametrize("activations", [np.ones(4), np.ones((2, 0)), np.ones((2, 4), dtype=np.int64)])
def test_pack_rejects_wrong_shape_and_dtype(activations: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"activations .*\(B, bits\)"):
        pack(activations)


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (np.zeros((2, 3), dtype=np.uint8), r"\(B, 2\) uint8"),
        (np.zeros((2, 2), dtype=np.int8), "int8"),
        (np.zeros(2, dtype=np.uint8), r"codes .*\(2,\)"),
        (np.array([[1, 1], [1, 16]], dtype=np.uint8), r"codes\[1\] .*12 bits"),
    ],
)
def test_unpack_rejects_invalid_codes(packed: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        unpack(packed, 12)


def test_code_bytes_rejects_zero_bits() -> None:
    with pytest.raises(ValueError, match="bits=0"):
        code_bytes(0)


@given(seeds, st.integers(0, 5), st.integers(1, 130), st.data())
def test_a_prefix_contains_the_first_bits(seed: int, count: int, bits: int, data: st.DataObject) -> None:
    expected, length = random_bits(seed, count, bits), data.draw(st.integers(1, bits))
    prefix = code_prefix(pack(expected.astype(np.float32)), length)
    assert np.array_equal(unpack(prefix, length), expected[:, :length])


def test_a_prefix_is_not_longer_than_the_code() -> None:
    with pytest.raises(ValueError, match=r"bits=17: .*16 bits"):
        code_prefix(np.zeros((1, 2), np.uint8), 17)
