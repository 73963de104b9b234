"""COCO box metrics against pycocotools, with crowds, images without boxes and several classes."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from fashion_lsh.metrics.box_average_precision import AnnotatedBoxes, DetectedBoxes, box_average_precision

CLASSES = ["bag", "coat", "hat"]
Images = list[tuple[DetectedBoxes, AnnotatedBoxes]]


def draw_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    top_left = rng.uniform(0, 200, (count, 2))
    return np.concatenate([top_left, top_left + rng.uniform(2, 150, (count, 2))], axis=1).astype(np.float32)


def draw_image(rng: np.random.Generator, crowd_ratio: float) -> tuple[DetectedBoxes, AnnotatedBoxes]:
    """Annotated boxes, or none, with detections on boxes and crowds, and elsewhere; scores have ties."""
    annotated = draw_boxes(rng, rng.integers(0, 6))
    labels, is_crowd = rng.integers(0, len(CLASSES), len(annotated)), rng.random(len(annotated)) < crowd_ratio
    near = np.repeat(np.arange(len(annotated)), 2)
    xyxy = np.concatenate([annotated[near] + rng.normal(0, 8, (len(near), 4)).astype(np.float32), draw_boxes(rng, 3)])
    xyxy[:, 2:] = np.maximum(xyxy[:, 2:], xyxy[:, :2] + 1)
    detected_labels = np.concatenate([labels[near], rng.integers(0, len(CLASSES), 3)])
    scores = (rng.integers(1, 12, len(xyxy)) / 12).astype(np.float32)
    order = np.argsort(-scores, kind="stable")
    return (xyxy[order], scores[order], detected_labels[order]), (annotated, labels, is_crowd)


def entry(image: int, box: np.ndarray, label: int, **extra: Any) -> dict[str, Any]:
    x1, y1, x2, y2 = map(float, box)
    bbox = [x1, y1, x2 - x1, y2 - y1]
    return {"image_id": image, "category_id": int(label), "bbox": bbox, "area": bbox[2] * bbox[3], **extra}


def reference(images: Images, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Stats of pycocotools (12,), and AP50 by class."""
    ground_truth, annotations, detections = COCO(), [], []
    for number, ((xyxy, scores, detected_labels), (annotated, labels, is_crowd)) in enumerate(images):
        for box, label, crowd in zip(annotated, labels, is_crowd, strict=True):
            annotations.append(entry(number, box, label, id=len(annotations) + 1, iscrowd=int(crowd)))
        detections += [
            entry(number, box, label, score=float(score))
            for box, score, label in zip(xyxy, scores, detected_labels, strict=True)
        ]
    ground_truth.dataset = {
        "images": [{"id": number} for number in range(len(images))], "annotations": annotations,
        "categories": [{"id": label} for label in range(num_classes)], "info": {},
    }  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        ground_truth.createIndex()
        evaluator = COCOeval(ground_truth, ground_truth.loadRes(detections), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats, evaluator.eval["precision"][0, :, :, 0, -1].mean(axis=0)


def assert_parity(images: Images, classes: list[str]) -> None:
    means, by_class = box_average_precision(images, classes)
    stats, ap50 = reference(images, len(classes))
    expected = {"box_ap": stats[0], "box_ap50": stats[1], "box_ap75": stats[2], "box_ar": stats[8]}
    if stats[1] < 0:  # no annotated box in any image
        assert np.isnan(list(means.values())).all()
        assert by_class == {}
        return
    assert means == pytest.approx(expected, abs=1e-9)
    if len(classes) > 1:
        expected_by_class = {name: ap for name, ap in zip(classes, ap50, strict=True) if ap >= 0}
        assert by_class == pytest.approx(expected_by_class, abs=1e-9)


@given(seed=st.integers(0, 2**16), count=st.integers(1, 12), crowd_ratio=st.sampled_from([0.0, 0.3, 1.0]))
@settings(deadline=None, max_examples=30)
def test_scores_equal_those_of_pycocotools(seed: int, count: int, crowd_ratio: float) -> None:
    rng = np.random.default_rng(seed)
    assert_parity([draw_image(rng, crowd_ratio) for _ in range(count)], CLASSES)


@pytest.mark.parametrize("num_detections", [90, 150])
def test_at_most_100_detections_count_per_image_and_class(num_detections: int) -> None:
    rng = np.random.default_rng(num_detections)
    annotated = draw_boxes(rng, num_detections)
    scores = np.linspace(1, 0.1, num_detections).astype(np.float32)
    labels = np.zeros(num_detections, np.int64)
    assert_parity([((annotated, scores, labels), (annotated, labels, labels > 0))], ["garment"])


def test_detections_in_crowds_are_ignored_and_those_in_empty_images_are_false() -> None:
    box, elsewhere = np.float32([[10, 10, 50, 60]]), np.float32([[100, 100, 140, 160]])
    crowd = np.float32([[90, 90, 200, 200]])
    label, score = np.zeros(1, np.int64), np.float32([0.9])
    none = np.empty((0, 4), np.float32), np.empty(0, np.int64), np.empty(0, bool)
    hit = (box, np.float32([0.8]), label), (box, label, np.array([False]))
    on_crowd = (elsewhere, score, label), (crowd, label, np.array([True]))
    on_empty_image = (elsewhere, score, label), none
    for images, expected in (([hit, on_crowd], 1.0), ([hit, on_empty_image], 0.5), ([hit], 1.0)):
        assert_parity(images, ["garment"])
        assert box_average_precision(images, ["garment"])[0]["box_ap50"] == pytest.approx(expected)
