"""Detected boxes: selection of crop boxes, files, and detection over a data set."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detections import NO_BOXES, Boxes, BoxSelector, Detections, detect_all

NOT_ANNOTATED = np.full(4, np.nan, np.float32)


def make_boxes(*xyxy: list[float], scores: list[float] | None = None) -> Boxes:
    box_scores = scores or [0.9 - 0.1 * index for index in range(len(xyxy))]
    return Boxes(
        np.array(xyxy, np.float32).reshape(-1, 4),
        np.array(box_scores, np.float32),
        np.zeros(len(xyxy), np.int64),
    )


def make_box_selector(**changed: Any) -> BoxSelector:
    return BoxSelector(**{"select": "given", "min_score": 0.3, "min_size": 8.0, "fallback": "whole", **changed})


def test_select_given_selects_the_box_of_highest_iou() -> None:
    detections = make_boxes([0, 0, 50, 50], [60, 60, 100, 100], [62, 62, 100, 100])
    assert make_box_selector().select_one(detections, np.float32([61, 61, 101, 100])).tolist() == [60, 60, 100, 100]
    assert make_box_selector().select_one(detections, np.float32([0, 60, 40, 100])) is None  # overlaps no box
    assert make_box_selector().select_one(detections, np.float32([0, 0, 24, 50])) is None  # IoU just below 0.5
    assert make_box_selector().select_one(detections, np.float32([0, 0, 25, 50])).tolist() == [0, 0, 50, 50]


def test_without_an_annotation_the_highest_score_is_selected() -> None:
    detections = make_boxes([0, 0, 50, 50], [60, 60, 100, 100], scores=[0.4, 0.6])
    assert make_box_selector().select_one(detections, NOT_ANNOTATED).tolist() == [60, 60, 100, 100]


def test_select_best_and_largest_ignore_the_annotation() -> None:
    detections = make_boxes([0, 0, 50, 50], [60, 60, 100, 100], scores=[0.4, 0.6])
    annotated = np.float32([0, 60, 40, 100])
    assert make_box_selector(select="best").select_one(detections, annotated).tolist() == [60, 60, 100, 100]
    assert make_box_selector(select="largest").select_one(detections, annotated).tolist() == [0, 0, 50, 50]


@pytest.mark.parametrize(
    ("changed", "count"), [({}, 2), ({"min_score": 0.5}, 1), ({"min_size": 41.0}, 1), ({"min_score": 0.95}, 0)]
)
def test_boxes_below_min_score_or_min_size_are_ignored(changed: dict[str, Any], count: int) -> None:
    detections = make_boxes([0, 0, 50, 50], [60, 60, 100, 100], scores=[0.4, 0.9])
    selector = make_box_selector(select="best", **changed)
    assert len(detections.filter(selector.min_score, selector.min_size).scores) == count
    assert (selector.select_one(detections, NOT_ANNOTATED) is None) == (count == 0)


def test_select_boxes_returns_a_box_or_nan_per_garment() -> None:
    detections = Detections({"a": make_boxes([0, 0, 50, 50], [60, 60, 100, 100]), "b": NO_BOXES})
    annotated = np.float32([[0, 0, 49, 50], [60, 60, 99, 100], [0, 0, 9, 9]])
    selected = make_box_selector().select_boxes(detections, np.array(["a", "a", "b"], object), annotated)
    assert selected[:2].tolist() == [[0, 0, 50, 50], [60, 60, 100, 100]]
    assert np.isnan(selected[2]).all()
    assert np.isnan(
        make_box_selector().select_boxes(detections, np.array(["not scanned"], object), annotated[:1])
    ).all()


def test_select_all_returns_all_boxes_of_an_unannotated_image() -> None:
    detections, annotated = make_boxes([0, 0, 50, 50], [60, 60, 100, 100]), np.float32([60, 60, 99, 100])
    assert make_box_selector(select="all").select_all(detections, NOT_ANNOTATED).tolist() == [
        [0, 0, 50, 50],
        [60, 60, 100, 100],
    ]
    assert make_box_selector(select="all").select_all(detections, annotated).tolist() == [[60, 60, 100, 100]]
    assert make_box_selector(select="best").select_all(detections, NOT_ANNOTATED).tolist() == [[0, 0, 50, 50]]
    assert make_box_selector(select="all").select_one(detections, NOT_ANNOTATED).tolist() == [0, 0, 50, 50]


@pytest.mark.parametrize("select", ["given", "best", "largest", "all"])
def test_the_fallback_applies_if_no_box_is_detected(select: Any) -> None:
    whole = make_box_selector(select=select).select_all(NO_BOXES, NOT_ANNOTATED)
    assert whole.shape == (1, 4)
    assert np.isnan(whole).all()
    assert make_box_selector(select=select, fallback="skip").select_all(NO_BOXES, NOT_ANNOTATED).shape == (0, 4)


def test_detections_round_trip_through_parquet(tmp_path: Path) -> None:
    detections = Detections({"ä b.png": make_boxes([0, 0, 50.5, 50], [60, 60, 100, 100]), "none": NO_BOXES})
    detections.save(tmp_path / "detections.parquet")
    loaded = Detections.open(tmp_path / "detections.parquet")
    assert list(loaded.boxes) == list(detections.boxes)
    for image, original_boxes in detections.boxes.items():
        for saved, read in zip(original_boxes, loaded.boxes[image], strict=True):
            assert saved.dtype == read.dtype
            assert np.array_equal(saved, read)


def test_a_damaged_detections_file_raises(tmp_path: Path) -> None:
    (tmp_path / "detections.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"detections\.parquet: "):
        Detections.open(tmp_path / "detections.parquet")


def test_detect_all_keeps_the_order_of_images(make_data: Callable[..., GarmentData]) -> None:
    data = make_data()
    images = sorted(set(data.catalogue.column("image")))
    expected = {image: float(data.source.image(image).mean()) for image in images}

    class MeanDetector:
        def detect(self, batch: Sequence[np.ndarray]) -> list[Boxes]:
            assert 1 <= len(batch) <= 8
            return [
                Boxes(np.full((1, 4), each.mean(), np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))
                for each in batch
            ]

    detections = detect_all(MeanDetector(), data.source.image, images)
    assert list(detections.boxes) == images
    assert {name: boxes.xyxy[0, 0] for name, boxes in detections.boxes.items()} == pytest.approx(expected, rel=1e-5)


def test_detect_all_prefetches_at_most_one_batch(
    make_data: Callable[..., GarmentData], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, opened_keys = make_data(), []
    load = data.source.image
    monkeypatch.setattr(data.source, "image", lambda name: opened_keys.append(name) or load(name))

    class CountingDetector:
        num_detected = 0

        def detect(self, batch: Sequence[np.ndarray]) -> list[Boxes]:
            self.num_detected += len(batch)
            assert len(opened_keys) <= self.num_detected + 8
            return [NO_BOXES] * len(batch)

    images = sorted(set(data.catalogue.column("image")))
    assert len(detect_all(CountingDetector(), data.source.image, images).boxes) == len(images) > 16
