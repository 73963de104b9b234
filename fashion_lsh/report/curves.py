"""Data of the figures of a report (pure)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

BINS = 15  # as in metrics.calibration.calibration_error

Curves = dict[str, np.ndarray]


class Reliability(NamedTuple):
    """Reliability diagram of the category head.

    Attributes:
        counts: (BINS,) int, queries per bin.
        confidence: (BINS,) float, mean confidence per bin; NaN for empty bins.
        accuracy: (BINS,) float, fraction of correct predictions per bin; NaN for empty bins.
        error: expected calibration error (ECE).
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    error: float


def learning_curves(sessions: Sequence[Sequence[Mapping[str, float]]], stage: str) -> Curves:
    """Learning curves of one stage, joined over its training sessions.

    A resumed training repeats the steps after the last checkpoint. Values of an earlier session at or after the first
    step of the next session are therefore dropped.

    Args:
        sessions: rows of CSV logs, earliest session first: `step`, `epoch`, and `<stage>/<metric>` where logged.
        stage: `detector`, `classifier` or `hash_head`.

    Returns:
        Arrays by metric (for example `train/loss`), (n, 3) float64: step, epoch and value, ascending in step.
    """
    joined: Curves = {}
    for rows in sessions:
        points_by_metric = _points(rows, f"{stage}/")
        start = min((points[0, 0] for points in points_by_metric.values()), default=np.inf)
        joined = {name: points[points[:, 0] < start] for name, points in joined.items()}
        for name, points in points_by_metric.items():
            joined[name] = np.concatenate([joined.get(name, np.empty((0, 3))), points])
    return {name: points for name, points in joined.items() if len(points)}


