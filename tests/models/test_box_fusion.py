"""Weighted boxes fusion and mirrored boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.data.detections import NO_BOXES, Boxes
from fashion_lsh.models.box_fusion import flip_boxes, fuse_boxes


def make_boxes(*rows: tuple[list[float], float, int]) -> Boxes:
    xyxy, scores, labels = zip(*rows, strict=True)
    return Boxes(np.array(xyxy, np.float32), np.array(scores, np.float32), np.array(labels, np.int64))


@st.composite
def random_boxes(draw: st.DrawFn) -> Boxes:
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        x, y = draw(st.integers(0, 40)), draw(st.integers(0, 40))
        width, height = draw(st.integers(1, 20)), draw(st.integers(1, 20))
        rows.append(([x, y, x + width, y + height], draw(st.floats(0.0625, 1, width=32)), draw(st.integers(0, 2))))
    return make_boxes(*sorted(rows, key=lambda row: -row[1]))


def test_overlapping_boxes_are_averaged_by_score() -> None:
    fused = fuse_boxes([make_boxes(([0, 0, 10, 10], 0.6, 1)), make_boxes(([0, 0, 10, 12], 0.2, 1))])
    np.testing.assert_allclose(fused.xyxy, [[0, 0, 10, (0.6 * 10 + 0.2 * 12) / 0.8]])
    assert fused.scores[0] == pytest.approx(0.4)
    assert fused.labels.tolist() == [1]


def test_box_of_a_single_view_has_half_the_score_and_labels_stay_separate() -> None:
    fused = fuse_boxes(
        [make_boxes(([0, 0, 10, 10], 0.6, 1)), make_boxes(([0, 0, 10, 10], 0.8, 2), ([30, 30, 40, 40], 0.5, 1))]
    )
    assert fused.labels.tolist() == [2, 1, 1]
    assert fused.scores.tolist() == pytest.approx([0.4, 0.3, 0.25])


def test_views_may_have_no_boxes() -> None:
    assert len(fuse_boxes([NO_BOXES, NO_BOXES]).scores) == 0
    one = make_boxes(([0, 0, 10, 10], 0.6, 1))
    assert fuse_boxes([one, NO_BOXES]).scores.tolist() == pytest.approx([0.3])


@given(random_boxes(), random_boxes())
def test_fused_boxes_are_sorted_and_within_the_extent_of_all_boxes(first: Boxes, second: Boxes) -> None:
    fused = fuse_boxes([first, second])
    all_boxes = np.concatenate([first.xyxy, second.xyxy])
    assert (np.diff(fused.scores) <= 0).all()
    assert (fused.xyxy >= all_boxes.min(axis=0) - 1e-4).all()
    assert (fused.xyxy <= all_boxes.max(axis=0) + 1e-4).all()
    assert set(fused.labels) == set(first.labels) | set(second.labels)
    assert 0 < len(fused.scores) <= len(first.scores) + len(second.scores)


@given(random_boxes())
def test_flip_boxes_twice_is_identity(original: Boxes) -> None:
    flipped = flip_boxes(original, 100)
    assert (flipped.xyxy[:, 2:] > flipped.xyxy[:, :2]).all()
    np.testing.assert_array_equal(flip_boxes(flipped, 100).xyxy, original.xyxy)
