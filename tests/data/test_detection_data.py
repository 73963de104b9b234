"""Detection data: boxes follow their garments through resizing and augmentation."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detection_data import DetectionData, DetectionDataset, collate, resize_with_boxes
from fashion_lsh.data.images import resize

MakeData = Callable[..., GarmentData]


def make_detection_data(data: GarmentData, **changed: Any) -> DetectionData:
    return DetectionData(data, **{
        "level": "garment", "image_size": 64, "views": None, "scales": [0.8, 1.2], "batch_size": 4,
        "samples_per_epoch": None, "workers": 0, "seed": 0, **changed,
    })  # fmt: skip


@pytest.mark.parametrize(("shape", "size"), [((40, 80), 32), ((80, 40), 32), ((7, 3), 70), ((500, 1), 50)])
def test_resize_sets_the_longer_side(shape: tuple[int, int], size: int) -> None:
    resized, scale = resize(np.zeros((*shape, 3), np.uint8), size)
    assert max(resized.shape[:2]) == size
    assert np.allclose(scale[:2] * shape[::-1], resized.shape[1::-1])


def test_boxes_are_scaled_and_clipped_with_the_image() -> None:
    image = np.zeros((40, 80, 3), np.uint8)
    boxes = np.float32([[-10, 10, 40, 30], [20, 20, 100, 100], [0, 0, 3, 30]])
    _, resized_boxes, labels = resize_with_boxes(image, boxes, 40, np.array([5, 6, 7]))
    assert resized_boxes.tolist() == [
        [0, 5, 20, 15],
        [10, 10, 40, 20],
    ]  # the third box is dropped, because it is 1.5 pixels wide
    assert labels.tolist() == [5, 6]


def draw_garment(box: np.ndarray) -> np.ndarray:
    """Draw a white rectangle on a black image, (48, 48, 3) uint8."""
    image = np.zeros((48, 48, 3), np.uint8)
    x1, y1, x2, y2 = box.round().astype(int)
    image[y1:y2, x1:x2] = 255
    return image


@pytest.mark.parametrize("epoch", range(6))
def test_augmented_boxes_still_surround_their_garments(make_data: MakeData, epoch: int) -> None:
    data = make_data()
    annotated_boxes = dict(zip(data.catalogue.column("image"), data.catalogue.boxes.round(), strict=True))
    data.source = SimpleNamespace(image=lambda key: draw_garment(annotated_boxes[key]))
    scenes = make_detection_data(data).scenes("train", augment=True)
    for index in range(len(scenes)):
        image, boxes, labels = scenes[index, epoch]
        assert 0.8 * 64 - 1 <= max(image.shape[:2]) <= 1.2 * 64 + 1
        assert len(boxes) == len(labels) == 1
        rows, columns = np.nonzero(image[..., 0] > image.min() + 100)
        expected = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(boxes[0] - expected).max() <= 2


def test_augmentation_depends_only_on_seed_epoch_and_index(make_data: MakeData) -> None:
    first, second = (make_detection_data(make_data()).scenes("train", augment=True) for _ in range(2))
    assert np.array_equal(first[1, 3][0], second[1, 3][0])
    assert first[1, 3][0].shape != first[1, 4][0].shape or not np.array_equal(first[1, 3][0], first[1, 4][0])


def test_a_sample_contains_all_garments_of_the_image(make_data: MakeData) -> None:
    data = make_data()
    catalogue = data.catalogue
    data.catalogue = catalogue.with_columns(image=[catalogue.column("image")[0]] * len(catalogue))
    scenes = DetectionDataset(make_detection_data(data), "train", augment=False)
    assert len(scenes) == 1
    assert len(scenes[0, 0][1]) == (catalogue.column("split") == "train").sum()


@pytest.mark.parametrize("level", ["garment", "category"])
def test_class_names_depend_on_the_level(make_data: MakeData, level: Any) -> None:
    data = make_data()
    scenes = make_detection_data(data, level=level)
    assert scenes.classes == (["garment"] if level == "garment" else data.categories)
    labels = np.concatenate([labels for _, labels in scenes.annotated_boxes("train").values()])
    assert set(labels) == set(range(len(scenes.classes)))


def test_missing_supercategories_raise(make_data: MakeData) -> None:
    with pytest.raises(ValueError, match=r"detector\.level=supercategory: "):
        _ = make_detection_data(make_data(), level="supercategory").classes


def test_views_restrict_training_data_but_not_evaluation_data(make_data: MakeData) -> None:
    data = make_data()
    street = make_detection_data(data, views=["street"])
    views = dict(zip(data.catalogue.column("image"), data.catalogue.column("view"), strict=True))
    assert {views[name] for name in street.scenes("train", augment=True).image_keys} == {"street"}
    assert {views[name] for name in street.annotated_boxes("val")} == {"shop", "street"}
    with pytest.raises(ValueError, match=r"split 'train' and scenes\.views=\['beach'\]: "):
        make_detection_data(data, views=["beach"]).train_dataloader()


def test_data_without_boxes_raises(make_data: MakeData) -> None:
    data = make_data()
    missing = np.full(len(data.catalogue), np.nan)
    data.catalogue = data.catalogue.with_columns(x1=missing, y1=missing, x2=missing, y2=missing)
    with pytest.raises(ValueError, match="split 'train': "):
        make_detection_data(data).train_dataloader()


def test_collate_keeps_images_of_different_sizes() -> None:
    samples = [
        (np.zeros((4, 6, 3), np.uint8), np.float32([[0, 0, 2, 2]]), np.array([1])),
        (np.zeros((8, 3, 3), np.uint8), np.empty((0, 4), np.float32), np.empty(0, np.int64)),
    ]
    batch = collate(samples)
    assert [tuple(image.shape) for image in batch.images] == [(3, 4, 6), (3, 8, 3)]
    assert [len(labels) for labels in batch.labels] == [1, 0]
    assert batch.images[0].dtype == torch.uint8


@pytest.mark.parametrize(("level", "is_included"), [("garment", True), ("category", False)])
def test_unseen_categories_are_in_detector_training_data_at_garment_level_only(
    make_data: MakeData, level: Any, is_included: bool
) -> None:
    data = make_data()
    data.labels, data.unseen = np.where(data.catalogue.column("category") == "cross", -1, data.labels), ["cross"]
    scenes = make_detection_data(data, level=level)
    names = {scenes.data.catalogue.column("category")[row] for rows in scenes.scenes("train", augment=True).rows
             for row in rows}  # fmt: skip
    assert ("cross" in names) == is_included


def test_garments_with_unmapped_labels_are_in_detector_training_data(make_data: MakeData) -> None:
    data = make_data()
    data.labels = np.full(len(data.catalogue), -1)  # labels that cover several categories
    assert len(make_detection_data(data, level="category").scenes("train", augment=True))
