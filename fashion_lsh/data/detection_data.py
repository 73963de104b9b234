"""Training and validation data of the detector: images with the boxes of all garments."""

from collections.abc import Sequence
from copy import copy
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import build_dataloader, jitter_brightness_contrast
from fashion_lsh.data.detection_images import images_without_garments
from fashion_lsh.data.images import resize
from fashion_lsh.data.ranks import Ranks
from fashion_lsh.data.sampler import EpochSampler
from fashion_lsh.metrics.box_average_precision import AnnotatedBoxes

Level = Literal["garment", "supercategory", "category"]
MIN_BOX_SIDE = 2.0  # minimum width and height of a box after resizing, in pixels; smaller boxes are dropped


class DetectionBatch(NamedTuple):
    """Batch of B images of different sizes.

    Attributes:
        images: B images, (3, H, W) uint8 RGB each.
        boxes: boxes of each image, (n, 4) float32 xyxy.
        labels: labels of the boxes of each image, (n,) int64.
    """

    images: list[Tensor]
    boxes: list[Tensor]
    labels: list[Tensor]


class DetectionData:
    """Training and validation images of a detector.

    Args:
        data: data module with images, splits and boxes.
        level: class level of the boxes (see `class_names`).
        image_size: longer side of a resized image, in pixels.
        views: values of the column `view` to train on (street images show more garments); None: all.
        scales: minimum and maximum longer side of a training image, as a ratio of image_size.
        batch_size: number of images per batch; several processes divide each batch among themselves.
        samples_per_epoch: number of images per epoch; None: all.
        workers: number of loader processes; 0: load in the main process.
        seed: random seed of order and augmentation.
    """

    def __init__(
        self,
        data: GarmentData,
        level: Level = "garment",
        image_size: PositiveInt = 256,
        views: Annotated[list[str], Field(min_length=1)] | None = None,
        scales: Annotated[Sequence[PositiveFloat], Field(min_length=2, max_length=2)] = (0.8, 1.2),
        batch_size: PositiveInt = 8,
        samples_per_epoch: PositiveInt | None = None,
        workers: NonNegativeInt = 1,
        seed: NonNegativeInt = 0,
    ) -> None:
        if scales[0] > scales[1]:
            raise ValueError(f"scenes.scales={scales}: not ascending; set the smaller scale first")
        self.data, self.level, self.image_size, self.views, self.scales = data, level, image_size, views, scales
        self.batch_size, self.samples_per_epoch, self.workers, self.seed = batch_size, samples_per_epoch, workers, seed
        self.pin_memory, self.ranks = False, Ranks()

    def pinned_for(self, device: torch.device) -> Self:
        """Return a copy that pins batch memory if `device` is a GPU; pinning initialises CUDA."""
        return self.replace(pin_memory=device.type == "cuda")

    def replace(self, **attributes: Any) -> Self:
        """Return a copy with other attribute values."""
        other = copy(self)
        other.__dict__.update(attributes)
        return other

    @cached_property
    def names(self) -> np.ndarray:
        """Class name of each catalogue row at the level of the detector, (N,) str.

        Raises:
            ValueError: a garment has no class name at this level.
        """
        names = class_names(self.data.catalogue, self.level)
        if (names == "").any():
            raise ValueError(
                f"detector.level={self.level}: some garments have no {self.level}; set detector.level to garment "
                "or category"
            )
        return names

    @property
    def classes(self) -> list[str]:
        """Sorted class names; label n is the position n."""
        return sorted(set(self.names))

    def scenes(self, split: str, augment: bool = False) -> "DetectionDataset":
        """Return the images of one split with the boxes of all garments."""
        return DetectionDataset(self, split, augment)

    def annotated_boxes(self, split: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return annotated boxes (n, 4) float32 xyxy in pixels and labels (n,) int64 of each image, by image key."""
        scenes = self.scenes(split)
        return {
            image: (scenes.boxes[rows], scenes.labels[rows])
            for image, rows in zip(scenes.image_keys, scenes.rows, strict=True)
        }

    def scored_boxes(self, split: str) -> dict[str, AnnotatedBoxes]:
        """Return annotated boxes and crowds by image key; images without garments have no boxes.

        These are the boxes that COCO scores. Crowds of classes without annotated boxes are left out.
        """
        annotations: dict[str, AnnotatedBoxes] = {
            image: (boxes, labels, np.zeros(len(labels), dtype=bool))
            for image, (boxes, labels) in self.annotated_boxes(split).items()
        }
        for image in images_without_garments(self.data, split):
            annotations[image] = np.empty((0, 4), np.float32), np.empty(0, np.int64), np.empty(0, bool)
        extra = getattr(self.data.source, "detection_only", None)
        if extra is None:
            return annotations
        names = class_names(extra.crowds, self.level)
        for image, name, box in zip(extra.crowds.column("image"), names, extra.crowds.boxes, strict=True):
            if image in annotations and name in self.classes:
                boxes, labels, is_crowd = annotations[image]
                annotations[image] = (
                    np.concatenate([boxes, box[None]]), np.append(labels, self.classes.index(name)),
                    np.append(is_crowd, True),
                )  # fmt: skip
        return annotations

    def train_dataloader(self) -> DataLoader[Any]:
        scenes = self.scenes("train", augment=True)
        sampler = EpochSampler(np.arange(len(scenes)), self.seed, self.samples_per_epoch)
        self.ranks.check_batch_size(self.batch_size, "scenes.batch_size")
        return build_dataloader(
            scenes, self.batch_size, sampler, self.workers, collate, self.pin_memory, ranks=self.ranks,
            workers_key="scenes.workers",
        )  # fmt: skip

    def val_dataloader(self) -> None:
        """Disable validation during training; box metrics are slow and are computed once, after training."""


class DetectionDataset(Dataset[tuple[np.ndarray, np.ndarray, np.ndarray]]):
    """Images of one split, resized to the detector's input size, with the boxes of all garments.

    Training images are flipped with probability 0.5, and size, brightness and contrast are changed at random.
    Augmentation depends only on seed, epoch and image.

    Raises:
        ValueError: the split has no image with a box.
    """

    def __init__(self, data: DetectionData, split: str, augment: bool) -> None:
        catalogue = data.data.catalogue
        has_box = ~np.isnan(catalogue.boxes).any(axis=1)
        is_selected = (catalogue.column("split") == split) & has_box
        if augment and data.views is not None:
            is_selected &= np.isin(catalogue.column("view").astype(str), data.views)
        # unseen categories must not be in the training data; at level garment, all categories are one class
        if augment and data.data.unseen is not None and data.level != "garment":
            is_selected &= data.data.labels >= 0
        rows = np.flatnonzero(is_selected)
        if not len(rows):
            condition = f" and scenes.views={data.views}" if augment and data.views is not None else ""
            raise ValueError(
                f"split {split!r}{condition}: no boxes to train a detector on; use data with boxes, or set another "
                "crop.mode"
            )
        self.image_keys, image_index = np.unique(catalogue.column("image")[rows].astype(str), return_inverse=True)
        self.rows = [rows[image_index == index] for index in range(len(self.image_keys))]
        positions = {name: position for position, name in enumerate(data.classes)}
        self.labels, self.boxes = np.array([positions[name] for name in data.names]), catalogue.boxes
        self.source, self.image_size, self.scales, self.seed = data.data.source, data.image_size, data.scales, data.seed
        self.augment = augment

    def __len__(self) -> int:
        return len(self.image_keys)

    def __getitem__(self, key: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Load image (H, W, 3) uint8, boxes (n, 4) float32 and labels (n,) int64 for a key (image index, epoch)."""
        index, epoch = key
        image, rows = self.source.image(self.image_keys[index]), self.rows[index]
        if not self.augment:
            return resize_with_boxes(image, self.boxes[rows], self.image_size, self.labels[rows])
        rng = np.random.default_rng([self.seed, epoch, index])
        size = round(self.image_size * rng.uniform(self.scales[0], self.scales[1]))
        image, boxes, labels = resize_with_boxes(image, self.boxes[rows], size, self.labels[rows])
        if rng.random() < 0.5:
            image, width = image[:, ::-1], image.shape[1]
            boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)
        return jitter_brightness_contrast(image, rng), boxes, labels


