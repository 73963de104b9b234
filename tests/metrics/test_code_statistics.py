"""How much bits say: against plain loops, and what changes no measure."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.index.codes import pack, unpack
from fashion_lsh.metrics import ranking
from fashion_lsh.metrics.code_statistics import Quality, collapse, quality, quantisation_error


def random_logits(seed: int, rows: int, bits: int) -> np.ndarray:
    """Packed codes whose bits are 1 more or less often; some repeat others, some are constant."""
    rng = np.random.default_rng(seed)
    of = rng.integers(0, bits, bits)
    return pack((rng.random((rows, bits)) < rng.choice([0, 0.1, 0.5, 1], bits))[:, of].astype(np.float32))


def plain(codes: np.ndarray, bits: int) -> Quality:
    """The same, a bit and a pair of bits at a time."""
    columns = unpack(codes, bits).T.tolist()
    shares = [sum(column) / len(column) for column in columns]
    entropies = [-sum(p * math.log2(p) for p in (share, 1 - share) if p) for share in shares]
    varying = [column for column in columns if 0 < sum(column) < len(column)]
    pairs = [(a, b) for place, a in enumerate(varying) for b in varying[place + 1 :]]
    correlations = [abs(np.corrcoef(a, b)[0, 1]) for a, b in pairs]
    different = len({bytes(code) for code in codes})
    return Quality(
        balance=sum(abs(share - 0.5) for share in shares) / bits,
        entropy=sum(entropies) / bits,
        correlation=sum(correlations) / len(correlations) if correlations else 0.0,
        distinct=different,
        distinct_share=different / len(codes),
        constant_bits=bits - len(varying),
    )


SIZES = {"seed": st.integers(0, 2**32 - 1), "rows": st.integers(1, 40), "bits": st.integers(1, 20)}


@given(**SIZES)
@settings(max_examples=100, deadline=None)
def test_every_measure_against_plain_loops(seed: int, rows: int, bits: int) -> None:
    codes = random_logits(seed, rows, bits)
    assert quality(codes, bits) == pytest.approx(plain(codes, bits), abs=1e-12)


@given(**SIZES)
@settings(max_examples=50, deadline=None)
def test_neither_one_mask_nor_another_order_of_codes_or_bits_changes_a_measure(seed: int, rows: int, bits: int) -> None:
    codes, rng = random_logits(seed, rows, bits), np.random.default_rng(seed)
    mask = random_logits(seed + 1, 1, bits)
    turned = unpack(codes ^ mask, bits)[rng.permutation(rows)][:, rng.permutation(bits)]
    assert quality(pack(turned.astype(np.float32)), bits) == pytest.approx(quality(codes, bits), abs=1e-12)


@given(**SIZES)
@settings(max_examples=50, deadline=None)
def test_measures_stay_in_their_ranges(seed: int, rows: int, bits: int) -> None:
    found = quality(random_logits(seed, rows, bits), bits)
    assert 0 <= found.balance <= 0.5
    assert 0 <= found.entropy <= 1 + 1e-12
    assert 0 <= found.correlation <= 1 + 1e-12
    assert 1 <= found.distinct <= min(rows, 2 ** (bits - found.constant_bits))
    assert found.distinct_share == found.distinct / rows


def test_all_codes_of_some_bits_are_as_good_as_can_be() -> None:
    every = np.arange(256, dtype=np.uint8)[:, None]
    assert quality(every, 8) == Quality(0, 1, 0, 256, 1, 0)


def test_one_code_for_all_is_as_bad_as_can_be() -> None:
    assert quality(np.full((50, 2), 7, np.uint8), 16) == Quality(0.5, 0, 0, 1, 1 / 50, 16)


def test_a_bit_that_repeats_another_or_its_contrary_is_correlated() -> None:
    first = np.random.default_rng(0).random(99) < 0.3
    both = np.stack([first, first, ~first], axis=1).astype(np.float32)
    assert quality(pack(both), 3).correlation == pytest.approx(1)


def test_any_blocks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = random_logits(3, 50, 12)
    whole = quality(codes, 12)
    monkeypatch.setattr(ranking, "BLOCK_CELLS", 12 * 7)
    assert quality(codes, 12) == whole


@pytest.mark.parametrize(
    ("codes", "bits", "message"),
    [(np.zeros((0, 1), np.uint8), 8, "at least 1"), (np.zeros((3, 1), np.uint8), 9, "codes of 9 bits")],
)
def test_what_are_no_codes_is_refused(codes: np.ndarray, bits: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quality(codes, bits)


@pytest.mark.parametrize("threshold", [0.0, 0.5])
def test_the_quantisation_error_against_plain_loops(threshold: float) -> None:
    activations = torch.rand(30, 12, generator=torch.Generator().manual_seed(0))
    errors = []
    for row in activations.tolist():
        apart = [value - threshold for value in row]
        signs = [1 if value > threshold else -1 for value in row]
        dot = sum(a * s for a, s in zip(apart, signs, strict=True))
        errors.append(1 - dot / (math.hypot(*apart) * math.sqrt(len(row))))
    assert quantisation_error(activations, threshold) == pytest.approx(sum(errors) / len(errors), abs=1e-6)


def test_the_quantisation_error_of_bits_is_0_and_grows_as_activations_lie_less_alike() -> None:
    bits = (torch.rand(20, 8, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    assert quantisation_error(bits, 0.5) == pytest.approx(0, abs=1e-6)
    assert quantisation_error(0.4 + 0.2 * bits, 0.5) == pytest.approx(0, abs=1e-6)  # not how far, but how alike
    assert quantisation_error(torch.tensor([[1.0, 0.5, 0.5, 0.5]]), 0.5) == pytest.approx(0.5)
    assert quantisation_error(torch.full((3, 4), 0.5), 0.5) == 1


GOOD = Quality(0.05, 0.98, 0.1, 400, 0.8, 0)


def test_codes_that_tell_what_the_categories_do_have_not_collapsed() -> None:
    assert collapse(GOOD, 12, np.arange(30)) == ""
    assert collapse(GOOD._replace(distinct=30), 12, np.arange(30)) == ""


@given(st.integers(2, 90), st.integers(1, 90), st.integers(0, 2**16))
@settings(deadline=None, max_examples=40)
def test_a_bit_a_category_never_counts_as_collapsed(categories: int, rows: int, seed: int) -> None:
    predicted = np.random.default_rng(seed).integers(0, categories, rows)
    codes = pack(np.eye(categories, dtype=np.float32)[predicted])
    assert collapse(quality(codes, categories), categories, predicted) == ""


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"distinct": 29}, "29 distinct codes for 30 predicted categories: try"),
        ({"entropy": 0.09, "constant_bits": 2},
         "entropies of the 12 bits, of which 2 never change, add up to 1.08, that of the categories is 4.91: try"),
        ({"distinct": 1, "entropy": 0.0}, "1 distinct codes for 30 predicted categories; entropies of the 12 bits"),
    ],
)  # fmt: skip
def test_collapsed_codes_are_named_with_their_figures_and_the_way_out(change: dict[str, float], named: str) -> None:
    text = collapse(GOOD._replace(**change), 12, np.arange(30))
    assert named in text
    assert all(way in text for way in ("hash=csq", "hash.bihalf=true", "hash.bits", "optim.lr"))
