"""Confident learning: find labels that are probably wrong (C. Northcutt, L. Jiang and I. Chuang, JAIR 70, 2021)."""

from typing import NamedTuple

import numpy as np


class LabelIssues(NamedTuple):
    """Rows whose label is probably wrong, the most doubtful first.

    Attributes:
        rows: (n,) int64 row numbers.
        suggested: (n,) int64 suggested label of each row.
        margins: (n,) float64, -1..0, ascending: probability of the given label minus the highest of any other label.
    """

    rows: np.ndarray
    suggested: np.ndarray
    margins: np.ndarray


def confident_labels(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Label that each row is confidently counted as, (N,) int64; -1: none.

    A row is counted as the most probable of the labels j with p(j) >= t_j, where the threshold t_j is the mean of p(j)
    over the rows labelled j (equations 1 and 2 of the paper). A label without rows has no threshold and is not counted.

    Args:
        probabilities: (N, C) out-of-sample probabilities: no row was predicted by a model that was fitted to it.
        labels: (N,) int64 given labels, 0..C - 1.

    Raises:
        ValueError: the shapes do not match, a probability is not finite, or a label is out of range.
    """
    _check(probabilities, labels)
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    own = probabilities[np.arange(len(labels)), labels]
    self_confidence = np.bincount(labels, own, minlength=len(counts))
    thresholds = np.divide(self_confidence, counts, out=np.full(len(counts), np.inf), where=counts > 0)
    # The mean of equal numbers may exceed them by rounding.
    is_confident = probabilities >= thresholds - 1e-9
    confident = np.where(is_confident, probabilities, -1).argmax(axis=1)
    return np.where(is_confident.any(axis=1), confident, -1)


def find_label_issues(probabilities: np.ndarray, labels: np.ndarray) -> LabelIssues:
    """Find the rows confidently counted as another label, ordered by normalised margin; equal margins by row.

    These are the rows off the diagonal of the paper's confident joint, without rows whose given label is the most
    probable one (margin 0 or above).

    Args:
        probabilities: (N, C) out-of-sample probabilities.
        labels: (N,) int64 given labels, 0..C - 1.
    """
    confident = confident_labels(probabilities, labels)
    rows = np.flatnonzero((confident >= 0) & (confident != labels))
    others = probabilities[rows].astype(np.float64)
    given = others[np.arange(len(rows)), labels[rows]].copy()
    others[np.arange(len(rows)), labels[rows]] = -np.inf
    margins = given - others.max(axis=1, initial=-np.inf)
    order = np.argsort(margins, kind="stable")[: np.count_nonzero(margins < 0)]
    return LabelIssues(rows[order], confident[rows][order], margins[order])


def _check(probabilities: np.ndarray, labels: np.ndarray) -> None:
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1]:
        raise ValueError(f"probabilities: {probabilities.shape}, labels: {labels.shape}; pass (N, C) and (N,)")
    if not np.isfinite(probabilities).all():
        raise ValueError("probabilities contains NaN or inf; remove these rows")
    if len(labels) and not 0 <= labels.min() <= labels.max() < probabilities.shape[1]:
        raise ValueError(f"labels: {labels.min()}..{labels.max()}; pass labels in 0..{probabilities.shape[1] - 1}")
