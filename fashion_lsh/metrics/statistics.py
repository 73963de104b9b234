"""Means, confidence intervals of means and paired differences, and p values.

Queries of one item are dependent, and so are all queries of one trained model. The intervals therefore use the variance
between items and, with several seeds, the variance between seeds, each with the quantile of Student's t distribution.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEVEL = 0.95  # confidence level of all intervals
MIN_SEEDS = 5  # seeds from which on a difference is called significant
SIMULATED_COVERAGE = {  # seeds -> lowest and highest coverage in %, docs/intervals.md; MIN_SEEDS: or more seeds
    2: (95.6, 98.1), 3: (95.2, 97.6), 4: (94.9, 97.6), MIN_SEEDS: (95.0, 97.1),
}  # fmt: skip
SMALLEST_P = 1e-40  # smaller p values are 0
Variance = tuple[float, int]  # variance of a mean, and its degrees of freedom


def item_groups(items: np.ndarray) -> np.ndarray:
    """Group the queries by item: row of the first query of the same item.  (Q,) str -> (Q,) int64.

    A query without an item ("") is a group of its own.
    """
    names = items.astype(str)
    _, first_rows, item_ids = np.unique(names, return_index=True, return_inverse=True)
    return np.where(names == "", np.arange(len(names)), first_rows[item_ids])


def item_interval(values: np.ndarray, items: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean of scores of one model over queries; queries of an item are dependent.

    Wilson's score interval with the effective sample size m (1 - m) / V, where m is the mean and V its variance between
    items, and with the t quantile of G - 1 degrees of freedom for G items. The bounds lie between 0 and 1. If m is 0 or
    1, the sample size is G. The interval does not cover the variation between trainings.

    E. B. Wilson, Journal of the American Statistical Association 22, 1927; E. L. Korn and B. I. Graubard: Confidence
    Intervals for Proportions with Small Expected Number of Positive Counts Estimated from Survey Data, Survey
    Methodology 24, 1998 (effective sample size).

    Args:
        values: (Q,) float, 0..1; NaN for a query without a score.
        items: (Q,) str, "" for a query without an item.

    Returns:
        The lower and the upper bound; NaN if the scores are from fewer than two items.

    Raises:
        ValueError: the shapes differ, or a score is not between 0 and 1.
    """
    if values.ndim != 1 or items.shape != values.shape:
        raise ValueError(f"{values.shape=}, {items.shape=}; pass (Q,) values and (Q,) items")
    has_score = ~np.isnan(values)
    scores = values[has_score].astype(float)
    if (np.abs(scores - 0.5) > 0.5 + 1e-6).any():
        raise ValueError(f"scores from {scores.min()} to {scores.max()}; pass scores between 0 and 1")
    _, group_ids = np.unique(item_groups(items)[has_score], return_inverse=True)
    num_groups = len(np.unique(group_ids))
    if num_groups < 2:
        return math.nan, math.nan
    mean = min(1.0, max(0.0, float(scores.mean())))
    [(variance, freedom)] = _variances(scores[None], group_ids)
    size = num_groups if mean in (0, 1) else mean * (1 - mean) / max(variance, 1e-300)
    ratio = _t_quantile(freedom, (1 + LEVEL) / 2) ** 2 / size
    margin = math.sqrt(ratio * mean * (1 - mean) + ratio**2 / 4)
    low, high = ((mean + ratio / 2 + sign * margin) / (1 + ratio) for sign in (-1, 1))
    return max(0.0, min(low, mean)), min(1.0, max(high, mean))


def macro_mean(values: np.ndarray, labels: np.ndarray) -> float:
    """Macro average: mean over labels of the mean value per label, so that all labels have equal weight.

    values: (Q,) float; labels: (Q,) of any type. NaN values, and labels with only NaN values, are ignored.
    """
    has_value = ~np.isnan(values)
    return float(np.mean([values[has_value & (labels == label)].mean() for label in np.unique(labels[has_value])]))


class Difference(NamedTuple):
    """Difference of two methods.

    Attributes:
        mean: mean of method - base.
        low, high: bounds of the 95 % confidence interval of `mean`; NaN for one seed and one item.
        p: two-sided p value; below 0.05 exactly if the interval excludes 0.
        seeds: number of seeds. With one seed, the interval is about this pair of trained models only; with fewer than
            MIN_SEEDS, do not call the difference significant.
    """

    mean: float
    low: float
    high: float
    p: float
    seeds: int


