"""Hash centres and Hadamard matrices: distances, distinct columns, seeds, and too few bits."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fashion_lsh.models.losses import LOSSES
from fashion_lsh.models.losses.base import HashLoss
from fashion_lsh.models.losses.centres import hash_centres
from fashion_lsh.models.losses.hadamard import hadamard_matrix


def pairwise_distances(codes: Tensor) -> list[int]:
    rows = codes.tolist()
    return [sum(a != b for a, b in zip(rows[i], rows[j], strict=True)) for i in range(len(rows)) for j in range(i)]


def distinct_columns(codes: Tensor) -> int:
    """Columns that are distinct up to the sign, counted with sets."""
    columns = [tuple(column) for column in codes.T.tolist()]
    return len({min(column, tuple(-value for value in column)) for column in columns})


@pytest.mark.parametrize("min_order", range(1, 70))
def test_rows_of_a_hadamard_matrix_are_orthogonal(min_order: int) -> None:
    matrix = hadamard_matrix(min_order)
    order = len(matrix)
    assert order >= min_order
    assert matrix.abs().eq(1).all()
    assert torch.equal(matrix @ matrix.T, order * torch.eye(order))


@pytest.mark.parametrize(("min_order", "order"), [(1, 1), (3, 4), (12, 12), (21, 24), (33, 40), (48, 48), (49, 60)])
def test_hadamard_matrix_has_the_smallest_known_order(min_order: int, order: int) -> None:
    assert len(hadamard_matrix(min_order)) == order


@pytest.mark.parametrize("bits", [12, 16, 24, 32, 48, 64, 128])
@pytest.mark.parametrize("count", [10, 15, 24])
def test_hadamard_centres_differ_in_half_the_bits(count: int, bits: int) -> None:
    assert min(pairwise_distances(hash_centres(count, bits))) == bits / 2


@pytest.mark.parametrize("count", [10, 15, 30])
def test_all_columns_of_up_to_64_bits_are_distinct(count: int) -> None:
    """The number of bits that carry different information grows with the code length."""
    assert [distinct_columns(hash_centres(count, bits)) for bits in (12, 24, 32, 48, 64)] == [12, 24, 32, 48, 64]


@pytest.mark.parametrize(("count", "num_patterns"), [(2, 1), (3, 3), (4, 7), (5, 15)])
def test_few_centres_use_all_column_patterns(count: int, num_patterns: int) -> None:
    assert distinct_columns(hash_centres(count, 48)) == num_patterns


@given(count=st.integers(2, 64), bits=st.integers(1, 130), seed=st.integers(0, 2**16))
@settings(deadline=None, max_examples=40)
def test_centres_are_distinct_and_no_bit_is_constant(count: int, bits: int, seed: int) -> None:
    if count > 2**bits:
        expected = rf"hash\.bits={bits}: .*\b{2**bits}\b.*at least {(count - 1).bit_length()} bits"
        with pytest.raises(ValueError, match=expected):
            hash_centres(count, bits, seed)
        return
    codes = hash_centres(count, bits, seed)
    assert codes.shape == (count, bits)
    assert codes.dtype == torch.float32
    assert codes.abs().eq(1).all()
    assert len(codes.unique(dim=0)) == count
    assert (codes != codes[:1]).any(dim=0).all()
    assert torch.equal(codes, hash_centres(count, bits, seed))
    if bits >= 32:
        assert min(pairwise_distances(codes)) >= 3 * bits / 8


@given(bits=st.integers(13, 130), count=st.integers(3, 13), seed=st.integers(0, 2**16))
@settings(deadline=None, max_examples=30)
def test_no_centre_is_the_complement_of_another_while_rows_remain(bits: int, count: int, seed: int) -> None:
    assert max(pairwise_distances(hash_centres(count, bits, seed))) < bits


def test_complements_are_used_after_all_rows() -> None:
    codes = hash_centres(40, 24)
    assert sorted(set(pairwise_distances(codes))) == [12, 24]
    assert torch.equal(codes[24:], -codes[:16])


def test_the_seed_changes_the_centres() -> None:
    assert not torch.equal(hash_centres(15, 48, seed=0), hash_centres(15, 48, seed=1))


def test_a_single_centre_needs_no_other_centre() -> None:
    assert hash_centres(1, 5).shape == (1, 5)


@pytest.mark.parametrize(("count", "bits"), [(16, 4), (8, 3), (2, 1), (64, 6)])
def test_all_codes_become_centres_if_as_many_as_needed(count: int, bits: int) -> None:
    assert len(hash_centres(count, bits).unique(dim=0)) == 2**bits == count


def test_close_centres_are_logged_as_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    hash_centres(16, 4)
    assert re.search(r"hash\.bits=4.*\b16\b.*\b1\b", caplog.text)


def test_too_many_categories_for_centres_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"hash\.bits=13: .*3500"):
        hash_centres(3500, 13)


@pytest.mark.parametrize("name", ["csq", "orthohash"])
def test_losses_pass_the_seed_to_their_centres(name: str) -> None:
    def create(**options: int) -> HashLoss:
        return LOSSES[name](48, 15, 0.1, **options)

    assert torch.equal(create().get_buffer("centres"), hash_centres(15, 48))
    assert torch.equal(create(centre_seed=7).get_buffer("centres"), hash_centres(15, 48, 7))
