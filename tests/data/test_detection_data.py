"""A detector's pictures: garments stay where they are, whatever is done to the picture."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detection_data import SceneData, SceneDataset, collate, resize, shrunk

Make = Callable[..., GarmentData]


def scenes_of(data: GarmentData, **changed: Any) -> SceneData:
    return SceneData(data, **{
        "level": "garment", "image_size": 64, "views": None, "scales": [0.8, 1.2], "batch_size": 4,
        "epoch_pictures": None, "workers": 0, "seed": 0, **changed,
    })  # fmt: skip


@pytest.mark.parametrize(("shape", "size"), [((40, 80), 32), ((80, 40), 32), ((7, 3), 70), ((500, 1), 50)])
def test_the_longer_side_gets_the_size_asked_for(shape: tuple[int, int], size: int) -> None:
    resized, scale = resize(np.zeros((*shape, 3), np.uint8), size)
    assert max(resized.shape[:2]) == size
    assert np.allclose(scale[:2] * shape[::-1], resized.shape[1::-1])


def test_boxes_go_with_the_picture_and_are_clamped() -> None:
    picture = np.zeros((40, 80, 3), np.uint8)
    boxes = np.float32([[-10, 10, 40, 30], [20, 20, 100, 100], [0, 0, 3, 30]])
    _, found, labels = shrunk(picture, boxes, 40, np.array([5, 6, 7]))
    assert found.tolist() == [[0, 5, 20, 15], [10, 10, 40, 20]]  # the third keeps 1.5 pixels: too few to learn from
    assert labels.tolist() == [5, 6]


def painted(box: np.ndarray) -> np.ndarray:
    """A black picture with a white garment."""
    picture = np.zeros((48, 48, 3), np.uint8)
    x1, y1, x2, y2 = box.round().astype(int)
    picture[y1:y2, x1:x2] = 255
    return picture


@pytest.mark.parametrize("epoch", range(6))
def test_an_augmented_box_still_surrounds_its_garment(make_data: Make, epoch: int) -> None:
    data = make_data()
    boxes_of = dict(zip(data.catalogue.column("picture"), data.catalogue.boxes.round(), strict=True))
    data.source = SimpleNamespace(picture=lambda key: painted(boxes_of[key]))
    scenes = scenes_of(data).scenes("train", augment=True)
    for number in range(len(scenes)):
        image, boxes, labels = scenes[number, epoch]
        assert 0.8 * 64 - 1 <= max(image.shape[:2]) <= 1.2 * 64 + 1
        assert len(boxes) == len(labels) == 1
        rows, columns = np.nonzero(image[..., 0] > image.min() + 100)
        drawn = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(boxes[0] - drawn).max() <= 2


def test_a_picture_is_augmented_by_seed_epoch_and_number_alone(make_data: Make) -> None:
    first, second = (scenes_of(make_data()).scenes("train", augment=True) for _ in range(2))
    assert np.array_equal(first[1, 3][0], second[1, 3][0])
    assert first[1, 3][0].shape != first[1, 4][0].shape or not np.array_equal(first[1, 3][0], first[1, 4][0])


def test_every_garment_of_a_picture_is_in_it(make_data: Make) -> None:
    data = make_data()
    catalogue = data.catalogue
    data.catalogue = catalogue.having(picture=[catalogue.column("picture")[0]] * len(catalogue))
    scenes = SceneDataset(scenes_of(data), "train", augment=False)
    assert len(scenes) == 1
    assert len(scenes[0, 0][1]) == (catalogue.column("split") == "train").sum()


@pytest.mark.parametrize("level", ["garment", "category"])
def test_what_garments_are_called_at_a_level(make_data: Make, level: Any) -> None:
    data = make_data()
    scenes = scenes_of(data, level=level)
    assert scenes.classes == (["garment"] if level == "garment" else data.categories)
    labels = np.concatenate([labels for _, labels in scenes.boxes_of("train").values()])
    assert set(labels) == set(range(len(scenes.classes)))


def test_unknown_supercategories_are_refused(make_data: Make) -> None:
    with pytest.raises(ValueError, match=r"detector\.level=supercategory: the data do not know it"):
        _ = scenes_of(make_data(), level="supercategory").classes


def test_pictures_of_other_views_are_not_learnt_from_but_scored(make_data: Make) -> None:
    data = make_data()
    street = scenes_of(data, views=["street"])
    views = dict(zip(data.catalogue.column("picture"), data.catalogue.column("view"), strict=True))
    assert {views[name] for name in street.scenes("train", augment=True).pictures} == {"street"}
    assert {views[name] for name in street.boxes_of("val")} == {"shop", "street"}
    with pytest.raises(ValueError, match=r"split 'train' and scenes\.views=\['beach'\] has no boxes"):
        scenes_of(data, views=["beach"]).train_dataloader()


def test_data_without_boxes_are_refused(make_data: Make) -> None:
    data = make_data()
    nothing = np.full(len(data.catalogue), np.nan)
    data.catalogue = data.catalogue.having(x1=nothing, y1=nothing, x2=nothing, y2=nothing)
    with pytest.raises(ValueError, match="split 'train' has no boxes to learn from"):
        scenes_of(data).train_dataloader()


def test_pictures_of_other_sizes_make_a_batch() -> None:
    samples = [
        (np.zeros((4, 6, 3), np.uint8), np.float32([[0, 0, 2, 2]]), np.array([1])),
        (np.zeros((8, 3, 3), np.uint8), np.empty((0, 4), np.float32), np.empty(0, np.int64)),
    ]
    batch = collate(samples)
    assert [tuple(image.shape) for image in batch.images] == [(3, 4, 6), (3, 8, 3)]
    assert [len(labels) for labels in batch.labels] == [1, 0]
    assert batch.images[0].dtype == torch.uint8


@pytest.mark.parametrize(("level", "learnt"), [("garment", True), ("category", False)])
def test_a_detector_of_kinds_learns_none_that_is_never_trained(make_data: Make, level: Any, learnt: bool) -> None:
    data = make_data()
    data.labels, data.unseen = np.where(data.catalogue.column("category") == "cross", -1, data.labels), ["cross"]
    scenes = scenes_of(data, level=level)
    names = {scenes.data.catalogue.column("category")[row] for rows in scenes.scenes("train", augment=True).rows
             for row in rows}  # fmt: skip
    assert ("cross" in names) == learnt


def test_garments_without_a_category_of_their_own_teach_what_is_known_of_them(make_data: Make) -> None:
    data = make_data()
    data.labels = np.full(len(data.catalogue), -1)  # of a group that spans categories
    assert len(scenes_of(data, level="category").scenes("train", augment=True))
