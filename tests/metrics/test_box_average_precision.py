"""Average precision of boxes against values worked out by hand."""

import numpy as np
import pytest

from fashion_lsh.metrics.box_average_precision import Annotated, Detected, box_average_precision

BOX = [10, 10, 50, 60]


def detected(*labels: int, corners: list[float] | None = None) -> Detected:
    """Boxes at one place, the first label with the best score."""
    scores = np.linspace(0.9, 0.5, len(labels)).astype(np.float32)
    return np.float32([corners or BOX] * len(labels)).reshape(-1, 4), scores, np.array(labels, np.int64)


def annotated(*labels: int) -> Annotated:
    return np.float32([BOX] * len(labels)).reshape(-1, 4), np.array(labels, np.int64)


def test_a_single_class_has_no_scores_per_class() -> None:
    found = box_average_precision([(detected(0), annotated(0))], ["garment"])
    assert found == {"box_ap": 1, "box_ap50": 1, "box_ap75": 1, "box_ar": 1}


def test_a_box_of_iou_two_thirds_matches_up_to_a_threshold_of_0_65() -> None:
    found = box_average_precision([(detected(0, corners=[18, 10, 58, 60]), annotated(0))], ["garment"])  # 32 / 48
    assert found == pytest.approx({"box_ap": 0.4, "box_ap50": 1, "box_ap75": 0, "box_ar": 0.4})  # 4 of 10 thresholds


def test_absent_classes_are_left_out() -> None:
    images = [(detected(2), annotated(2)), (detected(2), annotated(0))]
    found = box_average_precision(images, ["bag", "coat", "hat"])
    assert {name for name in found if "/" in name} == {"box_ap50/bag", "box_ap50/hat"}
    assert found["box_ap50/bag"] == 0
    assert found["box_ap50"] == pytest.approx((found["box_ap50/bag"] + found["box_ap50/hat"]) / 2)


def test_an_image_without_a_detection_counts() -> None:
    found = box_average_precision([(detected(0), annotated(0)), (detected(), annotated(0))], ["garment"])
    assert found["box_ar"] == 0.5
