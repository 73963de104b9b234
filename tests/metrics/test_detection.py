"""Found boxes against true ones."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.detections import Boxes, Found
from fashion_lsh.metrics.detection import matched, recall_precision, scenes_of


def boxes(*corners: list[float]) -> Boxes:
    scores = np.linspace(0.9, 0.1, len(corners)).astype(np.float32)
    return Boxes(np.array(corners, np.float32).reshape(-1, 4), scores, np.zeros(len(corners), np.int64))


TRUE = np.float32([[0, 0, 10, 10], [20, 0, 30, 10]])


@pytest.mark.parametrize(("found", "places"), [
    ([], []),
    ([[0, 0, 10, 10], [20, 0, 30, 10]], [0, 1]),
    ([[20, 0, 30, 9], [20, 0, 30, 10]], [1, -1]),  # found once: the surer one has it
    ([[0, 0, 10, 5]], [0]),  # just half
    ([[0, 0, 10, 4.9]], [-1]),
    ([[0, 0, 30, 10]], [-1]),  # both of them is neither
])  # fmt: skip
def test_each_true_box_is_found_once(found: list[list[float]], places: list[int]) -> None:
    assert matched(boxes(*found), TRUE).tolist() == places


def test_where_nothing_is_there_all_finds_are_false() -> None:
    assert matched(boxes([0, 0, 10, 10]), np.empty((0, 4), np.float32)).tolist() == [-1]


def test_scenes_are_the_query_pictures_with_what_is_true_and_found_in_each() -> None:
    corners = np.float32([*TRUE, [5, 5, 9, 9], TRUE[1], [np.nan] * 4])
    garments = Catalogue.of({
        "id": list("12345"), "picture": ["b", "b", "a", "c", "d"], "category": ["hat", "bag", "hat", "hat", "hat"],
        "split": ["query", "query", "query", "train", "query"],
        **dict(zip(("x1", "y1", "x2", "y2"), corners.T, strict=True)),
    })  # fmt: skip
    scenes = scenes_of(garments, Found({"b": boxes([20, 0, 30, 10])}), "category")
    assert [(scene.picture, scene.names.tolist(), scene.places.tolist()) for scene in scenes] == [
        ("a", ["hat"], []), ("b", ["hat", "bag"], [1]),
    ]  # fmt: skip
    assert [scene.true.tolist() for scene in scenes] == [corners[2:3].tolist(), TRUE.tolist()]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4)), max_size=7), st.integers(0, 5))
def test_precision_and_recall_against_counting(finds: list[tuple[bool, int]], missed: int) -> None:
    right = np.array([hit for hit, _ in finds], bool)
    scores = np.array([score for _, score in finds], np.float32)
    total = int(right.sum()) + missed
    recall, precision = recall_precision([right[:3], right[3:]], [scores[:3], scores[3:]], total)
    wanted = [
        (right[scores >= level].sum() / max(1, total), right[scores >= level].mean())
        for level in sorted(set(scores.tolist()), reverse=True)
    ]
    pairs = np.stack([recall, precision], axis=1)
    assert pairs == pytest.approx(np.array(wanted).reshape(-1, 2))
    assert all(first <= second for first, second in itertools.pairwise(recall))
