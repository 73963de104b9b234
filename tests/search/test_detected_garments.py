"""Search with the garments that a detector finds in a query image."""

from typing import Any

import numpy as np
import pytest

from fashion_lsh.data.detections import NO_BOXES, Boxes, BoxSelector
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher
from tests.gallery.factories import FakeModel, build_gallery

IMAGE = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8).repeat(15, axis=0).repeat(10, axis=1)
SMALL_BEST, LARGE, UNCERTAIN, TINY = [2, 2, 20, 30], [5, 5, 39, 59], [0, 0, 40, 60], [3, 3, 6, 6]
DETECTIONS = Boxes(
    np.array([SMALL_BEST, TINY, LARGE, UNCERTAIN], np.float32),
    np.array([0.9, 0.8, 0.5, 0.1], np.float32),
    np.zeros(4, np.int64),
)


class FakeDetector:
    def __init__(self, boxes: Boxes) -> None:
        self.boxes = boxes

    def detect(self, images: Any) -> list[Boxes]:
        return [self.boxes for _ in images]


def make_searcher(boxes: Boxes | None, **selection: Any) -> Searcher:
    detector = None if boxes is None else FakeDetector(boxes)
    return Searcher(FakeModel(), build_gallery(), SearchPolicy(), detector, BoxSelector(**selection))


@pytest.mark.parametrize(
    ("select", "box"), [("given", SMALL_BEST), ("all", SMALL_BEST), ("best", SMALL_BEST), ("largest", LARGE)]
)
def test_search_without_a_box_uses_the_selected_detection(select: str, box: list[float]) -> None:
    searcher = make_searcher(DETECTIONS, select=select)
    result = searcher.search(IMAGE, k=5)
    assert result == make_searcher(None).search(IMAGE, box, k=5)
    assert result.box == tuple(box)
    assert len(result.hits) == 5


def test_each_usable_detection_is_searched_by_descending_score() -> None:
    searcher = make_searcher(DETECTIONS)
    results = searcher.search_garments(IMAGE, k=4)
    assert results == [searcher.search(IMAGE, box, k=4) for box in (SMALL_BEST, LARGE)]
    assert results[0].hits != results[1].hits


def test_given_box_replaces_the_detection() -> None:
    result = make_searcher(DETECTIONS).search(IMAGE, np.array(LARGE))
    assert result == make_searcher(None).search(IMAGE, LARGE)
    assert result.box == tuple(LARGE)


def test_image_without_detection_is_searched_as_a_whole_or_rejected() -> None:
    whole = make_searcher(None).search(IMAGE)
    assert whole.box is None
    assert make_searcher(None).search_garments(IMAGE) == [whole]
    searcher = make_searcher(NO_BOXES, fallback="whole")
    assert (searcher.search(IMAGE), searcher.search_garments(IMAGE)) == (whole, [whole])
    searcher = make_searcher(NO_BOXES, fallback="skip")
    assert searcher.search_garments(IMAGE) == []
    with pytest.raises(ValueError, match=r"no garment detected.*box"):
        searcher.search(IMAGE)


@pytest.mark.parametrize("box", [[1, 2, 3], [[1, 2, 30, 40]], 3])
def test_box_without_four_coordinates_is_rejected(box: Any) -> None:
    with pytest.raises(ValueError, match=r"box=.*x1 y1 x2 y2"):
        make_searcher(None).search(IMAGE, box)
