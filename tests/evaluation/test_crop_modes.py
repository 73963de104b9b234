"""Evaluation with further crop modes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detections import Boxes, BoxSelector, Detections
from fashion_lsh.evaluation.crop_modes import HEADLINE, headline_results, score_crop_modes, with_crop_mode
from fashion_lsh.evaluation.protocol import encode_split, evaluate
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.metrics.results import Column, ResultTable, crop_condition
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher
from tests.evaluation.fake_model import FakeModel

MakeData = Callable[..., GarmentData]
BOX_SELECTOR = BoxSelector("given", 0.3, 2.0, "whole")
POLICY = SearchPolicy("hamming", 1, 20, alpha=0.5, min_confidence=0.0, min_probability=None)


def add_detections(data: GarmentData) -> GarmentData:
    """Set detected crops, with a detection in every third image."""
    catalogue = data.catalogue
    detections_by_image = {}
    for index, (image, box) in enumerate(zip(catalogue.column("image"), catalogue.boxes, strict=True)):
        if index % 3 == 0:
            detections_by_image[image] = Boxes(
                box[None] + np.float32([1, 0, 1, 0]), np.ones(1, np.float32), np.zeros(1, np.int64)
            )
    data.crop, data.box_selector, data.detections = "detected", BOX_SELECTOR, Detections(detections_by_image)
    return data


def test_a_garment_is_cropped_by_its_detected_box(make_data: MakeData) -> None:
    data = add_detections(make_data())
    boxes = data.crop_boxes
    assert np.allclose(boxes[::3], data.catalogue.boxes[::3] + np.float32([1, 0, 1, 0]))
    assert data.undetected.tolist() == [index % 3 != 0 for index in range(len(boxes))]


def test_detected_crops_require_detections(make_data: MakeData) -> None:
    data = make_data()
    data.crop, data.box_selector = "detected", BOX_SELECTOR
    with pytest.raises(ValueError, match="crop=detected: "):
        _ = data.crop_boxes


@pytest.mark.parametrize(("mode", "is_skipped"), [("detected", True), ("detected_or_whole", False)])
def test_garments_without_detection_are_skipped_or_uncropped(make_data: MakeData, mode: Any, is_skipped: bool) -> None:
    data = make_data()
    num_before = {part: len(data.rows(part)) for part in ("train", "query", "gallery")}
    recropped = with_crop_mode(add_detections(data), mode)
    num_after = {part: len(recropped.rows(part)) for part in ("train", "query", "gallery")}
    assert num_after["query"] == num_before["query"]
    assert (num_after["train"] < num_before["train"]) == (num_after["gallery"] < num_before["gallery"]) == is_skipped


def test_an_undetected_query_is_wrong_and_has_no_hits(make_data: MakeData) -> None:
    data = with_crop_mode(add_detections(make_data()), "detected")
    query = encode_split(FakeModel(data.categories), data, "query")
    undetected = data.undetected[data.rows("query")]
    assert 0 < undetected.sum() < len(undetected)
    assert (query.encoded.predicted[undetected] == -1).all()
    assert (POLICY.select_lists(query.encoded.probabilities)[undetected] == -1).all()
    assert (query.encoded.predicted[~undetected] >= 0).all()


def test_every_crop_mode_is_scored_on_the_same_queries(make_data: MakeData) -> None:
    data = add_detections(make_data(ratios={"train": 0.2, "val": 0.1, "query": 0.3, "gallery": 0.4}))
    modes: Any = ["whole", "annotated", "detected", "detected_or_whole"]
    results = score_crop_modes(FakeModel(data.categories), data, POLICY, modes)
    assert {row.condition for row in results} == {f"crop={mode}" for mode in modes}
    assert {row.split for row in results} == {"query"}
    table = ResultTable(results, (POLICY.method, POLICY.scope))  # no two results of one column
    ratio = data.undetected[data.rows("query")].mean()
    undetected = [table.value("detector", "undetected", condition=crop_condition(mode)) for mode in modes]
    assert undetected == pytest.approx([0, 0, ratio, ratio])
    accuracy = {mode: table.find(Column("classifier", "accuracy", condition=f"crop={mode}")) for mode in modes}
    assert accuracy["detected"].value <= accuracy["detected_or_whole"].value + 1e-9
    for mode in modes:
        assert accuracy[mode].low <= accuracy[mode].value <= accuracy[mode].high
        scored = {(row.relevance, row.metric, row.k) for row in table.select(condition=f"crop={mode}")}
        assert scored == {*HEADLINE, ("", "undetected", 0)}


def test_results_of_a_crop_mode_are_those_of_its_evaluation(make_data: MakeData) -> None:
    data = make_data(ratios={"train": 0.2, "val": 0.1, "query": 0.3, "gallery": 0.4})
    model = FakeModel(data.categories)
    results = score_crop_modes(model, data, POLICY, ["whole"])
    query, gallery = (encode_split(model, with_crop_mode(data, "whole"), part) for part in ("query", "gallery"))
    searcher = Searcher(model, Gallery.build(model, gallery.encoded, gallery.catalogue), POLICY)
    expected = headline_results("crop=whole", evaluate(searcher, query).results)
    assert [row for row in results if row.metric != "undetected"] == expected
    assert len(expected) == len(HEADLINE)


def test_a_crop_mode_is_not_scored_if_nothing_was_detected_in_the_gallery(make_data: MakeData) -> None:
    data = make_data()
    data.crop, data.box_selector, data.detections = "detected", BOX_SELECTOR, Detections({})
    results = score_crop_modes(FakeModel(data.categories), data, POLICY, ["detected"])
    assert [(row.metric, row.value, row.condition) for row in results] == [("undetected", 1.0, "crop=detected")]


def test_detected_crops_are_rejected_without_a_detector(make_data: MakeData) -> None:
    with pytest.raises(ValueError, match=r"crop\.eval_modes=detected"):
        score_crop_modes(FakeModel(["a", "b"]), make_data(), POLICY, ["detected"])
