"""Match detected boxes to annotated ones by intersection over union, and trace precision against recall."""

from collections.abc import Sequence

import numpy as np

MATCH_IOU = 0.5  # intersection over union from which a found box is the garment that was annotated


def iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a box (4,) with others (n, 4), all xyxy with an area: (n,) float64, 0..1."""
    box, others = box.astype(np.float64), others.astype(np.float64)
    corner, end = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(end - corner, 0, None).prod(axis=1)
    return shared / ((box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - shared)


def match_boxes(detected: np.ndarray, annotated: np.ndarray) -> np.ndarray:
    """Match each detected box, the best score first, to the annotated box of the highest IoU of MATCH_IOU or more.

    Args:
        detected: (m, 4) float32 xyxy, the best score first.
        annotated: (n, 4) float32 xyxy; each is found once at most.

    Returns:
        (m,) int64 indices into `annotated`; -1: a false positive.
    """
    matched_indices = np.full(len(detected), -1, dtype=np.int64)
    unmatched = np.ones(len(annotated), dtype=bool)
    for index, box in enumerate(detected):
        ious = np.where(unmatched, iou(box, annotated), 0.0)
        if len(annotated) and ious.max() >= MATCH_IOU:
            matched_indices[index] = ious.argmax()
            unmatched[matched_indices[index]] = False
    return matched_indices


def recall_precision(
    correct: Sequence[np.ndarray], scores: Sequence[np.ndarray], total: int
) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at each score, from the greatest down.

    Args:
        correct: of each picture, (m,) bool: whether a found box is one that is there.
        scores: of each picture, (m,) float.
        total: boxes that are there.

    Returns:
        (l,) recall and (l,) precision, one pair a different score.
    """
    true_positives = np.concatenate([np.empty(0, bool), *correct])
    values = np.concatenate([np.empty(0, np.float32), *scores])
    order = np.argsort(-values, kind="stable")
    true_positives, values = np.cumsum(true_positives[order]), values[order]
    last = np.append(values[1:] != values[:-1], True)[: len(values)]  # of equal scores, all together
    counts = np.arange(1, len(values) + 1)
    return true_positives[last] / max(1, total), true_positives[last] / counts[last]
