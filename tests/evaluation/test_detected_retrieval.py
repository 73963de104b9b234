"""DeepFashion2 with detected boxes: selected detections, correct hits, and the score of a small layout by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detections import Boxes, BoxSelector, Detections
from fashion_lsh.data.schema import box_columns
from fashion_lsh.evaluation.detected_retrieval import (
    DETECTED_BOXES,
    DetectedRetrieval,
    correct_hits,
    detected_garments,
    matched_items,
    scored_queries,
    select_detections,
)
from fashion_lsh.evaluation.evaluator import Evaluator, add_results
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.metrics.detection import iou
from fashion_lsh.metrics.results import Result, ResultTable
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher
from tests.evaluation.fake_model import FakeModel
from tests.evaluation.layouts import SETTINGS, write_deepfashion2

LEFT, RIGHT = (2, 2, 28, 70), (32, 2, 58, 70)
NAMES = {number: f"validation/image/{number:06}.jpg" for number in (1, 2, 3, 11, 12, 13, 14)}


def make_catalogue(*rows: tuple[str, tuple[float, ...], str, str]) -> Catalogue:
    """Catalogue of (image, box, category, item)."""
    columns: dict[str, Any] = {"id": [str(number) for number in range(len(rows))]}
    columns |= {name: [row[index] for row in rows] for index, name in ((0, "image"), (2, "category"), (3, "item"))}
    return Catalogue.from_columns(columns | box_columns(np.array([row[1] for row in rows], np.float32)))


def make_boxes(*boxes: tuple[float, ...]) -> Boxes:
    """Detections by descending score."""
    scores = np.linspace(0.9, 0.5, len(boxes)).astype(np.float32)
    return Boxes(np.array(boxes, np.float32), scores, np.zeros(len(boxes), np.int64))


def test_the_best_detection_of_the_right_category_is_selected() -> None:
    annotated = make_catalogue(("a", LEFT, "skirt", "1"), ("a", RIGHT, "top", "2"), ("b", LEFT, "skirt", "3"))
    detected = make_catalogue(
        ("a", LEFT, "x", ""),  # wrong category
        ("a", (4, 2, 28, 70), "x", ""),  # selected for the skirt
        ("a", (3, 2, 28, 70), "x", ""),  # lower score
        ("a", (30, 2, 50, 70), "x", ""),  # selected for the top
    )
    predicted = np.array(["top", "skirt", "skirt", "top"])
    assert select_detections(annotated, np.array([0, 1, 2]), detected, predicted).tolist() == [1, 3, -1]


def test_a_detection_belongs_to_a_single_garment() -> None:
    """The detection overlaps both garments, the left one more; it does not stand for the right one of its category."""
    annotated = make_catalogue(("a", (0, 0, 20, 10), "skirt", "1"), ("a", (10, 0, 30, 10), "top", "2"))
    detected = make_catalogue(("a", (3, 0, 23, 10), "x", ""))
    assert select_detections(annotated, np.array([0, 1]), detected, np.array(["top"])).tolist() == [-1, -1]


def test_hits_match_all_garments_at_their_place() -> None:
    annotated = make_catalogue(
        ("a", LEFT, "skirt", "1"), ("a", LEFT, "top", "2"), ("a", RIGHT, "top", ""), ("b", LEFT, "skirt", "3")
    )
    detected = make_catalogue(("a", LEFT, "x", ""), ("a", RIGHT, "x", ""), ("b", (2, 2, 28, 30), "x", ""))
    matched = matched_items(annotated, detected)
    assert matched == [{"1", "2"}, set(), set()]
    hits = np.array([[1, 0, -1], [2, 0, 1]])
    assert correct_hits(hits, ["2", "3"], matched).tolist() == [[False, True, False], [False, False, False]]


def test_queries_have_an_item_of_the_gallery() -> None:
    rows = make_catalogue(*(("a", LEFT, "skirt", item) for item in ("1", "2", "", "1", "")))
    rows = rows.with_columns(split=["query", "query", "query", "gallery", "gallery"])
    assert scored_queries(rows).tolist() == [0]
    with pytest.raises(ValueError, match="none of 3 queries"):
        scored_queries(rows.with_columns(item=["1", "2", "", "3", ""]))


@pytest.mark.parametrize("seed", range(5))
def test_rules_agree_with_loops_over_all_pairs(seed: int) -> None:
    """Slow twin that follows the published rules literally, for random boxes, items and rankings."""
    rng = np.random.default_rng(seed)

    def random_rows(count: int, images: str) -> Catalogue:
        corners, sizes = rng.integers(0, 12, (count, 2)), rng.integers(6, 20, (count, 2))
        boxes = [tuple(map(float, values)) for values in np.hstack([corners, corners + sizes])]
        return make_catalogue(*((str(rng.choice(list(images))), box, str(rng.choice(["skirt", "top"])),
                                 str(rng.choice(["", "1", "2"]))) for box in boxes))  # fmt: skip

    annotated, detected, gallery = random_rows(20, "abcde"), random_rows(30, "abc"), random_rows(12, "de")
    queries = np.flatnonzero(np.isin(annotated.column("image").astype(str), ["a", "b", "c"]))
    predicted = detected.column("category")
    selected = select_detections(annotated, queries, detected, predicted)
    rankings = rng.permuted(np.tile(np.arange(12), (len(queries), 1)), axis=1)[:, :5]
    items = annotated.column("item")[queries]
    correct = correct_hits(rankings, items, matched_items(annotated, gallery))
    rows, found = ([each.row(number) for number in range(len(each))] for each in (annotated, gallery))
    for position, query in enumerate(queries):
        candidates = []
        for number in range(len(detected)):
            same_image = [row for row in range(len(rows)) if rows[row]["image"] == detected.row(number)["image"]]
            overlaps = [float(iou(detected.boxes[number], annotated.boxes[[row]])[0]) for row in same_image]
            is_closest = query in same_image and same_image[overlaps.index(max(overlaps))] == query
            if is_closest and predicted[number] == rows[query]["category"]:
                candidates.append(number)
        assert selected[position] == (candidates[0] if candidates else -1)
        for rank, hit in enumerate(rankings[position]):
            is_correct = any(
                row["image"] == found[hit]["image"] and row["item"] == items[position] != ""
                and iou(gallery.boxes[hit], annotated.boxes[[number]])[0] >= 0.5
                for number, row in enumerate(rows)
            )  # fmt: skip
            assert correct[position, rank] == is_correct


class SkirtModel(FakeModel):
    """Model that names every garment a skirt."""

    def probabilities(self, logits: Any) -> Any:
        return (logits * 0).softmax(dim=1) * 0 + (np.array(self.categories) == "skirt").astype(np.float32)


def open_detected(root: Path, boxes: dict[int, Boxes]) -> GarmentData:
    settings = SETTINGS | {"crop": "detected", "box_selector": BoxSelector("given", 0.3, 2.0)}
    data = GarmentData("deepfashion2", str(write_deepfashion2(root)), **settings)
    return data.with_detections(Detections({NAMES[number]: found for number, found in boxes.items()}))


def evaluate_detected(data: GarmentData, distance: Any = "hamming") -> dict[tuple[str, int], Result]:
    model = SkirtModel(data.categories)
    annotated = data.catalogue.take(data.catalogue.rows("gallery"))
    probabilities = np.ones((len(annotated), len(data.categories)), np.float32)
    zeros = Encoded(probabilities, np.zeros((len(annotated), 2), np.uint8), np.zeros((len(annotated), 5), np.float32))
    searcher = Searcher(model, Gallery.build(model, zeros, annotated), SearchPolicy(distance, "all"))
    evaluator: Evaluator = DetectedRetrieval((1, 2, 5))
    table = ResultTable([], (searcher.policy.method, searcher.policy.scope))
    split: Any = None  # not used by the evaluator
    results = add_results(table, {"deepfashion2": evaluator}, searcher, data, split, split)
    assert {row.condition for row in results} == {DETECTED_BOXES}
    return {(row.metric, row.k): row for row in results}


@pytest.mark.parametrize("distance", ["hamming", "euclidean"])
def test_the_score_of_a_small_layout_by_hand(distance: Any, tmp_path: Path) -> None:
    """Three of four query garments have style above 0; one of the three is found.

    Query 1 finds its skirt: the gallery has a detection of image 11, where item 1/1 is. The shorts of query 2 are
    called a skirt, so that the query is missed. The gallery has no detection at the skirt of image 12, which query 3
    looks for.
    """
    data = open_detected(tmp_path, {
        1: make_boxes(LEFT, RIGHT), 2: make_boxes(LEFT), 3: make_boxes(LEFT),
        11: make_boxes(LEFT), 12: make_boxes(RIGHT), 13: make_boxes(LEFT), 14: make_boxes(RIGHT),
    })  # fmt: skip
    results = evaluate_detected(data, distance)
    assert results["recall", 5].value == pytest.approx(1 / 3)
    assert results["undetected", 0].value == pytest.approx(1 / 3)
    assert {row.n for row in results.values()} == {3}
    assert results["recall", 1].value <= results["recall", 2].value <= results["recall", 5].value


def test_queries_without_detection_stay_in_the_denominator(tmp_path: Path) -> None:
    data = open_detected(tmp_path, {3: make_boxes(LEFT), 12: make_boxes(LEFT)})
    results = evaluate_detected(data)
    assert results["recall", 1].value == pytest.approx(1 / 3)  # the only gallery detection is that of query 3
    assert results["undetected", 0].value == pytest.approx(2 / 3)
    assert results["recall", 1].has_interval


def test_missing_detections_are_errors(tmp_path: Path) -> None:
    data = open_detected(tmp_path, {3: make_boxes(LEFT)})
    with pytest.raises(ValueError, match=r"crop\.min_score=0\.3: no detection in split 'gallery'"):
        detected_garments(data, "gallery")
    with pytest.raises(ValueError, match="no detections; set detector=small"):
        detected_garments(data.with_detections(None), "query")
