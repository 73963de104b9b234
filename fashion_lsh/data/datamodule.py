"""Lightning data module: catalogue and images to batches."""

from copy import copy
from functools import cached_property
from typing import Annotated, Any, Literal, Self

import numpy as np
import pytorch_lightning as pl
import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch.utils.data import DataLoader

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.connected_components import factorize
from fashion_lsh.data.dataset import CropDataset, build_dataloader, collate
from fashion_lsh.data.datasets import Source, open_dataset
from fashion_lsh.data.detections import BoxSelector, Detections
from fashion_lsh.data.leaks import check_disjoint, drop_leaks, report_leaks
from fashion_lsh.data.sampler import EpochSampler
from fashion_lsh.data.schema import box_columns
from fashion_lsh.data.splits import check_splits, split
from fashion_lsh.data.unseen_categories import TRAINED_SPLITS, hold_out_categories

Names = Annotated[list[str], Field(min_length=1)]
Part = Literal["train", "val", "query", "gallery"]


class GarmentData(pl.LightningDataModule):
    """Split, crop and batch the garments of one data set.

    Args:
        source: name of the data set (see `fashion_lsh.data.datasets`).
        root: folder or file of the data set; None if it needs none.
        categories: categories to keep; None: all.
        sources: values of the column `source` to keep in a merged catalogue; None: all.
        crop: `annotated` crops each garment by its annotated box, `detected` by a detected box (see
            `with_detections`), `whole` uses the whole image.
        box_selector: selects among the detected boxes, with crop=detected.
        margin: fraction of the box size added on each side of a crop.
        image_size: side of a crop in pixels.
        jitter: maximum shift of each side of a training crop, as a fraction of its width or height.
        min_crop_area: minimum fraction of its area that a training crop keeps (random resized crop); 1: no cropping.
        ratios: ratio of each split, for data sets without splits of their own.
        gallery: split used as the gallery; `train` is the protocol of Lin et al. 2015.
        leaks: how to treat garments shared by train and test in splits given in the data: `refuse` raises, `drop`
            removes them from train, `report` logs them and keeps them, and keeps exact copies of images.
        split_seed: seed of the splits (and of the images of synthetic data sets).
        batch_size: images per batch.
        workers: loader processes; 0: load in the main process.
        samples_per_epoch: images per epoch; None: all. Each epoch continues where the last one stopped.
        balanced: sample all categories equally often in training.
        seed: seed of order and augmentation.
        unseen: categories that are searched but never trained, by name, or how many to draw; None: train on all.
    """

    def __init__(
        self,
        source: str,
        root: str | None,
        categories: Names | None,
        sources: Names | None,
        crop: Literal["annotated", "whole", "detected"],
        box_selector: BoxSelector,
        margin: float,
        image_size: int,
        jitter: Annotated[float, Field(ge=0, lt=0.5)],
        min_crop_area: Annotated[float, Field(gt=0, le=1)],
        ratios: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]],
        gallery: Literal["gallery", "train"],
        leaks: Literal["refuse", "drop", "report"],
        split_seed: NonNegativeInt,
        batch_size: PositiveInt,
        workers: NonNegativeInt,
        samples_per_epoch: PositiveInt | None,
        balanced: bool,
        seed: NonNegativeInt,
        unseen: PositiveInt | Names | None = None,
    ) -> None:
        super().__init__()
        if unseen is not None and gallery == "train":
            raise ValueError(f"split.unseen={unseen}: not possible with split.gallery=train; set split.gallery=gallery")
        self.source: Source = open_dataset(source, root, split_seed, keep_copies=leaks == "report")
        self.filters = {"category": categories, "source": sources}
        self.crop, self.margin, self.image_size = crop, margin, image_size
        self.box_selector = box_selector
        self.detections: Detections | None = None  # boxes in all images, see `with_detections`
        self.jitter, self.min_crop_area = jitter, min_crop_area
        self.ratios, self.gallery, self.leaks, self.split_seed = dict(ratios), gallery, leaks, split_seed
        self.batch_size, self.workers, self.samples_per_epoch, self.pin_memory = (
            batch_size,
            workers,
            samples_per_epoch,
            False,
        )
        self.balanced, self.seed, self.unseen = balanced, seed, unseen
        self.leaked: dict[str, str] = {}

    def with_detections(self, detections: Detections | None) -> Self:
        """Return a copy with the detected boxes of its images."""
        return self.replace(detections=detections)

    def pinned_for(self, device: torch.device) -> Self:
        """Return a copy that pins batch memory if `device` is a GPU; pinning initialises CUDA."""
        return self.replace(pin_memory=device.type == "cuda")

    def replace(self, **attributes: Any) -> Self:
        """Return a copy with other attributes; crop boxes are recomputed if they depend on them."""
        other = copy(self)
        if attributes.keys() & {"crop", "box_selector", "detections"}:
            other.__dict__.pop("crop_boxes", None)
        other.__dict__.update(attributes)
        return other

    @cached_property
    def catalogue(self) -> Catalogue:
        """All rows after filtering, with their splits.

        Raises:
            ValueError: a category is unknown, or a split is empty or shares garments with another.
        """
        full = split(self.source.catalogue(self.filters), self.ratios, self.split_seed)
        if self.unseen is not None:
            full = hold_out_categories(full, self.unseen, self.split_seed)
        if self.leaks == "drop":
            full, self.leaked = drop_leaks(full)
        if self.leaks == "report":
            report_leaks(full)
        else:
            check_disjoint(full)
        check_splits(full, self.gallery, self.unseen is not None)
        return full

    @cached_property
    def checksum(self) -> str:
        """Checksum of the rows, their splits and, for the user's own files, the image bytes."""
        return self.catalogue.checksum + getattr(self.source, "checksum", "")

    @property
    def categories(self) -> list[str]:
        """Names of the trained categories, sorted; label n is the n-th."""
        if self.unseen is None:
            return self.catalogue.categories
        trained = np.isin(self.catalogue.column("split").astype(str), TRAINED_SPLITS)
        return self.catalogue.take(np.flatnonzero(trained)).categories

    @cached_property
    def labels(self) -> np.ndarray:
        """(N,) int64: label of each catalogue row; -1: its category is not trained."""
        return self.catalogue.labels(self.categories)

    @cached_property
    def items(self) -> np.ndarray:
        """(N,) int64: item number of each catalogue row; a row without an item has a unique number."""
        return factorize(self.catalogue.column("item"))

    @cached_property
    def crop_boxes(self) -> np.ndarray:
        """(N, 4) float32 xyxy: box that is cropped for each row; NaN: the whole image.

        Raises:
            ValueError: crop=detected without detections.
        """
        annotated = self.catalogue.boxes
        if self.crop != "detected":
            return annotated if self.crop == "annotated" else np.full_like(annotated, np.nan)
        if self.detections is None:
            raise ValueError("crop=detected: the data have no detections; pass them to with_detections")
        return self.box_selector.select_boxes(self.detections, self.catalogue.column("image"), annotated)

    @property
    def undetected(self) -> np.ndarray:
        """(N,) bool: rows without a detected box."""
        return (self.crop == "detected") & np.isnan(self.crop_boxes).any(axis=1)

    def garments(self, part: Part) -> Catalogue:
        """Catalogue rows of one part, with their crop boxes."""
        rows = self.rows(part)
        return self.catalogue.take(rows).with_columns(**box_columns(self.crop_boxes[rows]))

    @property
    def skipped(self) -> dict[str, str]:
        """Skipped garments (unusable image, or a leak between train and test): id -> reason."""
        return {**getattr(self.source, "skipped", {}), **self.leaked}

    def rows(self, part: Part) -> np.ndarray:
        """(n,) int64 row numbers of one part; `gallery` is the split used as the gallery.

        With crop.fallback=skip, garments without a detected box are dropped, except queries, which return no hits.

        Raises:
            ValueError: no row is left.
        """
        split = self.gallery if part == "gallery" else part
        rows = self.catalogue.rows(split)
        if self.box_selector.fallback == "whole" or part == "query":
            return rows
        kept = rows[~self.undetected[rows]]
        if not len(kept):
            raise ValueError(
                f"crop.min_score={self.box_selector.min_score:g}: no detection in split {split!r}; lower it, train the "
                "detector longer, or set crop.fallback=whole"
            )
        return kept

    def not_indexed(self, part: Part) -> Catalogue:
        """Garments of a part that were dropped because they have no detected box."""
        all_rows = self.catalogue.rows(self.gallery if part == "gallery" else part)
        return self.catalogue.take(np.setdiff1d(all_rows, self.rows(part)))

    def train_dataloader(self, pairs: bool = False) -> DataLoader[Any]:
        """Augmented training images; with `pairs`, each is followed by another image of its item.

        An item's only image is paired with a second augmentation of itself.

        Raises:
            ValueError: `pairs`, and the batch size is odd or below 4.
        """
        if pairs and (self.batch_size < 4 or self.batch_size % 2):
            raise ValueError(f"data.batch_size={self.batch_size}: item pairs need an even batch size; use at least 4")
        rows = self.rows("train")
        labels, items = self.labels[rows] if self.balanced else None, self.items[rows] if pairs else None
        sampler = EpochSampler(rows, self.seed, self.samples_per_epoch, labels, items)
        crops, single_batch = self._crop_dataset(augment=True), len(sampler) <= self.batch_size
        return build_dataloader(
            crops, self.batch_size, sampler, self.workers, collate, self.pin_memory, drop_last=not single_batch
        )

    def val_dataloader(self) -> DataLoader[Any]:
        return self.loader("val")

    def loader(self, part: Part) -> DataLoader[Any]:
        """Images of one part in row order, without augmentation."""
        return self._eval_loader(self.rows(part))

    def sample(self, part: Part, count: int) -> DataLoader[Any]:
        """Images of at most `count` evenly spaced rows of one part, without augmentation."""
        rows = self.rows(part)
        return self._eval_loader(rows[np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64)])

    def _eval_loader(self, rows: np.ndarray) -> DataLoader[Any]:
        keys = [(int(row), 0) for row in rows]
        return build_dataloader(
            self._crop_dataset(augment=False), self.batch_size, keys, self.workers, collate, self.pin_memory
        )

    def _crop_dataset(self, augment: bool) -> CropDataset:
        return CropDataset(
            self.source, self.catalogue.column("image"), self.labels, self.items, self.crop_boxes, self.margin,
            self.image_size, self.jitter, self.min_crop_area, self.seed if augment else None,
        )  # fmt: skip
