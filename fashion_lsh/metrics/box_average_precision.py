"""COCO average precision and recall of detected boxes."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

DetectedBoxes = tuple[np.ndarray, np.ndarray, np.ndarray]  # (m, 4) float32 xyxy, (m,) float32 scores, (m,) int64 labels
AnnotatedBoxes = tuple[np.ndarray, np.ndarray, np.ndarray]  # (n, 4) float32 xyxy, (n,) int64 labels, (n,) bool: crowd


def box_average_precision(
    images: Iterable[tuple[DetectedBoxes, AnnotatedBoxes]], classes: Sequence[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """COCO average precision and recall over all areas, with at most 100 detections per image and class.

    A detection that matches no other annotated box is ignored if at least the threshold's fraction of its area is in a
    crowd of its class. All detections in an image without annotated boxes are false positives.

    Args:
        images: the detected and the annotated boxes of each image; labels are indices into `classes`.
        classes: names of the classes, at least 1.

    Returns:
        `box_ap` (mean over IoU 0.5 to 0.95), `box_ap50`, `box_ap75` and `box_ar`, each the mean over the annotated
        classes (NaN if there are none); and, with several classes, `box_ap50` of each annotated class, by class.
    """
    precision, recall = _evaluate(list(images), len(classes))  # (10, 101, K) and (10, K); -1: class not annotated
    is_annotated = recall[0] >= 0
    precision, recall = precision[:, :, is_annotated].mean(axis=1), recall[:, is_annotated]
    if not is_annotated.any():
        return dict.fromkeys(("box_ap", "box_ap50", "box_ap75", "box_ar"), float("nan")), {}
    results = {
        "box_ap": float(precision.mean()), "box_ap50": float(precision[0].mean()),
        "box_ap75": float(precision[5].mean()), "box_ar": float(recall.mean()),
    }  # fmt: skip
    if len(classes) == 1:
        return results, {}
    names = [name for name, is_present in zip(classes, is_annotated, strict=True) if is_present]
    return results, {name: float(ap) for name, ap in zip(names, precision[0], strict=True)}


def _evaluate(
    images: Sequence[tuple[DetectedBoxes, AnnotatedBoxes]], num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Precision (10, 101, K) by IoU threshold, recall and class, and recall (10, K), of at most 100 detections."""
    annotations: list[dict[str, Any]] = []
    detections: list[dict[str, Any]] = []
    for image, ((xyxy, scores, detected_labels), (annotated, labels, is_crowd)) in enumerate(images):
        annotations += _entries(image, annotated, labels, "iscrowd", is_crowd.astype(int))
        detections += _entries(image, xyxy, detected_labels, "score", scores)
    numbered = [annotation | {"id": number} for number, annotation in enumerate(annotations, start=1)]
    ground_truth = COCO({
        "images": [{"id": image} for image in range(len(images))], "annotations": numbered,
        "categories": [{"id": label, "name": str(label)} for label in range(num_classes)],
    })  # fmt: skip
    evaluator = COCOeval_faster(ground_truth, ground_truth.loadRes(detections), "bbox")
    evaluator.evaluate()
    evaluator.accumulate()
    return evaluator.eval["precision"][..., 0, -1], evaluator.eval["recall"][..., 0, -1]


def _entries(image: int, xyxy: np.ndarray, labels: np.ndarray, name: str, values: np.ndarray) -> list[dict[str, Any]]:
    """Boxes (n, 4) with labels (n,) and one further value (n,) as entries of a COCO file."""
    xyxy = xyxy.reshape(-1, 4).astype(np.float64)
    xywh = np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], axis=1)
    return [
        {"image_id": image, "category_id": label, "bbox": box, "area": box[2] * box[3], name: value}
        for box, label, value in zip(xywh.tolist(), labels.tolist(), values.tolist(), strict=True)
    ]
