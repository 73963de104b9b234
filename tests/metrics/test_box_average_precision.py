"""Average precision of boxes against hand-computed values."""

import numpy as np
import pytest

from fashion_lsh.metrics.box_average_precision import AnnotatedBoxes, DetectedBoxes, box_average_precision

BOX = [10, 10, 50, 60]


def detected_boxes(*labels: int, corners: list[float] | None = None) -> DetectedBoxes:
    """Detected boxes with the same corners and descending scores."""
    scores = np.linspace(0.9, 0.5, len(labels)).astype(np.float32)
    return np.float32([corners or BOX] * len(labels)).reshape(-1, 4), scores, np.array(labels, np.int64)


def annotated_boxes(*labels: int) -> AnnotatedBoxes:
    return np.float32([BOX] * len(labels)).reshape(-1, 4), np.array(labels, np.int64), np.zeros(len(labels), bool)


def test_a_single_class_has_no_scores_per_class() -> None:
    means, ap50_by_class = box_average_precision([(detected_boxes(0), annotated_boxes(0))], ["garment"])
    assert means == {"box_ap": 1, "box_ap50": 1, "box_ap75": 1, "box_ar": 1}
    assert ap50_by_class == {}


def test_a_box_of_iou_two_thirds_matches_up_to_a_threshold_of_0_65() -> None:
    means, _ = box_average_precision(
        [(detected_boxes(0, corners=[18, 10, 58, 60]), annotated_boxes(0))], ["garment"]
    )  # 32 / 48
    assert means == pytest.approx({"box_ap": 0.4, "box_ap50": 1, "box_ap75": 0, "box_ar": 0.4})  # 4 of 10 thresholds


def test_classes_without_annotated_boxes_have_no_score() -> None:
    images = [(detected_boxes(2), annotated_boxes(2)), (detected_boxes(2), annotated_boxes(0))]
    means, ap50_by_class = box_average_precision(images, ["bag", "coat", "hat"])
    assert set(means) == {"box_ap", "box_ap50", "box_ap75", "box_ar"}
    assert set(ap50_by_class) == {"bag", "hat"}
    assert ap50_by_class["bag"] == 0
    assert means["box_ap50"] == pytest.approx((ap50_by_class["bag"] + ap50_by_class["hat"]) / 2)


def test_an_image_without_a_detection_lowers_recall() -> None:
    means, _ = box_average_precision(
        [(detected_boxes(0), annotated_boxes(0)), (detected_boxes(), annotated_boxes(0))], ["garment"]
    )
    assert means["box_ar"] == 0.5


def test_without_annotated_boxes_there_is_no_score() -> None:
    means, ap50_by_class = box_average_precision([(detected_boxes(0), annotated_boxes())], ["bag", "hat"])
    assert np.isnan(list(means.values())).all()
    assert ap50_by_class == {}
