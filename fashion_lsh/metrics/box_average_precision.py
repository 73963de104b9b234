"""COCO average precision and recall of detected boxes."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torchmetrics.detection import MeanAveragePrecision

METRIC_NAMES = {"map": "box_ap", "map_50": "box_ap50", "map_75": "box_ap75", "mar_100": "box_ar"}
DetectedBoxes = tuple[np.ndarray, np.ndarray, np.ndarray]  # (m, 4) float32 xyxy, (m,) float32 scores, (m,) int64 labels
AnnotatedBoxes = tuple[np.ndarray, np.ndarray]  # (n, 4) float32 xyxy, (n,) int64 labels


def box_average_precision(
    images: Iterable[tuple[DetectedBoxes, AnnotatedBoxes]], classes: Sequence[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """COCO average precision and recall over all areas, with at most 100 detections per image and class.

    Args:
        images: the detected and the annotated boxes of each image; labels are indices into `classes`.
        classes: names of the classes, at least 1.

    Returns:
        `box_ap` (mean over IoU 0.5 to 0.95), `box_ap50`, `box_ap75` and `box_ar`, each the mean over the annotated
        classes; and, with several classes, `box_ap50` of each annotated class, by class.
    """
    metric = MeanAveragePrecision(class_metrics=len(classes) > 1, extended_summary=True, backend="faster_coco_eval")
    metric.warn_on_many_detections = False
    for (detected_boxes, scores, detected_labels), (annotated_boxes, annotated_labels) in images:
        metric.update(
            [_to_tensors(detected_boxes, detected_labels, scores=scores)],
            [_to_tensors(annotated_boxes, annotated_labels)],
        )
    values = metric.compute()
    results = {metric_name: float(values[key]) for key, metric_name in METRIC_NAMES.items()}
    ap50_by_class: dict[str, float] = {}
    if len(classes) > 1:
        ap50 = values["precision"][0, :, :, 0, -1].mean(dim=0)  # (K,); -1 marks a class without annotated boxes
        present_classes = [classes[int(class_index)] for class_index in values["classes"].reshape(-1)]
        ap50_by_class = {name: float(ap) for name, ap in zip(present_classes, ap50, strict=True) if ap >= 0}
    return results, ap50_by_class


def _to_tensors(boxes: np.ndarray, labels: np.ndarray, **further_arrays: np.ndarray) -> dict[str, Any]:
    arrays = {"boxes": boxes.reshape(-1, 4), "labels": labels, **further_arrays}
    return {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in arrays.items()}
