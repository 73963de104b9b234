"""Code statistics and quantisation error against loops, invariances, and detection of collapsed codes."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.index.codes import pack, unpack
from fashion_lsh.metrics import ranking
from fashion_lsh.metrics.code_statistics import CodeStatistics, code_statistics, describe_collapse, quantisation_error


def random_codes(seed: int, rows: int, bits: int) -> np.ndarray:
    """Random packed codes with bits of different balance, including copied and constant bits."""
    rng = np.random.default_rng(seed)
    source_bits = rng.integers(0, bits, bits)
    return pack((rng.random((rows, bits)) < rng.choice([0, 0.1, 0.5, 1], bits))[:, source_bits].astype(np.float32))


def reference_statistics(codes: np.ndarray, bits: int) -> CodeStatistics:
    """Compute the statistics bit by bit and pair by pair."""
    columns = unpack(codes, bits).T.tolist()
    ratios = [sum(column) / len(column) for column in columns]
    entropies = [-sum(p * math.log2(p) for p in (ratio, 1 - ratio) if p) for ratio in ratios]
    varying_columns = [column for column in columns if 0 < sum(column) < len(column)]
    pairs = [(a, b) for index, a in enumerate(varying_columns) for b in varying_columns[index + 1 :]]
    correlations = [abs(np.corrcoef(a, b)[0, 1]) for a, b in pairs]
    distinct = len({bytes(code) for code in codes})
    return CodeStatistics(
        balance=sum(abs(ratio - 0.5) for ratio in ratios) / bits,
        entropy=sum(entropies) / bits,
        correlation=sum(correlations) / len(correlations) if correlations else 0.0,
        distinct=distinct,
        distinct_ratio=distinct / len(codes),
        constant_bits=bits - len(varying_columns),
    )


SIZES = {"seed": st.integers(0, 2**32 - 1), "rows": st.integers(1, 40), "bits": st.integers(1, 20)}


@given(**SIZES)
@settings(max_examples=100, deadline=None)
def test_code_statistics_equal_loops(seed: int, rows: int, bits: int) -> None:
    codes = random_codes(seed, rows, bits)
    assert code_statistics(codes, bits) == pytest.approx(reference_statistics(codes, bits), abs=1e-12)


@given(**SIZES)
@settings(max_examples=50, deadline=None)
def test_statistics_are_invariant_to_masks_and_permutations(seed: int, rows: int, bits: int) -> None:
    codes, rng = random_codes(seed, rows, bits), np.random.default_rng(seed)
    mask = random_codes(seed + 1, 1, bits)
    permuted = unpack(codes ^ mask, bits)[rng.permutation(rows)][:, rng.permutation(bits)]
    assert code_statistics(pack(permuted.astype(np.float32)), bits) == pytest.approx(
        code_statistics(codes, bits), abs=1e-12
    )


@given(**SIZES)
@settings(max_examples=50, deadline=None)
def test_statistics_stay_in_their_ranges(seed: int, rows: int, bits: int) -> None:
    statistics = code_statistics(random_codes(seed, rows, bits), bits)
    assert 0 <= statistics.balance <= 0.5
    assert 0 <= statistics.entropy <= 1 + 1e-12
    assert 0 <= statistics.correlation <= 1 + 1e-12
    assert 1 <= statistics.distinct <= min(rows, 2 ** (bits - statistics.constant_bits))
    assert statistics.distinct_ratio == statistics.distinct / rows


def test_all_codes_of_8_bits_have_optimal_statistics() -> None:
    codes = np.arange(256, dtype=np.uint8)[:, None]
    assert code_statistics(codes, 8) == CodeStatistics(0, 1, 0, 256, 1, 0)


def test_a_single_code_has_the_worst_statistics() -> None:
    assert code_statistics(np.full((50, 2), 7, np.uint8), 16) == CodeStatistics(0.5, 0, 0, 1, 1 / 50, 16)


def test_a_bit_equal_or_opposite_to_another_is_correlated() -> None:
    bit = np.random.default_rng(0).random(99) < 0.3
    bits = np.stack([bit, bit, ~bit], axis=1).astype(np.float32)
    assert code_statistics(pack(bits), 3).correlation == pytest.approx(1)


def test_statistics_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = random_codes(3, 50, 12)
    expected = code_statistics(codes, 12)
    monkeypatch.setattr(ranking, "BLOCK_CELLS", 12 * 7)
    assert code_statistics(codes, 12) == expected


@pytest.mark.parametrize(
    ("codes", "bits", "message"),
    [(np.zeros((0, 1), np.uint8), 8, r"codes .*\(0, 1\)"), (np.zeros((3, 1), np.uint8), 9, "codes .*9 bits")],
)
def test_invalid_codes_are_rejected(codes: np.ndarray, bits: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        code_statistics(codes, bits)


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_quantisation_error_equals_loops(threshold: float) -> None:
    activations = torch.rand(30, 12, generator=torch.Generator().manual_seed(0))
    errors = []
    for row in activations.tolist():
        centred = [value - threshold for value in row]
        signs = [1 if value > threshold else -1 for value in row]
        dot = sum(a * s for a, s in zip(centred, signs, strict=True))
        errors.append(1 - dot / (math.hypot(*centred) * math.sqrt(len(row))))
    assert quantisation_error(activations, threshold) == pytest.approx(sum(errors) / len(errors), abs=1e-6)


def test_quantisation_error_is_0_for_equal_magnitudes_and_positive_for_unequal_magnitudes() -> None:
    bits = (torch.rand(20, 8, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    assert quantisation_error(bits, 0.5) == pytest.approx(0, abs=1e-6)
    assert quantisation_error(0.4 + 0.2 * bits, 0.5) == pytest.approx(0, abs=1e-6)  # equal magnitudes
    assert quantisation_error(torch.tensor([[1.0, 0.5, 0.5, 0.5]]), 0.5) == pytest.approx(0.5)
    assert quantisation_error(torch.full((3, 4), 0.5), 0.5) == 1


GOOD_STATISTICS = CodeStatistics(0.05, 0.98, 0.1, 400, 0.8, 0)


def test_codes_with_enough_entropy_for_the_categories_have_not_collapsed() -> None:
    assert describe_collapse(GOOD_STATISTICS, 12, np.arange(30)) == ""
    assert describe_collapse(GOOD_STATISTICS._replace(distinct=30), 12, np.arange(30)) == ""


@given(st.lists(st.integers(0, 89), min_size=1, max_size=90))
@settings(deadline=None, max_examples=40)
def test_one_hot_codes_collapse_only_if_all_are_equal(categories: list[int]) -> None:
    statistics = code_statistics(pack(np.eye(90, dtype=np.float32)[categories]), 90)
    description = describe_collapse(statistics, 90, np.array(categories))
    assert bool(description) == (len(categories) > 1 and len(set(categories)) == 1)


@given(st.integers(1, 20), st.lists(st.sampled_from(["bag", "coat", "dress"]), min_size=2, max_size=40))
@settings(deadline=None, max_examples=40)
def test_a_single_code_of_several_garments_is_a_collapse(bits: int, categories: list[str]) -> None:
    codes = np.repeat(random_codes(len(categories), 1, bits), len(categories), axis=0)
    description = describe_collapse(code_statistics(codes, bits), bits, np.array(categories))
    assert f"all {len(categories)} garments" in description
    assert describe_collapse(code_statistics(codes[:1], bits), bits, np.array(categories[:1])) == ""


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"distinct": 29}, r"distinct codes, 29, .*categories, 30;"),
        ({"entropy": 0.09, "constant_bits": 2}, r"12 code bits \(2 constant\) .*1\.08 bits.*4\.91 bits .*categories;"),
        ({"distinct": 1, "entropy": 0.0}, r"all 30 garments .*; the 12 code bits \(0 constant\)"),
    ],
)  # fmt: skip
def test_collapse_is_described_with_values_and_a_hint(change: dict[str, float], expected: str) -> None:
    description = describe_collapse(GOOD_STATISTICS._replace(**change), 12, np.arange(30))
    assert re.search(expected, description)
    assert all(hint in description for hint in ("hash=csq", "hash.bihalf=true", "hash.bits", "optim.lr"))
    of_items = describe_collapse(GOOD_STATISTICS._replace(**change), 12, np.arange(30), within_category=True)
    assert all(hint in of_items for hint in ("hash.item_loss", "hash.bits"))
    assert "csq" not in of_items
