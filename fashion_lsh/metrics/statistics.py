"""Compute means, bootstrap confidence intervals, and paired differences with p values."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fashion_lsh.metrics.ranking import block_slices


def item_interval(values: np.ndarray, items: np.ndarray) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of values, resampled by item: lower and upper bound.

    values: (Q,) float, NaN for a query without a score; items: (Q,) str. Each query without an item ("") forms a
    separate group.
    """
    _, item_ids = np.unique(items.astype(str), return_inverse=True)
    return confidence_interval(values, np.where(items == "", len(items) + np.arange(len(items)), item_ids))


def macro_mean(values: np.ndarray, labels: np.ndarray) -> float:
    """Macro average: mean over labels of the mean value per label, so that all labels have equal weight.

    values: (Q,) float; labels: (Q,) of any type. NaN values, and labels with only NaN values, are ignored.
    """
    has_value = ~np.isnan(values)
    return float(np.mean([values[has_value & (labels == label)].mean() for label in np.unique(labels[has_value])]))


def confidence_interval(
    scores: np.ndarray, groups: np.ndarray | None = None, level: float = 0.95, num_samples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap percentile interval of the mean of all scores that are not NaN; (NaN, NaN) if all scores are NaN.

    Args:
        scores: (Q,) float.
        groups: (Q,) of any type; queries of one group (for example of one item) are resampled together; None if
            each query is a group. Equal values, including "", form one group, so pass distinct values for queries
            without an item.
        level: confidence level, between 0 and 1.
        num_samples: number of bootstrap samples, at least 1.
        seed: seed of the bootstrap, which is deterministic given the seed.

    Returns:
        The lower and the upper bound.
    """
    if scores.ndim != 1 or (groups is not None and groups.shape != scores.shape):
        shapes = f"{scores.shape=}" if groups is None else f"{scores.shape=}, {groups.shape=}"
        raise ValueError(f"{shapes}; pass (Q,) scores, and (Q,) groups or None")
    if not 0 < level < 1 or num_samples < 1:
        raise ValueError(f"{level=}, {num_samples=}; pass a level between 0 and 1, and at least 1 sample")
    has_score = ~np.isnan(scores)
    if not has_score.any():
        return float("nan"), float("nan")
    group_ids = np.arange(has_score.sum()) if groups is None else np.unique(groups[has_score], return_inverse=True)[1]
    sums, counts = np.bincount(group_ids, weights=scores[has_score]), np.bincount(group_ids)
    low, high = np.quantile(_bootstrap_means(sums, counts, num_samples, seed), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


class Difference(NamedTuple):
    """Difference of two methods.

    Attributes:
        mean: mean of method - base.
        low: lower bound of the 95 % confidence interval of `mean`.
        high: upper bound of the interval.
        p: two-sided p value.
    """

    mean: float
    low: float
    high: float
    p: float


def paired_difference(
    base: Sequence[np.ndarray], method: Sequence[np.ndarray], groups: np.ndarray, num_samples: int = 2000
) -> Difference:
    """Mean over seeds and queries of method - base, with a bootstrap over seeds and groups.

    Each bootstrap sample draws seeds and groups with replacement; all seeds of a sample use the same groups, since all
    seeds are evaluated on the same queries. The bounds of the interval are percentiles. The p value is twice the
    smaller ratio of samples on either side of 0, with 1 added to numerator and denominator (A. C. Davison, D. V.
    Hinkley: Bootstrap Methods and their Application, 1997, sections 5.3 and 4.2). With S seeds, the bootstrap
    reproduces only (S - 1) / S of the variance between seeds, so the interval is too narrow, by up to the square root
    of this factor. With one seed, the interval includes no variance between seeds.

    Args:
        base: (Q,) float scores of the baseline, one array per seed.
        method: (Q,) float scores of the method, one array per seed, in the order of `base`.
        groups: (Q,) of any type; queries of one group (for example of one item) are resampled together.
        num_samples: number of bootstrap samples, at least 1.

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
    differences = np.stack(method) - np.stack(base)  # (S, Q)
    has_scores = ~np.isnan(differences).any(axis=0)
    if not has_scores.any():
        raise ValueError(
            f"none of {len(has_scores)} queries has a score in both base and method; pass scores of the same queries"
        )
    differences = differences[:, has_scores]
    _, group_ids = np.unique(groups[has_scores], return_inverse=True)
    bootstrap_means = _bootstrap_differences(differences, group_ids, num_samples)
    low, high = np.quantile(bootstrap_means, [0.025, 0.975])
    tail_count = min(int((bootstrap_means <= 0).sum()), int((bootstrap_means >= 0).sum()))
    p = min(1.0, 2 * (tail_count + 1) / (num_samples + 1))
    return Difference(float(differences.mean()), float(low), float(high), p)


def holm(p_values: Sequence[float]) -> np.ndarray:
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


def _bootstrap_means(sums: np.ndarray, counts: np.ndarray, num_samples: int, seed: int) -> np.ndarray:
    """Bootstrap means of the values in G groups, given sums (G,) and counts (G,): (num_samples,) float64."""
    generator = np.random.default_rng(seed)
    means = np.zeros(num_samples)
    for block in block_slices(num_samples, len(sums)):
        draws = generator.integers(len(sums), size=(len(means[block]), len(sums)))
        means[block] = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    return means


def _bootstrap_differences(differences: np.ndarray, group_ids: np.ndarray, num_samples: int) -> np.ndarray:
    """Bootstrap means over seeds and groups.

    differences (S, Q), group_ids (Q,) int in 0..G - 1 -> (num_samples,) float64.
    """
    generator = np.random.default_rng(0)
    counts = np.bincount(group_ids)
    sums = np.stack([np.bincount(group_ids, weights=values) for values in differences])  # (S, G)
    seeds = generator.integers(len(differences), size=(num_samples, len(differences)))
    means = np.zeros(num_samples)
    for block in block_slices(num_samples, len(counts)):
        draws = _draw_counts(generator, len(means[block]), len(counts))
        seed_means = (draws @ sums.T) / (draws @ counts)[:, None]  # (s, S)
        means[block] = np.take_along_axis(seed_means, seeds[block], axis=1).mean(axis=1)
    return means


def _draw_counts(generator: np.random.Generator, num_samples: int, num_groups: int) -> np.ndarray:
    """Count how often each group is drawn in samples with replacement: (num_samples, num_groups) float64."""
    draws = (
        generator.integers(num_groups, size=(num_samples, num_groups)) + num_groups * np.arange(num_samples)[:, None]
    )
    return np.bincount(draws.ravel(), minlength=num_samples * num_groups).reshape(num_samples, num_groups).astype(float)
