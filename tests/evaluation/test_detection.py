"""Query images with their boxes, scored as COCO does."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detection_data import DetectionData
from fashion_lsh.data.detections import Boxes, Detections
from fashion_lsh.evaluation.detection import box_scores, scenes_of

Make = Callable[..., GarmentData]
TRUE = np.float32([[0, 0, 10, 10], [20, 0, 30, 10]])


def scene_data(data: GarmentData, level: Any = "garment") -> DetectionData:
    return DetectionData(data, level, 64, None, [1.0, 1.0], 4, None, 0, 0)


def perfect(scenes: DetectionData) -> Detections:
    return Detections({
        picture: Boxes(boxes, np.linspace(0.9, 0.8, len(boxes)).astype(np.float32), labels)
        for picture, (boxes, labels) in scenes.annotated_boxes("query").items()
    })  # fmt: skip


def test_scenes_are_the_query_pictures_with_what_is_true_and_found_in_each() -> None:
    xyxy = np.float32([*TRUE, [5, 5, 9, 9], TRUE[1], [np.nan] * 4])
    garments = Catalogue.from_columns({
        "id": list("12345"), "image": ["b", "b", "a", "c", "d"], "category": ["hat", "bag", "hat", "hat", "hat"],
        "split": ["query", "query", "query", "train", "query"],
        **dict(zip(("x1", "y1", "x2", "y2"), xyxy.T, strict=True)),
    })  # fmt: skip
    scenes = scenes_of(
        garments, Detections({"b": Boxes(TRUE[1:], np.float32([0.9]), np.zeros(1, np.int64))}), "category"
    )
    assert [(scene.picture, scene.names.tolist(), scene.places.tolist()) for scene in scenes] == [
        ("a", ["hat"], []), ("b", ["hat", "bag"], [1]),
    ]  # fmt: skip
    assert [scene.true.tolist() for scene in scenes] == [xyxy[2:3].tolist(), TRUE.tolist()]


@pytest.mark.parametrize("level", ["garment", "category"])
def test_boxes_that_are_all_right_score_one(make_data: Make, level: Any) -> None:
    scenes = scene_data(make_data(), level)
    scores = box_scores(perfect(scenes), scenes, "query")
    assert set(scores.values()) == {1.0}
    names = {"box_ap", "box_ap50", "box_ap75", "box_ar"}
    wanted = {f"detector/query/{name}" for name in names}
    if level == "category":
        wanted |= {f"detector/query/garment/{name}" for name in names}
        wanted |= {f"detector/query/box_ap50/{name}" for name in scenes.classes}
    assert set(scores) == wanted


def test_wrong_classes_are_right_where_all_are_taken_as_one(make_data: Make) -> None:
    scenes = scene_data(make_data(), "category")
    right = perfect(scenes).boxes
    swapped = Detections(
        {name: boxes._replace(labels=(boxes.labels + 1) % len(scenes.classes)) for name, boxes in right.items()}
    )
    scores = box_scores(swapped, scenes, "query")
    assert scores["detector/query/box_ap50"] == 0
    assert scores["detector/query/garment/box_ap50"] == 1


def test_pictures_in_which_nothing_was_found_count(make_data: Make) -> None:
    scenes = scene_data(make_data())
    half = dict(list(perfect(scenes).boxes.items())[::2])
    share = len(half) / len(scenes.annotated_boxes("query"))
    assert box_scores(Detections(half), scenes, "query")["detector/query/box_ap50"] == pytest.approx(share, abs=0.01)


def test_boxes_a_little_off_are_right_at_half_only(make_data: Make) -> None:
    scenes = scene_data(make_data())
    moved = {}
    for name, boxes in perfect(scenes).boxes.items():
        width = boxes.xyxy[:, 2] - boxes.xyxy[:, 0]
        xyxy = boxes.xyxy.copy()
        xyxy[:, [0, 2]] += 0.2 * width[:, None]  # an overlap of 0.8 / 1.2
        moved[name] = boxes._replace(xyxy=xyxy)
    scores = box_scores(Detections(moved), scenes, "query")
    assert (scores["detector/query/box_ap50"], scores["detector/query/box_ap75"]) == (1, 0)
