"""Boxes are looked for in every picture; which of those that were found is a garment's crop."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detections import NOTHING, Boxes, Choice, Found, find_all

UNKNOWN = np.full(4, np.nan, np.float32)


def boxes(*corners: list[float], scores: list[float] | None = None) -> Boxes:
    given_scores = scores or [0.9 - 0.1 * number for number in range(len(corners))]
    return Boxes(
        np.array(corners, np.float32).reshape(-1, 4),
        np.array(given_scores, np.float32),
        np.zeros(len(corners), np.int64),
    )


def choice(**changed: Any) -> Choice:
    return Choice(**{"which": "given", "score": 0.3, "smallest": 8.0, "fallback": "whole", **changed})


def test_the_given_garment_is_the_box_that_overlaps_it_most() -> None:
    found = boxes([0, 0, 50, 50], [60, 60, 100, 100], [62, 62, 100, 100])
    assert choice().one(found, np.float32([61, 61, 101, 100])).tolist() == [60, 60, 100, 100]
    assert choice().one(found, np.float32([0, 60, 40, 100])) is None  # overlaps none
    assert choice().one(found, np.float32([0, 0, 24, 50])) is None  # less than half
    assert choice().one(found, np.float32([0, 0, 25, 50])).tolist() == [0, 0, 50, 50]


def test_without_an_annotated_box_the_best_score_is_taken() -> None:
    found = boxes([0, 0, 50, 50], [60, 60, 100, 100], scores=[0.4, 0.6])
    assert choice().one(found, UNKNOWN).tolist() == [60, 60, 100, 100]


def test_best_and_largest_ask_for_no_annotation() -> None:
    found = boxes([0, 0, 50, 50], [60, 60, 100, 100], scores=[0.4, 0.6])
    asked = np.float32([0, 60, 40, 100])
    assert choice(which="best").one(found, asked).tolist() == [60, 60, 100, 100]
    assert choice(which="largest").one(found, asked).tolist() == [0, 0, 50, 50]


@pytest.mark.parametrize(
    ("changed", "count"), [({}, 2), ({"score": 0.5}, 1), ({"smallest": 41.0}, 1), ({"score": 0.95}, 0)]
)
def test_low_scores_and_small_boxes_do_not_count(changed: dict[str, Any], count: int) -> None:
    found = boxes([0, 0, 50, 50], [60, 60, 100, 100], scores=[0.4, 0.9])
    one = choice(which="best", **changed)
    assert len(found.above(one.score, one.smallest).scores) == count
    assert (one.one(found, UNKNOWN) is None) == (count == 0)


def test_each_garment_gets_its_box_or_none() -> None:
    found = Found({"a": boxes([0, 0, 50, 50], [60, 60, 100, 100]), "b": NOTHING})
    annotated = np.float32([[0, 0, 49, 50], [60, 60, 99, 100], [0, 0, 9, 9]])
    chosen = choice().boxes(found, np.array(["a", "a", "b"], object), annotated)
    assert chosen[:2].tolist() == [[0, 0, 50, 50], [60, 60, 100, 100]]
    assert np.isnan(chosen[2]).all()
    assert np.isnan(choice().boxes(found, np.array(["never looked at"], object), annotated[:1])).all()


def test_all_garments_of_a_picture_count_where_none_is_annotated() -> None:
    found, known = boxes([0, 0, 50, 50], [60, 60, 100, 100]), np.float32([60, 60, 99, 100])
    assert choice(which="all").several(found, UNKNOWN).tolist() == [[0, 0, 50, 50], [60, 60, 100, 100]]
    assert choice(which="all").several(found, known).tolist() == [[60, 60, 100, 100]]
    assert choice(which="best").several(found, UNKNOWN).tolist() == [[0, 0, 50, 50]]
    assert choice(which="all").one(found, UNKNOWN).tolist() == [0, 0, 50, 50]


@pytest.mark.parametrize("which", ["given", "best", "largest", "all"])
def test_where_nothing_is_found_the_fall_back_says_what_is_cut(which: Any) -> None:
    whole = choice(which=which).several(NOTHING, UNKNOWN)
    assert whole.shape == (1, 4)
    assert np.isnan(whole).all()
    assert choice(which=which, fallback="skip").several(NOTHING, UNKNOWN).shape == (0, 4)


def test_found_boxes_are_kept_whole(tmp_path: Path) -> None:
    found = Found({"ä b.png": boxes([0, 0, 50.5, 50], [60, 60, 100, 100]), "none": NOTHING})
    found.save(tmp_path / "boxes.parquet")
    opened = Found.open(tmp_path / "boxes.parquet")
    assert list(opened.boxes) == list(found.boxes)
    for picture, before in found.boxes.items():
        for mine, theirs in zip(before, opened.boxes[picture], strict=True):
            assert mine.dtype == theirs.dtype
            assert np.array_equal(mine, theirs)


def test_a_damaged_file_of_boxes_is_named(tmp_path: Path) -> None:
    (tmp_path / "boxes.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"boxes\.parquet holds no boxes .*: remove it"):
        Found.open(tmp_path / "boxes.parquet")


def test_every_picture_is_looked_at_in_its_turn(make_data: Callable[..., GarmentData]) -> None:
    data = make_data()
    pictures = sorted(set(data.catalogue.column("picture")))
    means = {picture: float(data.source.picture(picture).mean()) for picture in pictures}

    class Mean:
        def find(self, some: Sequence[np.ndarray]) -> list[Boxes]:
            assert 1 <= len(some) <= 8
            return [
                Boxes(np.full((1, 4), each.mean(), np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))
                for each in some
            ]

    found = find_all(Mean(), data.source.picture, pictures)
    assert list(found.boxes) == pictures
    assert {name: boxes.corners[0, 0] for name, boxes in found.boxes.items()} == pytest.approx(means, rel=1e-5)


def test_pictures_are_not_opened_long_before_they_are_looked_at(
    make_data: Callable[..., GarmentData], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, opened = make_data(), []
    real = data.source.picture
    monkeypatch.setattr(data.source, "picture", lambda name: opened.append(name) or real(name))

    class Counted:
        looked = 0

        def find(self, some: Sequence[np.ndarray]) -> list[Boxes]:
            self.looked += len(some)
            assert len(opened) <= self.looked + 8
            return [NOTHING] * len(some)

    pictures = sorted(set(data.catalogue.column("picture")))
    assert len(find_all(Counted(), data.source.picture, pictures).boxes) == len(pictures) > 16
