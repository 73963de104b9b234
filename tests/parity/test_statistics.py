"""Intervals and p values against statsmodels and scipy, where they follow the same convention."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, ttest_1samp, ttest_rel
from scipy.stats import t as student
from statsmodels.formula.api import ols
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from fashion_lsh.metrics.statistics import LEVEL, holm, item_interval, paired_difference

SEEDS = range(4)


def clustered_fit(scores: np.ndarray, groups: np.ndarray) -> Any:
    """Fit a mean by least squares, with the standard error clustered by group and t quantiles."""
    model = sm.OLS(scores, np.ones_like(scores))
    return model.fit(cov_type="cluster", cov_kwds={"groups": groups}, use_t=True)


def random_groups(rng: np.random.Generator, num_queries: int) -> np.ndarray:
    """Group numbers, (num_queries,) int64, of 20 groups of different sizes, each with at least one query."""
    return rng.permutation(np.append(np.arange(20), rng.integers(0, 20, num_queries - 20)))


@settings(max_examples=15)  # multipletests takes 50 ms
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_equals_statsmodels(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_seed_equals_the_clustered_t_test_of_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups, base = random_groups(rng, 90), rng.random(90)
    method = base + 0.05 + rng.normal(0, 0.1, 20)[groups] + rng.normal(0, 0.1, 90)
    difference, fit = paired_difference([base], [method], groups), clustered_fit(method - base, groups)
    assert (difference.low, difference.high) == pytest.approx(tuple(fit.conf_int(1 - LEVEL)[0]), rel=1e-9)
    assert difference.p == pytest.approx(fit.pvalues[0], rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_seed_without_items_equals_the_paired_t_test_of_scipy(seed: int) -> None:
    base, method = np.random.default_rng(seed).random((2, 50))
    difference, expected = paired_difference([base], [method], np.arange(50)), ttest_rel(method, base)
    assert (difference.low, difference.high) == pytest.approx(tuple(expected.confidence_interval(LEVEL)), rel=1e-9)
    assert difference.p == pytest.approx(expected.pvalue, rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_seeds_without_item_effects_equal_the_t_test_over_seed_means(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.normal(0.02, 0.05, (5, 1)) + rng.normal(0, 0.1, (5, 60))
    scores -= scores.mean(axis=0) - scores.mean()  # all queries have the same mean over seeds
    difference = paired_difference(list(np.zeros_like(scores)), list(scores), np.arange(60))
    expected = ttest_1samp(scores.mean(axis=1), 0)
    assert (difference.low, difference.high) == pytest.approx(tuple(expected.confidence_interval(LEVEL)), rel=1e-9)
    assert difference.p == pytest.approx(expected.pvalue, rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_variances_equal_the_analysis_of_variance_of_statsmodels(seed: int) -> None:
    rng, num_seeds, num_items = np.random.default_rng(seed), 5, 30
    scores = (
        rng.normal(0, 0.05, (num_seeds, 1)) + rng.normal(0, 0.3, num_items) + rng.normal(0, 0.1, (num_seeds, num_items))
    )
    seeds, items = np.divmod(np.arange(scores.size), num_items)
    table = sm.stats.anova_lm(ols("score ~ C(seed) + C(item)", pd.DataFrame(
        {"score": scores.ravel(), "seed": seeds, "item": items})).fit())  # fmt: skip
    squares = table["mean_sq"] / scores.size
    item_variance = squares["C(item)"] - squares["Residual"]
    assert item_variance > 0
    margin = math.hypot(
        student.isf((1 - LEVEL) / 2, num_seeds - 1) * math.sqrt(squares["C(seed)"]),
        student.isf((1 - LEVEL) / 2, num_items - 1) * math.sqrt(item_variance),
    )
    difference = paired_difference(list(np.zeros_like(scores)), list(scores), np.arange(num_items))
    assert (difference.high - difference.low) / 2 == pytest.approx(margin, rel=1e-9)


@pytest.mark.parametrize("kind", ["0/1", "AP"])
@pytest.mark.parametrize("seed", SEEDS)
def test_an_item_interval_equals_wilson_with_the_clustered_variance_of_statsmodels(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    groups, scores = random_groups(rng, 90), rng.random(90) ** 3
    scores = (scores < 0.5).astype(float) if kind == "0/1" else scores
    mean, variance = scores.mean(), clustered_fit(scores, groups).cov_params()[0, 0]
    size = mean * (1 - mean) / variance
    normal_level = 2 * norm.sf(student.isf((1 - LEVEL) / 2, 19))
    expected = proportion_confint(mean * size, size, normal_level, "wilson")
    assert item_interval(scores, groups.astype(str)) == pytest.approx(expected, rel=1e-9)
