"""Precision-recall curves of detected boxes."""

import numpy as np

from fashion_lsh.data.detections import Boxes
from fashion_lsh.evaluation.detection import ImageMatches
from fashion_lsh.report.sections.detection import _curves

ANNOTATED = np.float32([[0, 0, 10, 10], [20, 0, 30, 10]])


def test_each_class_has_a_curve_of_the_boxes_of_the_class() -> None:
    detections = Boxes(ANNOTATED, np.float32([0.9, 0.8]), np.array([0, 2]))
    curves = _curves(
        [ImageMatches("one", ANNOTATED, np.array(["a", "c"], object), detections, np.array([0, 1]))], ["a", "b", "c"]
    )
    assert list(curves)[1:] == ["a", "c"]  # after the class-agnostic curve
    for recall, precision in curves.values():
        assert (recall[-1], precision[-1]) == (1, 1)


def test_one_class_has_one_curve() -> None:
    detections = Boxes(ANNOTATED[:1], np.float32([0.9]), np.array([0]))
    match = ImageMatches("one", ANNOTATED, np.full(2, "garment", object), detections, np.array([0]))
    curves = _curves([match], ["garment"])
    [(recall, _)] = curves.values()
    assert recall[-1] == 0.5