def class_names(catalogue: Catalogue, level: Level) -> np.ndarray:
    """Class name of each catalogue row at a level, (N,) str; "" if unknown.  At level garment, all names are equal."""
    return np.full(len(catalogue), "garment", dtype=object) if level == "garment" else catalogue.column(level)


def resize_with_boxes(
    image: np.ndarray, boxes: np.ndarray, size: int, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Resize an image and its boxes; boxes are clipped to the image, and boxes below MIN_BOX_SIDE are dropped.

    Args:
        image: (H, W, 3) uint8.
        boxes: (n, 4) xyxy in pixels.
        size: longer side of the resized image, in pixels.
        labels: (n,) int64 label of each box.

    Returns:
        The resized image; the remaining boxes (m, 4) float32 and labels (m,).
    """
    height, width = image.shape[:2]
    resized, scale = resize(image, size)
    clipped = np.clip(boxes, 0, [width, height, width, height]) * scale
    is_kept = (clipped[:, 2:] - clipped[:, :2] >= MIN_BOX_SIDE).all(axis=1)
    return resized, clipped[is_kept].astype(np.float32), labels[is_kept]


def collate(samples: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> DetectionBatch:
    """Collect samples of DetectionDataset into a batch of tensors; images are transposed to (3, H, W)."""
    images, boxes, labels = zip(*samples, strict=True)
    tensors = [torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))) for image in images]
    return DetectionBatch(
        tensors, [torch.from_numpy(box) for box in boxes], [torch.from_numpy(label) for label in labels]
    )
