"""Catalogue and pictures to batches."""

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
    """The garments of one data set, split, cropped and batched.

    Args:
        source: name of the data set (see sources).
        root: where its files lie; None where it needs none.
        categories: the categories to keep; None: all.
        sources: of a catalogue merged from several, those to keep (its column `source`); None: all.
        crop: `annotated` cuts each garment out by its box, `detected` by the box that a detector found (see `found`),
            `whole` keeps the picture.
        box_selector: which of the boxes found is cut out, with crop=detected.
        margin: share of the box added on each side of a crop.
        image_size: side of a crop in pixels.
        jitter: how far each side of a training crop moves at most, as a share of its width or height.
        min_crop_area: the least share of its area that a training crop keeps (a random resized crop); 1: all of it.
        ratios: share of each split, for data sets without splits of their own.
        gallery: the split that is searched; `train` is the protocol of Lin et al. 2015.
        leaks: what to do where train shares a garment with the pictures that test it, in splits that came with the
            data: `refuse`, `drop` it from train, or `report` of it, and of copies of pictures, and go on.
        split_seed: what the splits (and the pictures of data sets that draw them) are drawn by.
        batch_size: pictures a batch.
        workers: processes that load pictures; 0: none.
        samples_per_epoch: pictures an epoch; None: all. The next epoch goes on where one stopped.
        balanced: draw all categories equally often while training.
        seed: what order and augmentation are drawn by.
        unseen: categories that are searched and never trained, by name, or how many are drawn; None: all train.
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
            raise ValueError(f"split.unseen={unseen}: train shows none of them: give split.gallery=gallery")
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
        """Return the same data with the boxes that a detector found in its images."""
        return self.replaced(detections=detections)

    def pinned_for(self, device: torch.device) -> Self:
        """Return the same data with batches in pinned memory where `device` is a GPU: elsewhere that would wake one."""
        return self.replaced(pin_memory=device.type == "cuda")

    def replaced(self, **attributes: Any) -> Self:
        """Return a copy with other attributes; crop boxes are computed again where they depend on them."""
        other = copy(self)
        if attributes.keys() & {"crop", "box_selector", "detections"}:
            other.__dict__.pop("crop_boxes", None)
        other.__dict__.update(attributes)
        return other

    @cached_property
    def catalogue(self) -> Catalogue:
        """All rows kept, split.

        Raises:
            ValueError: an unknown category, a split that is empty or shares garments with another.
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
        """The same rows, splits and, where they are a user's own files, pictures give the same text everywhere."""
        return self.catalogue.checksum + getattr(self.source, "checksum", "")

    @property
    def categories(self) -> list[str]:
        """Names of the categories that are learnt, sorted: label n is the n-th."""
        if self.unseen is None:
            return self.catalogue.categories
        trained = np.isin(self.catalogue.column("split").astype(str), TRAINED_SPLITS)
        return self.catalogue.take(np.flatnonzero(trained)).categories

    @cached_property
    def labels(self) -> np.ndarray:
        """(N,) int64: the label of each row of the catalogue; -1: its category is not learnt."""
        return self.catalogue.labels(self.categories)

    @cached_property
    def items(self) -> np.ndarray:
        """(N,) int64: equal where rows show one item; a row whose item is not known has a number of its own."""
        return factorize(self.catalogue.column("item"))

    @cached_property
    def crop_boxes(self) -> np.ndarray:
        """(N, 4) float32: what is cut out for each row; NaN: the whole picture.

        Raises:
            ValueError: crop=detected, and there are no detections.
        """
        annotated = self.catalogue.boxes
        if self.crop != "detected":
            return annotated if self.crop == "annotated" else np.full_like(annotated, np.nan)
        if self.detections is None:
            raise ValueError("crop=detected: no detector has looked at the pictures yet")
        return self.box_selector.select_boxes(self.detections, self.catalogue.column("image"), annotated)

    @property
    def undetected(self) -> np.ndarray:
        """(N,) bool: rows for which a detector found no box."""
        return (self.crop == "detected") & np.isnan(self.crop_boxes).any(axis=1)

    def garments(self, part: Part) -> Catalogue:
        """The rows of one part, each with the box that is cut out for it."""
        rows = self.rows(part)
        return self.catalogue.take(rows).with_columns(**box_columns(self.crop_boxes[rows]))

    @property
    def skipped(self) -> dict[str, str]:
        """Garments left out, because their pictures are of no use or are told to train and test: id -> reason."""
        return {**getattr(self.source, "skipped", {}), **self.leaked}

    def rows(self, part: Part) -> np.ndarray:
        """(n,) row numbers of one part; `gallery` is whatever is searched.

        Garments without a box are left out where crop.fallback says so, but those that ask stay: they find nothing.

        Raises:
            ValueError: all of them are left out.
        """
        split = self.gallery if part == "gallery" else part
        rows = self.catalogue.rows(split)
        if self.box_selector.fallback == "whole" or part == "query":
            return rows
        kept = rows[~self.undetected[rows]]
        if not len(kept):
            raise ValueError(
                f"no garment was found in any picture of split {split!r}: lower "
                f"crop.min_score={self.box_selector.min_score:g}, fit the detector longer, or give crop.fallback=whole"
            )
        return kept

    def not_indexed(self, part: Part) -> Catalogue:
        """The garments of a part that are left out, since no box was found for them."""
        all_rows = self.catalogue.rows(self.gallery if part == "gallery" else part)
        return self.catalogue.take(np.setdiff1d(all_rows, self.rows(part)))

    def train_dataloader(self, pairs: bool = False) -> DataLoader[Any]:
        """Augmented training pictures; `pairs`: each beside another of its item, or seen anew.

        Raises:
            ValueError: a batch would not hold two whole pairs.
        """
        if pairs and (self.batch_size < 4 or self.batch_size % 2):
            raise ValueError(f"data.batch_size={self.batch_size}: pairs of one item want an even number, 4 at least")
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
        """The pictures of one part in row order, as the model is to see them: no augmentation."""
        return self._eval_loader(self.rows(part))

    def sample(self, part: Part, count: int) -> DataLoader[Any]:
        """The same of at most `count` of them, evenly chosen."""
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
