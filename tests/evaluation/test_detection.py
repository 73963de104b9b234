"""Matching of detections, and COCO metrics of the boxes in query images."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detection_data import DetectionData
from fashion_lsh.data.detections import Boxes, Detections
from fashion_lsh.evaluation.detection import box_scores, match_images

MakeData = Callable[..., GarmentData]
ANNOTATED = np.float32([[0, 0, 10, 10], [20, 0, 30, 10]])


def make_detection_data(data: GarmentData, level: Any = "garment") -> DetectionData:
    return DetectionData(data, level, 64, None, [1.0, 1.0], 4, None, 0, 0)


def perfect_detections(scenes: DetectionData) -> Detections:
    return Detections({
        image: Boxes(boxes, np.linspace(0.9, 0.8, len(boxes)).astype(np.float32), labels)
        for image, (boxes, labels) in scenes.annotated_boxes("query").items()
    })  # fmt: skip


def test_match_images_pairs_annotated_and_detected_boxes_of_query_images() -> None:
    xyxy = np.float32([*ANNOTATED, [5, 5, 9, 9], ANNOTATED[1], [np.nan] * 4])
    garments = Catalogue.from_columns({
        "id": list("12345"), "image": ["b", "b", "a", "c", "d"], "category": ["hat", "bag", "hat", "hat", "hat"],
        "split": ["query", "query", "query", "train", "query"],
        **dict(zip(("x1", "y1", "x2", "y2"), xyxy.T, strict=True)),
    })  # fmt: skip
    matches = match_images(
        garments, Detections({"b": Boxes(ANNOTATED[1:], np.float32([0.9]), np.zeros(1, np.int64))}), "category"
    )
    assert [(match.image, match.class_names.tolist(), match.matched_indices.tolist()) for match in matches] == [
        ("a", ["hat"], []), ("b", ["hat", "bag"], [1]),
    ]  # fmt: skip
    assert [match.annotated_boxes.tolist() for match in matches] == [xyxy[2:3].tolist(), ANNOTATED.tolist()]


@pytest.mark.parametrize("level", ["garment", "category"])
def test_perfect_boxes_score_1(make_data: MakeData, level: Any) -> None:
    scenes = make_detection_data(make_data(), level)
    scores = box_scores(perfect_detections(scenes), scenes, "query")
    assert set(scores.values()) == {1.0}
    names = {"box_ap", "box_ap50", "box_ap75", "box_ar"}
    expected = {f"detector/query/{name}" for name in names}
    if level == "category":
        expected |= {f"detector/query/garment/{name}" for name in names}
        expected |= {f"detector/query/box_ap50/{name}" for name in scenes.classes}
    assert set(scores) == expected


def test_class_agnostic_scores_ignore_wrong_classes(make_data: MakeData) -> None:
    scenes = make_detection_data(make_data(), "category")
    correct_boxes = perfect_detections(scenes).boxes
    swapped = Detections(
        {name: boxes._replace(labels=(boxes.labels + 1) % len(scenes.classes)) for name, boxes in correct_boxes.items()}
    )
    scores = box_scores(swapped, scenes, "query")
    assert scores["detector/query/box_ap50"] == 0
    assert scores["detector/query/garment/box_ap50"] == 1


def test_images_without_detections_lower_average_precision(make_data: MakeData) -> None:
    scenes = make_detection_data(make_data())
    half_of_boxes = dict(list(perfect_detections(scenes).boxes.items())[::2])
    ratio = len(half_of_boxes) / len(scenes.annotated_boxes("query"))
    assert box_scores(Detections(half_of_boxes), scenes, "query")["detector/query/box_ap50"] == pytest.approx(
        ratio, abs=0.01
    )


def test_slightly_shifted_boxes_match_only_at_iou_0_5(make_data: MakeData) -> None:
    scenes = make_detection_data(make_data())
    shifted_boxes = {}
    for name, boxes in perfect_detections(scenes).boxes.items():
        width = boxes.xyxy[:, 2] - boxes.xyxy[:, 0]
        xyxy = boxes.xyxy.copy()
        xyxy[:, [0, 2]] += 0.2 * width[:, None]  # IoU: 0.8 / 1.2
        shifted_boxes[name] = boxes._replace(xyxy=xyxy)
    scores = box_scores(Detections(shifted_boxes), scenes, "query")
    assert (scores["detector/query/box_ap50"], scores["detector/query/box_ap75"]) == (1, 0)