def confusion(true_categories: np.ndarray, predicted: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Confusion matrix, (C, C) int64: number of queries by true (row) and predicted category (column).

    true_categories and predicted: (Q,) str. Queries without a prediction ("") are ignored.
    """
    index_by_name = {name: index for index, name in enumerate(names)}
    true_categories, predicted = true_categories[predicted != ""], predicted[predicted != ""]
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, tuple([index_by_name[name] for name in labels] for labels in (true_categories, predicted)), 1)
    return counts


def row_ratios(counts: np.ndarray) -> np.ndarray:
    """Divide each row of `counts`, (C, C) int, by the sum of the row; empty rows are 0.  Returns (C, C) float64."""
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def most_confused(counts: np.ndarray, count: int) -> np.ndarray:
    """Select the `count` categories in most wrong predictions, as true or predicted category; ascending (n,) int64.

    counts: (C, C) int, confusion matrix.
    """
    errors = counts * ~np.eye(len(counts), dtype=bool)
    return np.sort(np.argsort(-(errors.sum(axis=0) + errors.sum(axis=1)), kind="stable")[:count])


def group_others(counts: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Confusion matrix of the `shown` categories, (n,) int, and of all others as one: (C, C) -> (n + 1, n + 1) int.

    The last cell counts all predictions from one of the other categories to one of them, right or wrong.
    """
    groups = np.full(len(counts), len(shown))
    groups[shown] = np.arange(len(shown))
    grouped = np.zeros((len(shown) + 1, len(shown) + 1), dtype=counts.dtype)
    np.add.at(grouped, (groups[:, None], groups[None, :]), counts)
    return grouped


def recall_precision(relevant_at: np.ndarray, total_at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean recall and precision within each Hamming radius, in ascending order.

    Queries without relevant rows are ignored. Precision is the mean over the queries with any row within the radius.
    Radii within which no query has a row are dropped.

    Args:
        relevant_at: (Q, L) int, relevant rows at each distance.
        total_at: (Q, L) int, all rows at each distance.

    Returns:
        recall and precision, (l,) float64 each, l <= L; empty if no query has relevant rows.
    """
    has_relevant = relevant_at.sum(axis=1) > 0
    hits, retrieved = relevant_at[has_relevant].cumsum(axis=1), total_at[has_relevant].cumsum(axis=1)
    radii = np.flatnonzero(retrieved.any(axis=0))
    hits, retrieved = hits[:, radii], retrieved[:, radii]
    recall = (hits / hits[:, -1:]).mean(axis=0) if len(hits) else np.empty(0)
    precision = (hits / np.maximum(retrieved, 1)).sum(axis=0) / np.maximum((retrieved > 0).sum(axis=0), 1)
    return recall, precision[: len(recall)]


def pr_auc(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under a curve of recall and precision, (n,) each: sum of recall step times precision; 0 if n is 0."""
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def pr_auc_by_category(relevant_at: np.ndarray, total_at: np.ndarray, categories: np.ndarray) -> dict[str, float]:
    """Area under the curve of `recall_precision` by category, highest first.  categories: (Q,) str."""
    by_category = {}
    for name in sorted(set(categories)):
        recall, precision = recall_precision(relevant_at[categories == name], total_at[categories == name])
        if len(recall):
            by_category[name] = pr_auc(recall, precision)
    return dict(sorted(by_category.items(), key=lambda pair: -pair[1]))


def mean_distance(counts: np.ndarray) -> float:
    """Mean distance of the pairs in a histogram; NaN without pairs.  counts: (L,) int, pairs at each distance."""
    return float((counts * np.arange(len(counts))).sum() / counts.sum()) if counts.any() else float("nan")


def reliability(probabilities: np.ndarray, is_correct: np.ndarray) -> Reliability:
    """Confidence against accuracy in BINS bins of equal width.

    Args:
        probabilities: (Q,) float, softmax probability of the predicted category, 0..1.
        is_correct: (Q,) bool, True for correct predictions.

    Returns:
        Bins and ECE: the mean of |confidence - accuracy|, weighted by the fraction of queries in each bin.
    """
    bins = confidence_bins(probabilities)
    counts = np.bincount(bins, minlength=BINS)
    sums = (np.bincount(bins, weights=values, minlength=BINS) for values in (probabilities, is_correct))
    confidence, accuracy = (np.where(counts, values / np.maximum(counts, 1), np.nan) for values in sums)
    error = np.nansum(np.abs(confidence - accuracy) * counts) / max(1, len(probabilities))
    return Reliability(counts, confidence, accuracy, float(error))


def confidence_bins(probabilities: np.ndarray) -> np.ndarray:
    """Bin of equal width, (Q,) int in 0..BINS - 1, of each probability in 0..1, (Q,) float."""
    return np.minimum((probabilities.astype(np.float64) * BINS).astype(int), BINS - 1)


def best_typical_worst(
    categories: np.ndarray, category_ap: np.ndarray, item_ap: np.ndarray | None, per_list: int = 8
) -> dict[str, np.ndarray]:
    """Select example queries: `best` and `worst` by category AP, then item AP; `typical` near the median.

    No query is in two lists. Ties alternate between categories. Queries without a category AP are ignored. With fewer
    than 3 × `per_list` queries, each list gets a third.

    Args:
        categories: (Q,) str.
        category_ap: (Q,) float, NaN without relevant rows.
        item_ap: (Q,) float, NaN without relevant rows; None if items are unknown.
        per_list: maximum number of queries per list.

    Returns:
        Query indices, (n,) int64, by `best`, `typical` and `worst`.
    """
    remaining = np.flatnonzero(~np.isnan(category_ap))
    tie_break = category_ap if item_ap is None else item_ap
    keys = np.stack(
        [category_ap, np.nan_to_num(tie_break, nan=np.nanmedian(tie_break) if len(remaining) else 0.0)]
    )  # (2, Q)
    median = np.median(keys[:, remaining], axis=1, keepdims=True) if len(remaining) else 0.0
    per_list, chosen = min(per_list, -(-len(remaining) // 3)), {}
    for name, cost in (("best", -keys), ("worst", keys), ("typical", np.abs(keys - median))):
        chosen[name] = remaining[alternating_order(categories[remaining], cost[:, remaining])[:per_list]]
        remaining = np.setdiff1d(remaining, chosen[name])
    return {name: chosen[name] for name in ("best", "typical", "worst")}


def confident_failures(confidence: np.ndarray, category_ap: np.ndarray, count: int = 8) -> np.ndarray:
    """Select the queries with the highest confidence × (1 - AP), and an AP below one half.

    Args:
        confidence: (Q,) float, probability of the predicted category; 0 without a prediction.
        category_ap: (Q,) float, NaN without relevant rows; such queries are ignored.
        count: maximum number of queries.

    Returns:
        Query indices, (n,) int64, n <= count, highest first.
    """
    failed = np.flatnonzero((category_ap < 0.5) & (confidence > 0))
    order = np.argsort(-confidence[failed] * (1 - category_ap[failed]), kind="stable")
    return failed[order[:count]]


def alternating_order(categories: np.ndarray, cost: np.ndarray) -> list[int]:
    """Indices in ascending order of the first, then the second cost; ties alternate between categories.

    categories: (n,) str; cost: (2, n) float.
    """
    num_shown: Counter[tuple[float, float, str]] = Counter()
    sort_keys = []
    for name, first, second in zip(categories, *cost.round(6), strict=True):
        num_shown[first, second, name] += 1
        sort_keys.append((first, second, num_shown[first, second, name], name))
    return sorted(range(len(sort_keys)), key=sort_keys.__getitem__)


def _points(rows: Sequence[Mapping[str, float]], prefix: str) -> Curves:
    by_metric: dict[str, list[tuple[float, float, float]]] = {}
    for row in rows:
        for name in row.keys() - {"step", "epoch"}:
            if name.startswith(prefix) and "step" in row:
                point = row["step"], row.get("epoch", np.nan), row[name]
                by_metric.setdefault(name.removeprefix(prefix), []).append(point)
    return {name: np.array(sorted(points)) for name, points in by_metric.items()}
