"""Paired differences against loops as plain as the definition, and laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.metrics.paired import holm, paired_difference

Scores = list[np.ndarray]


def made(seeds: int, queries: int, shift: float = 0.0, noise: float = 0.1) -> tuple[Scores, Scores]:
    rng = np.random.default_rng(0)
    base = [rng.random(queries) for _ in range(seeds)]
    return base, [values + shift + noise * rng.standard_normal(queries) for values in base]


def loop(base: Scores, arm: Scores, groups: np.ndarray, samples: int) -> np.ndarray:
    rng, means = np.random.default_rng(1), []
    names = sorted(set(groups.tolist()))
    for _ in range(samples):
        drawn = rng.choice(names, len(names))
        by_seed = []
        for seed in rng.integers(len(base), size=len(base)):
            found = [arm[seed][row] - base[seed][row] for name in drawn for row in np.flatnonzero(groups == name)]
            by_seed.append(float(np.nanmean(found)))
        means.append(np.mean(by_seed))
    return np.array(means)


@pytest.mark.parametrize("groups", [[0, 1, 2, 3, 4, 5], ["a", "a", "b", "c", "c", "c"]])
def test_the_bootstrap_against_plain_loops(groups: list[object]) -> None:
    base, arm = made(3, 6, 0.05)
    found = paired_difference(base, arm, np.array(groups), samples=20_000)
    means = loop(base, arm, np.array(groups), 4000)
    assert found.mean == pytest.approx(np.mean(np.stack(arm) - np.stack(base)))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])), abs=0.01)
    assert found.p == pytest.approx(2 * min((means <= 0).mean(), (means >= 0).mean()), abs=0.03)


def test_arms_that_are_alike_differ_by_nothing() -> None:
    base, _ = made(3, 50)
    assert paired_difference(base, base, np.arange(50)) == (0.0, 0.0, 0.0, 1.0)


@pytest.mark.parametrize("shift", [0.05, -0.05])
def test_a_shift_is_found(shift: float) -> None:
    found = paired_difference(*made(3, 300, shift), np.arange(300))
    assert found.low < shift < found.high
    assert found.low * found.high > 0
    assert found.p < 0.01


def test_where_there_is_none_no_direction_is_found() -> None:
    found = paired_difference(*made(3, 300), np.arange(300))
    assert found.low < 0 < found.high
    assert found.p > 0.05


def test_the_other_way_round_is_the_negative() -> None:
    base, arm = made(2, 40, 0.02)
    groups = np.arange(40) // 3
    one, other = paired_difference(base, arm, groups), paired_difference(arm, base, groups)
    assert (other.mean, other.low, other.high) == pytest.approx((-one.mean, -one.high, -one.low))
    assert other.p == one.p


def test_queries_without_a_score_on_either_side_are_left_out() -> None:
    base, arm = made(2, 40, 0.02)
    kept = paired_difference([values[3:] for values in base], [values[3:] for values in arm], np.arange(37))
    base[0][0], arm[1][1], base[1][2], arm[1][2] = (np.nan,) * 4
    assert paired_difference(base, arm, np.arange(40)) == kept


def test_items_of_many_queries_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    arm = [np.repeat(rng.standard_normal(30), 20)]
    base, items = [np.zeros(600)], np.repeat(np.arange(30), 20)
    one, all_alone = paired_difference(base, arm, items), paired_difference(base, arm, np.arange(600))
    assert one.high - one.low > 3 * (all_alone.high - all_alone.low)


def test_seeds_that_disagree_widen_the_interval() -> None:
    base = [np.zeros(200)] * 3
    apart = paired_difference(base, [np.full(200, value) for value in (-0.1, 0.0, 0.1)], np.arange(200))
    assert (apart.low, apart.high) == pytest.approx((-0.1, 0.1), abs=0.04)


@pytest.mark.parametrize(("base", "arm", "groups", "reason"), [
    ([], [], np.arange(3), "0 and 0 seeds"),
    ([np.zeros(3)], [np.zeros(3)] * 2, np.arange(3), "1 and 2 seeds"),
    ([np.zeros(3)], [np.zeros(4)], np.arange(3), "give .Q,. scores of the same seeds"),
    ([np.zeros(3)], [np.zeros(3)], np.arange(4), "give .Q,. scores of the same seeds"),
    ([np.zeros(3)], [np.full(3, np.nan)], np.arange(3), "none of 3 queries has a score on both sides"),
])  # fmt: skip
def test_what_cannot_be_paired_is_refused(base: Scores, arm: Scores, groups: np.ndarray, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        paired_difference(base, arm, groups)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == pytest.approx([1, 1])
    assert holm([]).tolist() == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_lies_between_none_and_bonferroni(p_values: list[float]) -> None:
    p, adjusted = np.array(p_values), holm(p_values)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(1, len(p) * p) + 1e-12).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
