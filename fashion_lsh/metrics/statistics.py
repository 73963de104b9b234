"""Means, bootstrap confidence intervals, and paired differences with p values."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fashion_lsh.metrics.ranking import Scores, blocks


def means(prefix: str, scores: Mapping[str, Scores]) -> dict[str, float]:
    """Mean over the queries with relevant rows (score not NaN), as `<prefix>/<item or category>/<metric>`."""
    return {
        f"{prefix}/{relevance}/{name}": float(np.nanmean(values))
        for relevance, by_metric in scores.items()
        for name, values in by_metric.items()
    }


def intervals(prefix: str, scores: Mapping[str, Scores], items: np.ndarray) -> dict[str, float]:
    """95 % bootstrap intervals of those means, resampled by item: `…_low` and `…_high`.

    Args:
        prefix: prefix of the keys, as in `means`.
        scores: (Q,) float per metric, NaN for a query without relevant rows.
        items: (Q,) str, "" for a query without an item.
    """
    bounds: dict[str, float] = {}
    for relevance, by_metric in scores.items():
        for name, values in by_metric.items():
            bounds |= interval_bounds(f"{prefix}/{relevance}/{name}", values, items)
    return bounds


def interval_bounds(name: str, values: np.ndarray, items: np.ndarray) -> dict[str, float]:
    """95 % bootstrap interval of the mean of values, resampled by item: `<name>_low` and `<name>_high`.

    (Q,) float and (Q,) str; each query without an item, "", is a group of its own.
    """
    _, item_ids = np.unique(items.astype(str), return_inverse=True)
    groups = np.where(items == "", len(items) + np.arange(len(items)), item_ids)
    low, high = confidence_interval(values, groups)
    return {f"{name}_low": low, f"{name}_high": high}


def macro_mean(values: np.ndarray, labels: np.ndarray) -> float:
    """Macro average: mean over labels of the mean value per label, so all labels have the same weight.

    (Q,) float values and (Q,) labels of any type. NaN values are ignored, and labels with only NaN values.
    """
    valid = ~np.isnan(values)
    return float(np.mean([values[valid & (labels == label)].mean() for label in np.unique(labels[valid])]))


def confidence_interval(
    scores: np.ndarray, groups: np.ndarray | None = None, level: float = 0.95, samples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap percentile interval of the mean score, without NaN scores; (NaN, NaN) if all are NaN.

    Args:
        scores: (Q,) float, one per query.
        groups: (Q,) of any type; queries of one group (for example of one item) are resampled together. None: each
            query is a group. Equal values are one group, also "": pass distinct values for queries without an item.
        level: confidence level, between 0 and 1.
        samples: bootstrap samples, at least 1.
        seed: the interval is deterministic given the seed.

    Returns:
        The lower and the upper bound.
    """
    if scores.ndim != 1 or (groups is not None and groups.shape != scores.shape):
        shapes = f"{scores.shape=}" if groups is None else f"{scores.shape=}, {groups.shape=}"
        raise ValueError(f"{shapes}; pass (Q,) scores, and (Q,) groups or None")
    if not 0 < level < 1 or samples < 1:
        raise ValueError(f"{level=}, {samples=}; pass a level between 0 and 1, and at least 1 sample")
    valid = ~np.isnan(scores)
    if not valid.any():
        return float("nan"), float("nan")
    group_ids = np.arange(valid.sum()) if groups is None else np.unique(groups[valid], return_inverse=True)[1]
    means = _bootstrap_means(np.bincount(group_ids, weights=scores[valid]), np.bincount(group_ids), samples, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


class Difference(NamedTuple):
    """Mean difference method - base, its 95 % confidence interval, and the two-sided p value."""

    mean: float
    low: float
    high: float
    p: float


def paired_difference(
    base: Sequence[np.ndarray], method: Sequence[np.ndarray], groups: np.ndarray, samples: int = 2000
) -> Difference:
    """Mean over seeds and queries of method - base, with a bootstrap over seeds and groups.

    Each bootstrap sample draws seeds and groups with replacement; all seeds of a sample use the same groups, since the
    queries are the same.  Interval: percentiles; p: twice the smaller ratio of samples on either side of 0, with 1
    added to numerator and denominator (A. C. Davison, D. V. Hinkley: Bootstrap Methods and their Application, 1997,
    sections 5.3 and 4.2).  With S seeds the bootstrap shows only (S - 1) / S of the variance between seeds: the
    interval is too narrow by the root of this factor, and with one seed it includes no variance between seeds.

    Args:
        base: (Q,) float scores of the baseline, one array per seed.
        method: (Q,) float scores of the method, seeds in the same order.
        groups: (Q,) of any type; queries of one group (for example of one item) are resampled together.
        samples: bootstrap samples, at least 1.

    Returns:
        The difference over the queries whose scores are not NaN in `base` and `method` with any seed.

    Raises:
        ValueError: numbers of seeds or shapes differ, or no query has all scores.
    """
    shapes = {values.shape for values in (*base, *method, groups)}
    if len(base) != len(method) or not base or len(shapes) != 1 or groups.ndim != 1:
        raise ValueError(
            f"base has {len(base)} seeds, method {len(method)}, shapes {shapes}; pass (Q,) scores of the same seeds"
        )
    differences = np.stack(method) - np.stack(base)  # (S, Q)
    valid = ~np.isnan(differences).any(axis=0)
    if not valid.any():
        raise ValueError(
            f"none of {len(valid)} queries has a score in both base and method; pass scores of the same queries"
        )
    means = _bootstrap_differences(differences[:, valid], np.unique(groups[valid], return_inverse=True)[1], samples)
    low, high = np.quantile(means, [0.025, 0.975])
    tail = min(int((means <= 0).sum()), int((means >= 0).sum()))
    p = min(1.0, 2 * (tail + 1) / (samples + 1))
    return Difference(float(differences[:, valid].mean()), float(low), float(high), p)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm-adjusted p values: the i-th smallest of m times m - i + 1, made non-decreasing, at most 1: (m,) float64.

    S. Holm: A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6, 1979.
    """
    unadjusted = np.asarray(p_values, dtype=float)
    order = np.argsort(unadjusted, kind="stable")
    adjusted = np.empty(len(unadjusted))
    scaled = unadjusted[order] * np.arange(len(unadjusted), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(scaled))
    return adjusted


def _bootstrap_means(sums: np.ndarray, counts: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Bootstrap means of groups given by (G,) sums and (G,) counts: (samples,) float64."""
    generator = np.random.default_rng(seed)
    means = np.zeros(samples)
    for block in blocks(samples, len(sums)):
        draws = generator.integers(len(sums), size=(len(means[block]), len(sums)))
        means[block] = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    return means


def _bootstrap_differences(differences: np.ndarray, group_ids: np.ndarray, samples: int) -> np.ndarray:
    """Bootstrap means of (S, Q) differences over seeds and groups, (Q,) int in 0..G - 1: (samples,) float64."""
    generator = np.random.default_rng(0)
    counts = np.bincount(group_ids)
    sums = np.stack([np.bincount(group_ids, weights=values) for values in differences])  # (S, G)
    seeds = generator.integers(len(differences), size=(samples, len(differences)))
    means = np.zeros(samples)
    for block in blocks(samples, len(counts)):
        draws = _draw_counts(generator, len(means[block]), len(counts))
        seed_means = (draws @ sums.T) / (draws @ counts)[:, None]  # (s, S)
        means[block] = np.take_along_axis(seed_means, seeds[block], axis=1).mean(axis=1)
    return means


def _draw_counts(generator: np.random.Generator, samples: int, count: int) -> np.ndarray:
    """Counts of each of `count` groups in samples drawn with replacement: (samples, count) float64."""
    draws = generator.integers(count, size=(samples, count)) + count * np.arange(samples)[:, None]
    return np.bincount(draws.ravel(), minlength=samples * count).reshape(samples, count).astype(float)
