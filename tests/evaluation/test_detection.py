"""Matching of detections, and COCO metrics of the boxes in query images."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detection_data import DetectionData
from fashion_lsh.data.detections import Boxes, BoxSelector, Detections
from fashion_lsh.evaluation.detection import CLASS_AGNOSTIC, box_results, match_images, undetected_ratios
from fashion_lsh.metrics.results import ResultTable

MakeData = Callable[..., GarmentData]
ANNOTATED = np.float32([[0, 0, 10, 10], [20, 0, 30, 10]])


def make_detection_data(data: GarmentData, level: Any = "garment") -> DetectionData:
    return DetectionData(data, level, 64, None, [1.0, 1.0], 4, None, 0, 0)


def box_table(detections: Detections, scenes: DetectionData) -> ResultTable:
    return ResultTable(box_results(detections, scenes, "query"), ("hamming", "1 list"))


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
    results = box_results(perfect_detections(scenes), scenes, "query")
    assert {(row.method, row.split, row.value) for row in results} == {("detector", "query", 1.0)}
    names = {"box_ap", "box_ap50", "box_ap75", "box_ar"}
    expected = {("", "", name) for name in names}
    if level == "category":
        expected |= {(CLASS_AGNOSTIC, "", name) for name in names}
        expected |= {("", name, "box_ap50") for name in scenes.classes}
    assert {(row.scope, row.category, row.metric) for row in results} == expected
    assert len(results) == len(expected)


def test_class_agnostic_scores_ignore_wrong_classes(make_data: MakeData) -> None:
    scenes = make_detection_data(make_data(), "category")
    correct_boxes = perfect_detections(scenes).boxes
    swapped = Detections(
        {name: boxes._replace(labels=(boxes.labels + 1) % len(scenes.classes)) for name, boxes in correct_boxes.items()}
    )
    table = box_table(swapped, scenes)
    assert table.value("detector", "box_ap50") == 0
    assert table.value("detector", "box_ap50", scope=CLASS_AGNOSTIC) == 1


def test_images_without_detections_lower_average_precision(make_data: MakeData) -> None:
    scenes = make_detection_data(make_data())
    half_of_boxes = dict(list(perfect_detections(scenes).boxes.items())[::2])
    ratio = len(half_of_boxes) / len(scenes.annotated_boxes("query"))
    assert box_table(Detections(half_of_boxes), scenes).value("detector", "box_ap50") == pytest.approx(ratio, abs=0.01)


def test_slightly_shifted_boxes_match_only_at_iou_0_5(make_data: MakeData) -> None:
    scenes = make_detection_data(make_data())
    shifted_boxes = {}
    for name, boxes in perfect_detections(scenes).boxes.items():
        width = boxes.xyxy[:, 2] - boxes.xyxy[:, 0]
        xyxy = boxes.xyxy.copy()
        xyxy[:, [0, 2]] += 0.2 * width[:, None]  # IoU: 0.8 / 1.2
        shifted_boxes[name] = boxes._replace(xyxy=xyxy)
    table = box_table(Detections(shifted_boxes), scenes)
    assert (table.value("detector", "box_ap50"), table.value("detector", "box_ap75")) == (1, 0)


def test_undetected_ratios_are_listed_by_part(make_data: MakeData) -> None:
    data = make_data()
    catalogue = data.catalogue
    detections = {
        catalogue.column("image")[row]: Boxes(catalogue.boxes[[row]], np.ones(1, np.float32), np.zeros(1, np.int64))
        for row in data.rows("query")[:3]
    }
    data.crop, data.detections = "detected", Detections(detections)
    data.box_selector = BoxSelector("given", 0.3, 2.0, "whole")
    rows = {row.split: row for row in undetected_ratios(data)}
    assert set(rows) == {"train", "val", "query", "gallery"}
    assert {(row.method, row.metric) for row in rows.values()} == {("detector", "undetected")}
    for part, split in (("train", "train"), ("val", "val"), ("query", "query"), ("gallery", data.gallery)):
        expected = data.undetected[data.catalogue.rows(split)].mean()
        assert rows[part].value == pytest.approx(expected)
    assert rows["query"].value < 1
