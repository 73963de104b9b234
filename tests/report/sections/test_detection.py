"""Metrics and precision-recall curves of detected boxes."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from fashion_lsh.data.detections import Boxes
from fashion_lsh.evaluation.detection import CLASS_AGNOSTIC, DETECTOR, ImageMatches
from fashion_lsh.metrics.results import Result, ResultTable
from fashion_lsh.report.sections.detection import METRICS, _crop_note, _curves, _scores

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


def run_data(*results: Result) -> Any:
    return SimpleNamespace(results=ResultTable(results, ("rerank 1000", "1 list")))


def test_averages_over_classes_and_without_classes_are_followed_by_the_classes() -> None:
    results = [Result(name, value, method=DETECTOR, scope=scope)
               for scope, start in (("", 0.1), (CLASS_AGNOSTIC, 0.5))
               for name, value in zip(METRICS, np.arange(4) / 10 + start, strict=True)]  # fmt: skip
    results += [Result("box_ap50", value, method=DETECTOR, category=name) for name, value in (("a", 0.25), ("b", 0.0))]
    assert _scores(run_data(*results)).rows == [
        ["mean over classes", "0.100", "0.200", "0.300", "0.400"],
        [CLASS_AGNOSTIC, "0.500", "0.600", "0.700", "0.800"],
        ["a", "", "0.250", "", ""],
        ["b", "", "0.000", "", ""],
    ]
    assert [row[0] for row in _scores(run_data(*results[4:])).rows] == [CLASS_AGNOSTIC, "a", "b"]


def test_the_note_states_undetected_garments_and_the_time_per_image() -> None:
    ratios = [Result("undetected", ratio, method=DETECTOR, split=split)
              for split, ratio in (("train", 0.0), ("query", 0.125))]  # fmt: skip
    text = _crop_note(run_data(*ratios, Result("latency_ms", 40.4, method=DETECTOR))).text
    assert "train 0.0 %, query 12.5 %" in text
    assert "40 ms" in text
    assert " ms " not in _crop_note(run_data(*ratios)).text
