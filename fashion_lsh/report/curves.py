"""The numbers behind a report's figures (pure)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

BINS = 15  # of the reliability diagram, as of the calibration error

Curves = dict[str, np.ndarray]


class Reliability(NamedTuple):
    """How often the category head is right at each confidence, (BINS,) each; NaN where no query falls.

    counts: queries of the bin; confidence: their mean mass; accuracy: share that is right; error: the ECE.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    error: float


def learning_curves(sessions: Sequence[Sequence[Mapping[str, float]]], stage: str) -> Curves:
    """The curves of one stage, joined over the sittings in which it was fitted.

    A fit that is resumed does again what came after its last checkpoint: from the first step of a later sitting on,
    what the earlier ones logged does not count.

    Args:
        sessions: rows of CSV logs, earliest first: `step`, `epoch`, and `<stage>/<metric>` where it was logged.
        stage: `detector`, `classifier` or `hash_head`.

    Returns:
        (n, 3) float64 by metric (`train/loss`): step, epoch, value; ascending in step.
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
    """Queries of each true category (row) seen as each category (column).  (Q,) and (Q,) str -> (C, C) int64.

    Those in which nothing was seen, "", are left out.
    """
    index = {name: number for number, name in enumerate(names)}
    true_categories, predicted = true_categories[predicted != ""], predicted[predicted != ""]
    counts = np.zeros((len(names), len(names)), np.int64)
    np.add.at(counts, tuple([index[name] for name in labels] for labels in (true_categories, predicted)), 1)
    return counts


def row_ratios(counts: np.ndarray) -> np.ndarray:
    """Each row of counts as shares of it; a row without a query is 0.  (C, C) int -> (C, C) float64."""
    return np.asarray(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))


def recall_precision(relevant_at: np.ndarray, total_at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean recall and precision of all that lies within each radius, nearest first.

    Queries with nothing relevant in the gallery are left out. Precision is the mean over the queries that find
    anything within the radius; radii at which none does are left out.

    Args:
        relevant_at: (Q, L) int, relevant rows at each distance.
        total_at: (Q, L) int, all rows at each distance.

    Returns:
        recall and precision, (l,) float64 each, l <= L; empty where no query has anything relevant.
    """
    answerable = relevant_at.sum(axis=1) > 0
    hits, retrieved = relevant_at[answerable].cumsum(axis=1), total_at[answerable].cumsum(axis=1)
    nonempty = np.flatnonzero(retrieved.any(axis=0))
    hits, retrieved = hits[:, nonempty], retrieved[:, nonempty]
    recall = (hits / hits[:, -1:]).mean(axis=0) if len(hits) else np.empty(0)
    precision = (hits / np.maximum(retrieved, 1)).sum(axis=0) / np.maximum((retrieved > 0).sum(axis=0), 1)
    return recall, precision[: len(recall)]


def pr_auc(recall: np.ndarray, precision: np.ndarray) -> float:
    """Area under a precision-recall curve, (n,) each: each step of recall at the precision it reaches; empty: 0."""
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def pr_auc_by_category(relevant_at: np.ndarray, total_at: np.ndarray, categories: np.ndarray) -> dict[str, float]:
    """That area for the queries of each category that have something to find, best first.  `categories`: (Q,) str."""
    by_category = {}
    for name in sorted(set(categories)):
        recall, precision = recall_precision(relevant_at[categories == name], total_at[categories == name])
        if len(recall):
            by_category[name] = pr_auc(recall, precision)
    return dict(sorted(by_category.items(), key=lambda pair: -pair[1]))


def mean_distance(counts: np.ndarray) -> float:
    """Mean distance of pairs counted by distance, (L,) int; NaN where there are none."""
    return float((counts * np.arange(len(counts))).sum() / counts.sum()) if counts.any() else float("nan")


def reliability(probabilities: np.ndarray, correct: np.ndarray) -> Reliability:
    """Confidence against accuracy in BINS bins of equal width.

    Args:
        probabilities: (Q,) float, softmax mass of the predicted category, 0..1.
        correct: (Q,) bool, the prediction is true.

    Returns:
        The bins; ECE: |confidence - accuracy| of each, weighted by its share of the queries.
    """
    bins = np.minimum((probabilities.astype(np.float64) * BINS).astype(int), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    sums = (np.bincount(bins, weights=values, minlength=BINS) for values in (probabilities, correct))
    confidence, accuracy = (np.where(counts, values / np.maximum(counts, 1), np.nan) for values in sums)
    error = np.nansum(np.abs(confidence - accuracy) * counts) / max(1, len(probabilities))
    return Reliability(counts, confidence, accuracy, float(error))


def best_typical_worst(
    categories: np.ndarray, category_ap: np.ndarray, item_ap: np.ndarray | None, per_kind: int = 8
) -> dict[str, np.ndarray]:
    """Queries to look at, none twice: `best` and `worst` by category AP, then item AP; `typical`: nearest the median.

    Of equals those come first whose category has been shown least. Queries without a category AP are left out; where
    there are fewer than 3 x each, each sheet gets its share.

    Args:
        categories: (Q,) str.
        category_ap: (Q,) float, NaN where nothing is relevant.
        item_ap: likewise; None: items are not known.
        per_kind: queries a sheet.
    """
    remaining = np.flatnonzero(~np.isnan(category_ap))
    tie_break = category_ap if item_ap is None else item_ap
    keys = np.stack(
        [category_ap, np.nan_to_num(tie_break, nan=np.nanmedian(tie_break) if len(remaining) else 0.0)]
    )  # (2, Q)
    median = np.median(keys[:, remaining], axis=1, keepdims=True) if len(remaining) else 0.0
    per_kind, chosen = min(per_kind, -(-len(remaining) // 3)), {}
    for name, cost in (("best", -keys), ("worst", keys), ("typical", np.abs(keys - median))):
        chosen[name] = remaining[_order(categories[remaining], cost[:, remaining])[:per_kind]]
        remaining = np.setdiff1d(remaining, chosen[name])
    return {name: chosen[name] for name in ("best", "typical", "worst")}


def _order(categories: np.ndarray, cost: np.ndarray) -> list[int]:
    """Places by (2, n) costs, cheapest first; of equals, in turns by category."""
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
