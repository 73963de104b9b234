"""Means, bootstrap confidence intervals, and paired differences with their p values."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fashion_lsh.metrics.ranking import Scores, blocks


def means(prefix: str, scores: Mapping[str, Scores]) -> dict[str, float]:
    """Flat means over the queries that have something to find: `<prefix>/<item or category>/<metric>`."""
    return {
        f"{prefix}/{relevance}/{name}": float(np.nanmean(values))
        for relevance, by_metric in scores.items()
        for name, values in by_metric.items()
    }


def intervals(prefix: str, scores: Mapping[str, Scores], items: np.ndarray) -> dict[str, float]:
    """95 % bootstrap intervals of those means, all queries of an item drawn together: `…_low` and `…_high`.

    scores: (Q,) float each, NaN where there is nothing to find; items: (Q,) str, "" of a query without one.
    """
    bounds: dict[str, float] = {}
    for relevance, by_metric in scores.items():
        for name, values in by_metric.items():
            bounds |= interval_bounds(f"{prefix}/{relevance}/{name}", values, items)
    return bounds


def interval_bounds(name: str, values: np.ndarray, items: np.ndarray) -> dict[str, float]:
    """`<name>_low` and `<name>_high` of the mean of (Q,) values; queries without an item, "", are drawn alone."""
    _, item_ids = np.unique(items.astype(str), return_inverse=True)
    groups = np.where(items == "", len(items) + np.arange(len(items)), item_ids)
    low, high = confidence_interval(values, groups)
    return {f"{name}_low": low, f"{name}_high": high}


def macro_mean(values: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the labels, of any type, of their mean value, (Q,) and (Q,): rare ones count as much as frequent ones.

    NaN values are left out first, and labels of which none is left.
    """
    valid = ~np.isnan(values)
    return float(np.mean([values[valid & (labels == label)].mean() for label in np.unique(labels[valid])]))


def confidence_interval(
    scores: np.ndarray, groups: np.ndarray | None = None, level: float = 0.95, samples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap percentile interval of the mean score; NaN scores are left out first.  No score at all: (NaN, NaN).

    Args:
        scores: (Q,) float, one a query.
        groups: (Q,) of any type; queries of one group (pictures of one item, say) are drawn together. None: each alone.
            Equal values are one group, "" too: give queries without an item a value of their own.
        level: share of the bootstrap means inside the interval, between 0 and 1.
        samples: bootstrap samples, at least 1.
        seed: of the draws; the same seed gives the same interval.

    Returns:
        The lower and the upper end.
    """
    if scores.ndim != 1 or (groups is not None and groups.shape != scores.shape):
        raise ValueError(f"{scores.shape=}: give (Q,) scores, and as many groups or None")
    if not 0 < level < 1 or samples < 1:
        raise ValueError(f"{level=}, {samples=}: give a level between 0 and 1, and at least 1 sample")
    valid = ~np.isnan(scores)
    if not valid.any():
        return float("nan"), float("nan")
    group_ids = np.arange(valid.sum()) if groups is None else np.unique(groups[valid], return_inverse=True)[1]
    means = _bootstrap_means(np.bincount(group_ids, weights=scores[valid]), np.bincount(group_ids), samples, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


class Difference(NamedTuple):
    """Mean of arm minus base, the ends of its 95 % interval, and its two-sided p value."""

    mean: float
    low: float
    high: float
    p: float


def paired_difference(
    base: Sequence[np.ndarray], method: Sequence[np.ndarray], groups: np.ndarray, samples: int = 2000
) -> Difference:
    """Mean over seeds and queries of arm minus base, with a bootstrap of both.

    A sample draws as many seeds as there are, and as many groups, with replacement; the groups are drawn once for all
    seeds of the sample, since these answer the same queries.  Interval: percentiles; p: twice the smaller share of the
    samples on either side of 0, both counted with one more (A. C. Davison, D. V. Hinkley: Bootstrap Methods and their
    Application, 1997, sections 5.3 and 4.2).  With S seeds the samples show only (S - 1) / S of the
    variance between seeds: the interval is too narrow by the root of that, and with one seed it shows none of it.

    Args:
        base: (Q,) float scores, one array a seed.
        method: the same of the other arm, seeds in the same order.
        groups: (Q,) of any type; queries of one group (those of one item, say) are drawn together.
        samples: bootstrap samples, at least 1.

    Returns:
        The difference over the queries that have a score, no NaN, on both sides and with every seed.

    Raises:
        ValueError: nothing can be paired.
    """
    shapes = {values.shape for values in (*base, *method, groups)}
    if len(base) != len(method) or not base or len(shapes) != 1 or groups.ndim != 1:
        raise ValueError(f"{len(base)} and {len(method)} seeds, shapes {shapes}: give (Q,) scores of the same seeds")
    differences = np.stack(method) - np.stack(base)  # (S, Q)
    valid = ~np.isnan(differences).any(axis=0)
    if not valid.any():
        raise ValueError(f"none of {len(valid)} queries has a score on both sides: compare what both have")
    means = _bootstrap_differences(differences[:, valid], np.unique(groups[valid], return_inverse=True)[1], samples)
    low, high = np.quantile(means, [0.025, 0.975])
    tail = min(int((means <= 0).sum()), int((means >= 0).sum()))
    p = min(1.0, 2 * (tail + 1) / (samples + 1))
    return Difference(float(differences[:, valid].mean()), float(low), float(high), p)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """(m,) p values adjusted for m comparisons: step down, the i-th smallest times m - i + 1, never below one before.

    S. Holm: A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6, 1979.
    """
    unadjusted = np.asarray(p_values, dtype=float)
    order = np.argsort(unadjusted, kind="stable")
    adjusted = np.empty(len(unadjusted))
    scaled = unadjusted[order] * np.arange(len(unadjusted), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(scaled))
    return adjusted


def _bootstrap_means(sums: np.ndarray, counts: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """(samples,) means when as many groups as there are, (G,) sums and counts, are drawn with replacement."""
    generator = np.random.default_rng(seed)
    means = np.zeros(samples)
    for block in blocks(samples, len(sums)):
        draws = generator.integers(len(sums), size=(len(means[block]), len(sums)))
        means[block] = sums[draws].sum(axis=1) / counts[draws].sum(axis=1)
    return means


def _bootstrap_differences(differences: np.ndarray, group_ids: np.ndarray, samples: int) -> np.ndarray:
    """(samples,) means of (S, Q) differences; group_ids: (Q,) int, the number of each query's group, 0..G - 1."""
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
    """(samples, count) float: how many times each of `count` groups is drawn in a sample of as many."""
    draws = generator.integers(count, size=(samples, count)) + count * np.arange(samples)[:, None]
    return np.bincount(draws.ravel(), minlength=samples * count).reshape(samples, count).astype(float)
