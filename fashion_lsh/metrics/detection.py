"""Match detected boxes to annotated boxes by IoU, and compute precision-recall curves."""

from collections.abc import Sequence

import numpy as np

MATCH_IOU = 0.5  # lowest IoU at which a detected box matches an annotated box


def iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union.  (4,) and (n, 4) xyxy boxes of positive area -> (n,) float64, 0..1."""
    box, others = box.astype(np.float64), others.astype(np.float64)
    corner, end = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(end - corner, 0, None).prod(axis=1)
    return shared / ((box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(axis=1) - shared)


def match_boxes(detected: np.ndarray, annotated: np.ndarray) -> np.ndarray:
    """Match each detected box, in order, to the unmatched annotated box of highest IoU, at least MATCH_IOU.

    Args:
        detected: (m, 4) float32 xyxy, highest score first.
        annotated: (n, 4) float32 xyxy; each is matched at most once.

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
    """Precision-recall curve over all images, from the highest score to the lowest.

    Args:
        correct: (m,) bool per image: whether a detected box is a true positive.
        scores: (m,) float per image.
        total: number of annotated boxes.

    Returns:
        (l,) recall and (l,) precision, one pair per distinct score.
    """
    true_positives = np.concatenate([np.empty(0, bool), *correct])
    values = np.concatenate([np.empty(0, np.float32), *scores])
    order = np.argsort(-values, kind="stable")
    true_positives, values = np.cumsum(true_positives[order]), values[order]
    last = np.append(values[1:] != values[:-1], True)[: len(values)]  # equal scores form one point
    counts = np.arange(1, len(values) + 1)
    return true_positives[last] / max(1, total), true_positives[last] / counts[last]
