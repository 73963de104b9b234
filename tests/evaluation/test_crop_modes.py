"""The same pictures cropped in other ways."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detections import Boxes, BoxSelector, Detections
from fashion_lsh.evaluation.crop_modes import recropped, score_crops
from fashion_lsh.evaluation.protocol import encode_part
from fashion_lsh.search.policy import SearchPolicy
from tests.evaluation.fake_model import FakeModel

Make = Callable[..., GarmentData]
CHOICE = BoxSelector("given", 0.3, 2.0, "whole")
SEARCH = SearchPolicy("hamming", 1, 20, alpha=0.5, min_confidence=0.0)


def detected(data: GarmentData, every: int = 3) -> GarmentData:
    """As if a detector had found the garment of every third picture."""
    catalogue = data.catalogue
    found = {}
    for number, (picture, box) in enumerate(zip(catalogue.column("image"), catalogue.boxes, strict=True)):
        if number % every == 0:
            found[picture] = Boxes(box[None] + np.float32([1, 0, 1, 0]), np.ones(1, np.float32), np.zeros(1, np.int64))
    data.crop, data.box_selector, data.detections = "detected", CHOICE, Detections(found)
    return data


def test_a_garment_is_cut_out_by_the_box_that_was_found(make_data: Make) -> None:
    data = detected(make_data())
    boxes = data.crop_boxes
    assert np.allclose(boxes[::3], data.catalogue.boxes[::3] + np.float32([1, 0, 1, 0]))
    assert data.undetected.tolist() == [number % 3 != 0 for number in range(len(boxes))]


def test_without_a_detector_detected_crops_are_refused(make_data: Make) -> None:
    data = make_data()
    data.crop, data.box_selector = "detected", CHOICE
    with pytest.raises(ValueError, match="crop=detected: no detector has looked at the pictures yet"):
        _ = data.crop_boxes


@pytest.mark.parametrize(("crop", "skips"), [("detected", True), ("detected_or_whole", False)])
def test_what_was_not_found_is_skipped_or_whole(make_data: Make, crop: Any, skips: bool) -> None:
    data = make_data()
    before = {part: len(data.rows(part)) for part in ("train", "query", "gallery")}
    other = recropped(detected(data), crop)
    after = {part: len(other.rows(part)) for part in ("train", "query", "gallery")}
    assert after["query"] == before["query"]
    assert (after["train"] < before["train"]) == (after["gallery"] < before["gallery"]) == skips


def test_a_query_in_which_nothing_was_found_is_wrong_and_finds_nothing(make_data: Make) -> None:
    data = recropped(detected(make_data()), "detected")
    query = encode_part(FakeModel(data.categories), data, "query")
    unseen = data.undetected[data.rows("query")]
    assert 0 < unseen.sum() < len(unseen)
    assert (query.encoded.predicted[unseen] == -1).all()
    assert (SEARCH.select_lists(query.encoded.probabilities)[unseen] == -1).all()
    assert (query.encoded.predicted[~unseen] >= 0).all()


def test_every_crop_is_scored_on_the_same_queries(make_data: Make) -> None:
    data = detected(make_data(ratios={"train": 0.2, "val": 0.1, "query": 0.3, "gallery": 0.4}))
    crops: Any = ["whole", "annotated", "detected", "detected_or_whole"]
    metrics = score_crops(FakeModel(data.categories), data, SEARCH, crops)
    assert {name.split("/")[1] for name in metrics} == set(crops)
    share = data.undetected[data.rows("query")].mean()
    missed = [metrics[f"crops/{crop}/missed"] for crop in crops]
    assert missed == pytest.approx([0, 0, share, share])
    assert metrics["crops/detected/accuracy"] <= metrics["crops/detected_or_whole/accuracy"] + 1e-9
    for crop in crops:
        low, value, high = (metrics[f"crops/{crop}/accuracy{end}"] for end in ("_low", "", "_high"))
        assert low <= value <= high


def test_crops_of_a_detector_that_is_not_there_are_refused(make_data: Make) -> None:
    with pytest.raises(ValueError, match=r"crop\.tested=detected: no detector has looked"):
        score_crops(FakeModel(["a", "b"]), make_data(), SEARCH, ["detected"])
