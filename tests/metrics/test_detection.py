"""IoU, matching of boxes, and precision-recall curve."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.metrics.detection import iou, match_boxes, precision_recall_curve

ANNOTATED = np.float32([[0, 0, 10, 10], [20, 0, 30, 10]])
coordinates = st.integers(0, 20)


@st.composite
def integer_boxes(draw: st.DrawFn) -> np.ndarray:
    x, y = draw(coordinates), draw(coordinates)
    return np.array([x, y, x + draw(st.integers(1, 20)), y + draw(st.integers(1, 20))], np.float32)


@given(integer_boxes(), st.lists(integer_boxes(), max_size=4))
def test_iou_equals_the_ratio_of_pixel_counts(box: np.ndarray, others: list[np.ndarray]) -> None:
    def pixels(corners: np.ndarray) -> np.ndarray:
        grid = np.zeros((41, 41), bool)
        x1, y1, x2, y2 = corners.astype(int)
        grid[y1:y2, x1:x2] = True
        return grid

    ious = iou(box, np.array(others, np.float32).reshape(-1, 4))
    for actual, other in zip(ious, others, strict=True):
        box_pixels, other_pixels = pixels(box), pixels(other)
        assert actual == pytest.approx((box_pixels & other_pixels).sum() / (box_pixels | other_pixels).sum())


@pytest.mark.parametrize(("detected", "matched_indices"), [
    ([], []),
    ([[0, 0, 10, 10], [20, 0, 30, 10]], [0, 1]),
    ([[20, 0, 30, 9], [20, 0, 30, 10]], [1, -1]),  # the box with the higher score is matched
    ([[0, 0, 10, 5]], [0]),  # IoU 0.5
    ([[0, 0, 10, 4.9]], [-1]),
    ([[0, 0, 30, 10]], [-1]),  # a box over both annotated boxes has too low an IoU with each
])  # fmt: skip
def test_each_annotated_box_is_matched_once(detected: list[list[float]], matched_indices: list[int]) -> None:
    assert match_boxes(np.array(detected, np.float32).reshape(-1, 4), ANNOTATED).tolist() == matched_indices


def test_without_annotated_boxes_all_detections_are_false_positives() -> None:
    assert match_boxes(ANNOTATED[:1], np.empty((0, 4), np.float32)).tolist() == [-1]


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4)), max_size=7), st.integers(0, 5))
def test_precision_and_recall_equal_counts(detections: list[tuple[bool, int]], num_undetected: int) -> None:
    is_correct = np.array([correct for correct, _ in detections], bool)
    scores = np.array([score for _, score in detections], np.float32)
    total = int(is_correct.sum()) + num_undetected
    recall, precision = precision_recall_curve([is_correct[:3], is_correct[3:]], [scores[:3], scores[3:]], total)
    expected = [
        (is_correct[scores >= level].sum() / max(1, total), is_correct[scores >= level].mean())
        for level in sorted(set(scores.tolist()), reverse=True)
    ]
    pairs = np.stack([recall, precision], axis=1)
    assert pairs == pytest.approx(np.array(expected).reshape(-1, 2))
    assert all(previous <= following for previous, following in itertools.pairwise(recall))