def paired_difference(base: Sequence[np.ndarray], method: Sequence[np.ndarray], groups: np.ndarray) -> Difference:
    """Mean over seeds and queries of method - base, with an interval for new seeds and new items.

    The variance of the mean has two parts: the variance of the means of the S seeds, divided by S, and the variance
    between the G groups that all seeds share (the random effects of a two-way layout: H. Scheffé, The Analysis of
    Variance, 1959, chapter 7). The interval is mean ± sqrt((t_s v_s)² + (t_g v_g)²) with the standard errors v and the
    t quantiles of S - 1 and G - 1 degrees of freedom (W. G. Howe: Approximate Confidence Limits on the Mean of X + Y
    Where X and Y Are Two Tabled Independent Random Variables, J. of the American Statistical Association 69, 1974).
    The p value is 1 minus the largest level at which the interval excludes 0.

    Args:
        base: (Q,) float scores of the baseline, one array per seed.
        method: (Q,) float scores of the method, one array per seed, in the order of `base`.
        groups: (Q,) of any type; queries of one group (for example of one item) are dependent. Equal values, including
            "", form one group (see `item_groups`).

    Returns:
        The difference over the queries whose scores are not NaN in `base` and `method` with any seed.

    Raises:
        ValueError: the numbers of seeds or the shapes differ, or every query lacks a score.
    """
    shapes = {values.shape for values in (*base, *method, groups)}
    if len(base) != len(method) or not base or len(shapes) != 1 or groups.ndim != 1:
        raise ValueError(
            f"base has {len(base)} seeds, method {len(method)}, shapes {shapes}; pass (Q,) scores of the same seeds"
        )
    differences = np.stack(method).astype(float) - np.stack(base)  # (S, Q)
    has_scores = ~np.isnan(differences).any(axis=0)
    if not has_scores.any():
        raise ValueError(
            f"none of {len(has_scores)} queries has a score in both base and method; pass scores of the same queries"
        )
    _, group_ids = np.unique(groups[has_scores], return_inverse=True)
    variances = _variances(differences[:, has_scores], group_ids)
    mean = float(differences[:, has_scores].mean())
    margin = _margin(variances, 1 - LEVEL)
    return Difference(mean, mean - margin, mean + margin, _p_value(mean, variances), len(base))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm-adjusted p values of m tests: (m,) float64.

    The i-th smallest p value is multiplied by m - i + 1; the results are made non-decreasing and limited to 1.

    S. Holm: A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6, 1979.
    """
    unadjusted = np.asarray(p_values, dtype=float)
    order = np.argsort(unadjusted, kind="stable")
    adjusted = np.empty(len(unadjusted))
    scaled = unadjusted[order] * np.arange(len(unadjusted), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(scaled))
    return adjusted


def _variances(values: np.ndarray, group_ids: np.ndarray) -> list[Variance]:
    """Independent parts of the variance of the mean of values, with their degrees of freedom.

    One seed: the variance between groups. Several seeds: the variance between seeds, then the variance between groups
    that all seeds share: variance between groups of the mean over seeds, minus its part from the interaction of seed
    and group, which the variance between seeds already contains; at least 0. The variance between seeds is at least the
    1 % quantile that it has with no other effect than the interaction, so that seeds of equal means by chance do not
    give an interval of width 0. A single group has no variance between groups.

    values: (S, Q) float; group_ids: (Q,) int in 0..G - 1.
    """
    from scipy.special import chdtri  # slow to import, and not needed for searching

    num_seeds, num_groups = len(values), int(group_ids.max()) + 1
    means = values.mean(axis=1)
    parts = [(float(means.var(ddof=1)) / num_seeds, num_seeds - 1)] if num_seeds > 1 else []
    if num_groups == 1:
        return parts
    deviations = values - means[:, None]
    shares = np.stack([np.bincount(group_ids, weights=row) for row in deviations]) / values.shape[1]  # (S, G)
    factor = num_groups / (num_groups - 1)
    between_groups = factor * float((shares.mean(axis=0) ** 2).sum())
    if num_seeds > 1:
        interaction = factor * float(((shares - shares.mean(axis=0)) ** 2).sum()) / (num_seeds * (num_seeds - 1))
        between_groups = max(0.0, between_groups - interaction)
        [(between_seeds, freedom)] = parts
        parts = [(max(between_seeds, interaction * float(chdtri(freedom, 0.99)) / freedom), freedom)]
    return [*parts, (between_groups, num_groups - 1)]


def _margin(variances: Sequence[Variance], p: float) -> float:
    """Half-width of the interval of confidence level 1 - p; NaN without variances."""
    if not variances:
        return math.nan
    return math.hypot(*(math.sqrt(variance) * _t_quantile(freedom, p / 2) for variance, freedom in variances))


def _p_value(mean: float, variances: Sequence[Variance]) -> float:
    """Two-sided p value of a mean: the p at which `_margin` equals its absolute value; 1 without variances."""
    from scipy.optimize import brentq  # slow to import, and not needed for searching

    if mean == 0 or not variances:
        return 1.0
    if _margin(variances, SMALLEST_P) <= abs(mean):
        return 0.0
    return math.exp(brentq(lambda log_p: _margin(variances, math.exp(log_p)) - abs(mean), math.log(SMALLEST_P), 0.0))


def _t_quantile(freedom: int, probability: float) -> float:
    """Quantile of Student's t distribution."""
    from scipy.special import stdtrit  # slow to import, and not needed for searching

    return float(stdtrit(freedom, probability))
