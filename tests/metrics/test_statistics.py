"""Macro means, intervals, paired differences and Holm's correction against slow definitions, and their properties."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chi2
from scipy.stats import t as student

from fashion_lsh.metrics.statistics import (
    LEVEL,
    Difference,
    holm,
    item_groups,
    item_interval,
    macro_mean,
    paired_difference,
)

NAN = math.nan
Scores = list[np.ndarray]
SEED_COUNTS = st.integers(1, 6)


def differences_of(scores: np.ndarray, groups: np.ndarray) -> Difference:
    """Paired difference of scores, (S, Q), from zeros."""
    return paired_difference(list(np.zeros_like(scores)), list(scores), groups)


@st.composite
def grouped_scores(draw: st.DrawFn, lowest: float = -1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores (S, Q) of 1 to 6 seeds, and group numbers (Q,) of at least two groups."""
    num_seeds, num_queries = draw(SEED_COUNTS), draw(st.integers(2, 12))
    scores = draw(arrays(float, (num_seeds, num_queries), elements=st.floats(lowest, 1, width=16)))
    groups = draw(st.lists(st.integers(0, 4), min_size=num_queries - 2, max_size=num_queries - 2))
    return scores, np.array([5, 6, *groups])


def reference_bounds(scores: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """Compute the interval of the mean of (S, Q) scores by loops."""
    num_seeds, names = len(scores), sorted(set(groups.tolist()))
    mean, seed_means = scores.mean(), [seed.mean() for seed in scores]
    seed_variance = sum((value - mean) ** 2 for value in seed_means) / max(1, num_seeds - 1) / num_seeds
    item_variance, interaction = 0.0, 0.0
    for name in names:
        sums = [sum(seed[groups == name] - own) / len(groups) for seed, own in zip(scores, seed_means, strict=True)]
        item_variance += (sum(sums) / num_seeds) ** 2
        interaction += sum((value - sum(sums) / num_seeds) ** 2 for value in sums) / num_seeds / max(1, num_seeds - 1)
    factor = len(names) / (len(names) - 1)
    if num_seeds > 1:
        seed_variance = max(seed_variance, factor * interaction * chi2.ppf(0.01, num_seeds - 1) / (num_seeds - 1))
    item_variance = max(0.0, factor * (item_variance - interaction))
    margin = student.isf((1 - LEVEL) / 2, len(names) - 1) ** 2 * item_variance
    margin += student.isf((1 - LEVEL) / 2, num_seeds - 1) ** 2 * seed_variance if num_seeds > 1 else 0.0
    return mean - math.sqrt(margin), mean + math.sqrt(margin)


def test_groups_are_the_items_and_the_single_queries_without_an_item() -> None:
    items = ["a", "", "b", "a", "", "", "b", "7", ""]
    assert item_groups(np.array(items, dtype=object)).tolist() == [0, 1, 2, 0, 4, 5, 2, 7, 8]
    assert item_groups(np.array(items)).tolist() == [0, 1, 2, 0, 4, 5, 2, 7, 8]


def test_macro_mean_weights_labels_equally() -> None:
    values = np.array([1, 1, 1, 0, 0.5, NAN, NAN])
    assert macro_mean(values, np.array([0, 0, 0, 0, 2, 2, 5])) == pytest.approx((0.75 + 0.5) / 2)


@given(grouped_scores(lowest=0.0))
def test_an_item_interval_lies_between_0_and_1_and_contains_the_mean(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    scores, groups = drawn
    low, high = item_interval(scores[0], groups.astype(str))
    assert 0 <= low <= scores[0].mean() + 1e-12
    assert scores[0].mean() - 1e-12 <= high <= 1
    mirrored_low, mirrored_high = item_interval(1 - scores[0], groups.astype(str))
    assert (1 - mirrored_high, 1 - mirrored_low) == pytest.approx((low, high), abs=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_item_interval_of_equal_outcomes_has_a_width(value: float) -> None:
    low, high = item_interval(np.full(60, value), np.array([str(query // 2) for query in range(60)]))
    ratio = student.isf(0.025, 29) ** 2 / 30  # 30 items
    expected = ratio / (1 + ratio)
    assert (low, high) == pytest.approx((0, expected) if value == 0 else (1 - expected, 1))


def test_an_item_interval_ignores_nan_and_needs_two_items() -> None:
    values, items = np.random.default_rng(0).random(20), np.array([str(query // 2) for query in range(20)])
    extended = item_interval(np.append(values, [NAN] * 3), np.append(items, ["x", "", "1"]))
    assert extended == pytest.approx(item_interval(values, items))
    assert np.isnan(item_interval(values, np.array(["a"] * 20))).all()
    assert np.isnan(item_interval(np.array([NAN, NAN]), np.array(["a", "b"]))).all()


def test_copies_inside_an_item_do_not_narrow_the_interval() -> None:
    scores, items = np.random.default_rng(9).random(60), np.array([str(item) for item in range(60)])
    low, high = item_interval(scores, items)
    copies = np.repeat(scores, 4)
    assert item_interval(copies, np.repeat(items, 4)) == pytest.approx((low, high))
    narrow_low, narrow_high = item_interval(copies, np.full(240, ""))
    assert (narrow_high - narrow_low) == pytest.approx((high - low) / 2, rel=0.05)


@pytest.mark.parametrize(("values", "items", "message"), [
    (np.ones(3), np.array(["a", "b"]), r"items\.shape=\(2,\)"),
    (np.array([0.5, 1.5]), np.array(["a", "b"]), "from 0.5 to 1.5"),
    (np.array([0.5, -0.5]), np.array(["a", "b"]), "from -0.5 to 0.5"),
])  # fmt: skip
def test_invalid_arguments_are_rejected(values: np.ndarray, items: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        item_interval(values, items)


@given(grouped_scores())
def test_a_paired_interval_equals_loops(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    difference = differences_of(*drawn)
    assert (difference.low, difference.high) == pytest.approx(reference_bounds(*drawn), abs=1e-6)
    assert (difference.mean, difference.seeds) == (pytest.approx(drawn[0].mean()), len(drawn[0]))


@given(grouped_scores())
def test_p_is_below_5_percent_exactly_if_the_interval_excludes_0(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    difference = differences_of(*drawn)
    if abs(abs(difference.mean) - (difference.high - difference.mean)) > 1e-6:  # 0 is not at a bound
        assert (difference.p < 0.05) == (difference.low > 0 or difference.high < 0)
    assert 0 <= difference.p <= 1


@given(grouped_scores(), st.floats(0.125, 8), st.integers(0, 2**32 - 1))
def test_a_difference_follows_swaps_scales_and_permutations(
    drawn: tuple[np.ndarray, np.ndarray], scale: float, seed: int
) -> None:
    scores, groups = drawn
    expected = differences_of(scores, groups)
    swapped = paired_difference(list(scores), list(np.zeros_like(scores)), groups)
    assert (-swapped.mean, -swapped.high, -swapped.low) == pytest.approx(expected[:3], abs=1e-6)
    scaled = differences_of(scale * scores, groups)
    assert np.array(scaled[:3]) == pytest.approx(scale * np.array(expected[:3]), abs=1e-6)
    order = np.random.default_rng(seed).permutation(len(groups))
    permuted = differences_of(scores[::-1][:, order], groups[order])
    assert permuted[:3] == pytest.approx(expected[:3], abs=1e-6)


@given(grouped_scores(), st.integers(2, 4))
def test_a_seed_without_effect_does_not_narrow_the_interval_below_that_of_the_items(
    drawn: tuple[np.ndarray, np.ndarray], num_seeds: int
) -> None:
    scores, groups = drawn
    single, repeated = differences_of(scores[:1], groups), differences_of(np.repeat(scores[:1], num_seeds, 0), groups)
    assert repeated[:3] == pytest.approx(single[:3], abs=1e-6)


def test_equal_methods_have_a_difference_of_0() -> None:
    base = list(np.random.default_rng(0).random((3, 50)))
    assert paired_difference(base, base, np.arange(50)) == (0.0, 0.0, 0.0, 1.0, 3)


def test_seeds_of_equal_means_do_not_give_an_interval_of_width_0() -> None:
    scores = np.stack([np.roll(np.repeat([1.0, 0.0], 30), seed) for seed in range(5)])
    difference = differences_of(scores, np.arange(60))
    assert difference.low < 0.5 < difference.high


def test_a_single_item_has_an_interval_only_over_seeds() -> None:
    single = paired_difference([np.zeros(2)], [np.array([0.5, 0.75])], np.zeros(2))
    assert (single.mean, single.p) == (0.625, 1.0)
    assert np.isnan([single.low, single.high]).all()
    values = [np.array([value]) for value in (0.1, 0.2, 0.4)]
    difference = paired_difference([np.zeros(1)] * 3, values, np.zeros(1))
    assert (difference.low, difference.high) == pytest.approx(
        student.interval(LEVEL, 2, np.mean(values), np.std(values, ddof=1) / math.sqrt(3))
    )


def test_queries_without_a_score_in_either_method_are_ignored() -> None:
    base, method = (list(scores) for scores in np.random.default_rng(0).random((2, 2, 40)))
    expected = paired_difference([values[3:] for values in base], [values[3:] for values in method], np.arange(37))
    base[0][0], method[1][1], base[1][2], method[1][2] = (NAN,) * 4
    assert paired_difference(base, method, np.arange(40)) == expected


def test_items_with_many_queries_widen_the_interval() -> None:
    scores = np.repeat(np.random.default_rng(0).standard_normal((1, 30)), 20, axis=1)
    grouped, ungrouped = differences_of(scores, np.repeat(np.arange(30), 20)), differences_of(scores, np.arange(600))
    assert grouped.high - grouped.low > 3 * (ungrouped.high - ungrouped.low)


def test_a_tiny_p_value_is_0() -> None:
    difference = differences_of(1 + 1e-9 * np.random.default_rng(0).standard_normal((1, 300)), np.arange(300))
    assert difference.p == 0 < difference.low


@pytest.mark.parametrize(("base", "method", "groups", "message"), [
    ([], [], np.arange(3), "base has 0 seeds, method 0"),
    ([np.zeros(3)], [np.zeros(3)] * 2, np.arange(3), "base has 1 seeds, method 2"),
    ([np.zeros(3)], [np.zeros(4)], np.arange(3), r"\(4,\)"),
    ([np.zeros(3)], [np.zeros(3)], np.arange(4), r"\(4,\)"),
    ([np.zeros(3)], [np.full(3, np.nan)], np.arange(3), "none of 3 queries .*base and method"),
])  # fmt: skip
def test_unpaired_scores_are_rejected(base: Scores, method: Scores, groups: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_difference(base, method, groups)


def test_holm_equals_hand_computed_values() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == pytest.approx([1, 1])
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_is_at_most_bonferroni(p_values: list[float]) -> None:
    p, adjusted = np.array(p_values), holm(p_values)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(1, len(p) * p) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
