"""Macro means, confidence intervals, paired differences and Holm's correction against their definitions."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.metrics import ranking
from fashion_lsh.metrics.statistics import confidence_interval, holm, item_interval, macro_mean, paired_difference

NAN = math.nan
Scores = list[np.ndarray]


def test_queries_of_an_item_are_resampled_together() -> None:
    values, items = np.random.default_rng(1).random(9), ["a", "", "b", "a", "", "", "b", "7", ""]
    expected = confidence_interval(values, np.array([2, 10, 3, 2, 11, 12, 3, 1, 13]))
    assert item_interval(values, np.array(items, dtype=object)) == expected
    assert item_interval(values, np.array(items)) == expected


def test_macro_mean_weights_labels_equally() -> None:
    values = np.array([1, 1, 1, 0, 0.5, NAN, NAN])
    assert macro_mean(values, np.array([0, 0, 0, 0, 2, 2, 5])) == pytest.approx((0.75 + 0.5) / 2)


def test_interval_equals_a_loop():
    scores, groups = np.array([0.1, 0.9, np.nan, 0.4, 0.6, 0.2, 0.7]), np.array(list("aabbccd"))
    scores_by_group = [scores[(groups == name) & ~np.isnan(scores)] for name in "abcd"]
    draws = np.random.default_rng(11).integers(4, size=(200, 4))
    means = [np.concatenate([scores_by_group[group] for group in draw]).mean() for draw in draws]
    expected = np.quantile(means, [0.05, 0.95])
    assert confidence_interval(scores, groups, level=0.9, num_samples=200, seed=11) == pytest.approx(expected)


def test_interval_width_equals_the_normal_approximation():
    scores = np.random.default_rng(8).normal(0.5, 0.1, 900)
    low, high = confidence_interval(scores, num_samples=4000)
    margin = 1.96 * scores.std() / math.sqrt(900)
    assert (low, high) == pytest.approx((scores.mean() - margin, scores.mean() + margin), abs=margin / 8)


def test_copies_inside_a_group_do_not_narrow_the_interval():
    scores = np.random.default_rng(9).random(60)
    copies, groups = np.repeat(scores, 4), np.repeat(np.arange(60), 4)
    low, high = confidence_interval(scores)
    assert confidence_interval(copies, groups) == pytest.approx((low, high))
    narrow_low, narrow_high = confidence_interval(copies)
    assert (narrow_high - narrow_low) == pytest.approx((high - low) / 2, rel=0.2)


def test_interval_is_deterministic_given_the_seed_and_ignores_nan(monkeypatch):
    scores = np.random.default_rng(10).random(50)
    interval = confidence_interval(scores, seed=1)
    assert interval == confidence_interval(scores, seed=1) != confidence_interval(scores, seed=2)
    assert interval == confidence_interval(np.append(scores, [np.nan] * 20), seed=1)
    assert all(math.isnan(bound) for bound in confidence_interval(np.array([np.nan, np.nan])))
    monkeypatch.setattr(ranking, "BLOCK_CELLS", 500)
    assert interval == confidence_interval(scores, seed=1)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (confidence_interval, (np.ones(3), np.ones(2)), r"groups\.shape=\(2,\)"),
        (confidence_interval, (np.ones(3), None, 95), "level=95"),
    ],
)
def test_invalid_arguments_are_rejected(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)


def random_scores(num_seeds: int, num_queries: int, shift: float = 0.0, noise: float = 0.1) -> tuple[Scores, Scores]:
    rng = np.random.default_rng(0)
    base = [rng.random(num_queries) for _ in range(num_seeds)]
    return base, [values + shift + noise * rng.standard_normal(num_queries) for values in base]


def reference_bootstrap(base: Scores, method: Scores, groups: np.ndarray, samples: int) -> np.ndarray:
    rng, means = np.random.default_rng(1), []
    names = sorted(set(groups.tolist()))
    for _ in range(samples):
        drawn_groups = rng.choice(names, len(names))
        seed_means = []
        for seed in rng.integers(len(base), size=len(base)):
            differences = [
                method[seed][row] - base[seed][row] for name in drawn_groups for row in np.flatnonzero(groups == name)
            ]
            seed_means.append(float(np.nanmean(differences)))
        means.append(np.mean(seed_means))
    return np.array(means)


@pytest.mark.parametrize("groups", [[0, 1, 2, 3, 4, 5], ["a", "a", "b", "c", "c", "c"]])
def test_the_bootstrap_equals_loops(groups: list[object]) -> None:
    base, method = random_scores(3, 6, 0.05)
    difference = paired_difference(base, method, np.array(groups), num_samples=20_000)
    means = reference_bootstrap(base, method, np.array(groups), 4000)
    assert difference.mean == pytest.approx(np.mean(np.stack(method) - np.stack(base)))
    assert (difference.low, difference.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.01)
    assert difference.p == pytest.approx(2 * min((means <= 0).mean(), (means >= 0).mean()), abs=0.03)


def test_equal_methods_have_a_difference_of_0() -> None:
    base, _ = random_scores(3, 50)
    assert paired_difference(base, base, np.arange(50)) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("shift", [0.05, -0.05])
def test_a_shift_is_detected(shift: float) -> None:
    difference = paired_difference(*random_scores(3, 300, shift), np.arange(300))
    assert difference.low < shift < difference.high
    assert difference.low * difference.high > 0
    assert difference.p < 0.01


def test_without_a_shift_the_interval_contains_0() -> None:
    difference = paired_difference(*random_scores(3, 300), np.arange(300))
    assert difference.low < 0 < difference.high
    assert difference.p > 0.05


def test_swapping_the_methods_negates_the_difference() -> None:
    base, method = random_scores(2, 40, 0.02)
    groups = np.arange(40) // 3
    difference, swapped = paired_difference(base, method, groups), paired_difference(method, base, groups)
    assert (swapped.mean, swapped.low, swapped.high) == pytest.approx(
        (-difference.mean, -difference.high, -difference.low)
    )
    assert swapped.p == difference.p


def test_queries_without_a_score_in_either_method_are_ignored() -> None:
    base, method = random_scores(2, 40, 0.02)
    expected = paired_difference([values[3:] for values in base], [values[3:] for values in method], np.arange(37))
    base[0][0], method[1][1], base[1][2], method[1][2] = (np.nan,) * 4
    assert paired_difference(base, method, np.arange(40)) == expected


def test_items_with_many_queries_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    method = [np.repeat(rng.standard_normal(30), 20)]
    base, items = [np.zeros(600)], np.repeat(np.arange(30), 20)
    grouped, ungrouped = paired_difference(base, method, items), paired_difference(base, method, np.arange(600))
    assert grouped.high - grouped.low > 3 * (ungrouped.high - ungrouped.low)


def test_differences_between_seeds_widen_the_interval() -> None:
    base = [np.zeros(200)] * 3
    difference = paired_difference(base, [np.full(200, value) for value in (-0.1, 0.0, 0.1)], np.arange(200))
    assert (difference.low, difference.high) == pytest.approx((-0.1, 0.1), abs=0.04)


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
