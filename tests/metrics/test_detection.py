"""Found boxes against true ones."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.metrics.detection import iou, matched, recall_precision

TRUE = np.float32([[0, 0, 10, 10], [20, 0, 30, 10]])
sides = st.integers(0, 20)


@st.composite
def whole_boxes(draw: st.DrawFn) -> np.ndarray:
    x, y = draw(sides), draw(sides)
    return np.array([x, y, x + draw(st.integers(1, 20)), y + draw(st.integers(1, 20))], np.float32)


@given(whole_boxes(), st.lists(whole_boxes(), max_size=4))
def test_overlap_against_counting_pixels(box: np.ndarray, others: list[np.ndarray]) -> None:
    def pixels(corners: np.ndarray) -> np.ndarray:
        grid = np.zeros((41, 41), bool)
        x1, y1, x2, y2 = corners.astype(int)
        grid[y1:y2, x1:x2] = True
        return grid

    found = iou(box, np.array(others, np.float32).reshape(-1, 4))
    for share, other in zip(found, others, strict=True):
        mine, theirs = pixels(box), pixels(other)
        assert share == pytest.approx((mine & theirs).sum() / (mine | theirs).sum())


@pytest.mark.parametrize(("found", "places"), [
    ([], []),
    ([[0, 0, 10, 10], [20, 0, 30, 10]], [0, 1]),
    ([[20, 0, 30, 9], [20, 0, 30, 10]], [1, -1]),  # found once: the surer one has it
    ([[0, 0, 10, 5]], [0]),  # just half
    ([[0, 0, 10, 4.9]], [-1]),
    ([[0, 0, 30, 10]], [-1]),  # both of them is neither
])  # fmt: skip
def test_each_true_box_is_found_once(found: list[list[float]], places: list[int]) -> None:
    assert matched(np.array(found, np.float32).reshape(-1, 4), TRUE).tolist() == places


def test_where_nothing_is_there_all_finds_are_false() -> None:
    assert matched(TRUE[:1], np.empty((0, 4), np.float32)).tolist() == [-1]


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
