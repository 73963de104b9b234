"""Match detected boxes to annotated boxes by IoU, and compute precision-recall curves."""

from collections.abc import Sequence

import numpy as np

MATCH_IOU = 0.5  # lowest IoU at which a detected box matches an annotated box


def iou(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes of positive area.  box (4,) xyxy, boxes (n, 4) xyxy -> (n,) float64, 0..1."""
    box, boxes = box.astype(np.float64), boxes.astype(np.float64)
    top_left, bottom_right = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    intersection = np.clip(bottom_right - top_left, 0, None).prod(axis=1)
    areas = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return intersection / (areas - intersection)


def match_boxes(detected: np.ndarray, annotated: np.ndarray) -> np.ndarray:
    """Match each detected box, in order, to the unmatched annotated box of highest IoU.

    Boxes with an IoU below MATCH_IOU are not matched.

    Args:
        detected: (m, 4) float32 xyxy, highest score first.
        annotated: (n, 4) float32 xyxy; each annotated box is matched at most once.

    Returns:
        (m,) int64 indices into `annotated`, -1 for a false positive.
    """
    matched_indices = np.full(len(detected), -1, dtype=np.int64)
    is_unmatched = np.ones(len(annotated), dtype=bool)
    for index, box in enumerate(detected):
        ious = np.where(is_unmatched, iou(box, annotated), 0.0)
        if len(annotated) and ious.max() >= MATCH_IOU:
            matched_indices[index] = ious.argmax()
            is_unmatched[matched_indices[index]] = False
    return matched_indices


def precision_recall_curve(
    is_correct: Sequence[np.ndarray], scores: Sequence[np.ndarray], total: int
) -> tuple[np.ndarray, np.ndarray]:
    """Precision-recall curve over all images, from the highest score to the lowest.

    Args:
        is_correct: (m,) bool per image, True for a detected box that is a true positive.
        scores: (m,) float per image.
        total: number of annotated boxes.

    Returns:
        (l,) recall and (l,) precision, with one pair per distinct score.
    """
    is_true_positive = np.concatenate([np.empty(0, bool), *is_correct])
    all_scores = np.concatenate([np.empty(0, np.float32), *scores])
    order = np.argsort(-all_scores, kind="stable")
    true_positives, sorted_scores = np.cumsum(is_true_positive[order]), all_scores[order]
    # Detections of equal scores form one point of the curve.
    is_last_of_score = np.append(sorted_scores[1:] != sorted_scores[:-1], True)[: len(sorted_scores)]
    num_detections = np.arange(1, len(sorted_scores) + 1)
    true_positives = true_positives[is_last_of_score]
    return true_positives / max(1, total), true_positives / num_detections[is_last_of_score]
