"""Boxes of several looks become one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.data.detections import NO_BOXES, Boxes
from fashion_lsh.models.box_fusion import fused, mirrored


def boxes(*rows: tuple[list[float], float, int]) -> Boxes:
    xyxy, scores, labels = zip(*rows, strict=True)
    return Boxes(np.array(xyxy, np.float32), np.array(scores, np.float32), np.array(labels, np.int64))


@st.composite
def some_boxes(draw: st.DrawFn) -> Boxes:
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        x, y = draw(st.integers(0, 40)), draw(st.integers(0, 40))
        wide, high = draw(st.integers(1, 20)), draw(st.integers(1, 20))
        rows.append(([x, y, x + wide, y + high], draw(st.floats(0.0625, 1, width=32)), draw(st.integers(0, 2))))
    return boxes(*sorted(rows, key=lambda row: -row[1]))


def test_two_that_overlap_become_their_mean_by_score() -> None:
    both = fused([boxes(([0, 0, 10, 10], 0.6, 1)), boxes(([0, 0, 10, 12], 0.2, 1))])
    np.testing.assert_allclose(both.xyxy, [[0, 0, 10, (0.6 * 10 + 0.2 * 12) / 0.8]])
    assert both.scores[0] == pytest.approx(0.4)
    assert both.labels.tolist() == [1]


def test_what_one_look_alone_sees_counts_half_and_other_kinds_stay_apart() -> None:
    both = fused([boxes(([0, 0, 10, 10], 0.6, 1)), boxes(([0, 0, 10, 10], 0.8, 2), ([30, 30, 40, 40], 0.5, 1))])
    assert both.labels.tolist() == [2, 1, 1]
    assert both.scores.tolist() == pytest.approx([0.4, 0.3, 0.25])


def test_nothing_stays_nothing() -> None:
    assert len(fused([NO_BOXES, NO_BOXES]).scores) == 0
    one = boxes(([0, 0, 10, 10], 0.6, 1))
    assert fused([one, NO_BOXES]).scores.tolist() == pytest.approx([0.3])


@given(some_boxes(), some_boxes())
def test_scores_fall_and_boxes_lie_within_those_they_are_made_of(first: Boxes, second: Boxes) -> None:
    both = fused([first, second])
    every = np.concatenate([first.xyxy, second.xyxy])
    assert (np.diff(both.scores) <= 0).all()
    assert (both.xyxy >= every.min(axis=0) - 1e-4).all()
    assert (both.xyxy <= every.max(axis=0) + 1e-4).all()
    assert set(both.labels) == set(first.labels) | set(second.labels)
    assert 0 < len(both.scores) <= len(first.scores) + len(second.scores)


@given(some_boxes())
def test_a_mirror_twice_is_the_picture(found: Boxes) -> None:
    turned = mirrored(found, 100)
    assert (turned.xyxy[:, 2:] > turned.xyxy[:, :2]).all()
    np.testing.assert_array_equal(mirrored(turned, 100).xyxy, found.xyxy)
