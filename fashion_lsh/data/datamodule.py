"""Lightning data module: splits, crops and batches of a data set."""

from copy import copy
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pytorch_lightning as pl
import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch.utils.data import DataLoader

from fashion_lsh.data.calibration_split import CALIBRATION, divide_val
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.connected_components import factorize
from fashion_lsh.data.corrections import correct, uncorrected
from fashion_lsh.data.dataset import Transform
from fashion_lsh.data.datasets import Source, open_dataset
from fashion_lsh.data.datasets.embedding_files import EmbeddingFiles
from fashion_lsh.data.detections import BoxSelector, Detections
from fashion_lsh.data.features import Features
from fashion_lsh.data.loaders import build_row_loader, build_train_loader
from fashion_lsh.data.ranks import Ranks
from fashion_lsh.data.schema import box_columns
from fashion_lsh.data.split_assignment import assign_splits
from fashion_lsh.data.unseen_categories import TRAINING_SPLITS
from fashion_lsh.io.rows import evenly_spaced
from fashion_lsh.io.targets import Spec, create

Names = Annotated[list[str], Field(min_length=1)]
RATIOS = {"train": 0.6, "val": 0.1, "query": 0.1, "gallery": 0.2}
SplitName = Literal["train", "val", "calibration", "query", "gallery"]


class GarmentData(pl.LightningDataModule):
    """Data module that splits, crops and batches the garments of one data set.

    Args:
        source: name of the data set, or a user's own data set (see `open_dataset`).
        root: folder or file of the data set; None if the data set needs no root.
        corrections: reviewed CSV file, or several (see `read_corrections`), that relabels or leaves out rows.
        categories: categories to keep; None: all.
        sources: values of the column `source` to keep in a merged catalogue; None: all.
        crop: box of each crop: `annotated`, `detected` (see `with_detections`), or `whole`, the whole image.
        box_selector: selection of the crop box from the detections, with crop=detected.
        margin: fraction of the box size added on each side of a crop.
        image_size: side of a crop in pixels.
        train_image_size: side of a training crop in pixels; None: `image_size` (larger test crops: arXiv:1906.06423).
        jitter: maximum shift of each side of a training crop, as a fraction of its width or height.
        min_crop_area: minimum fraction of the area kept by the random resized crop in training; 1: no random crop.
        transform: further augmentation of training crops, a class with the interface Transform; None: none.
        ratios: ratio of each split, for data sets without published splits.
        calibration: ratio of val that selects nothing, but calibrates `search.coverage` (see `divide_val`).
        gallery: split used as the gallery; `train` is the protocol of Lin et al. 2015.
        leaks: treatment of images, groups and items in several published splits (see `find_leaks`): `refuse` raises an
            error, `drop` removes the leaking rows from train and val, `report` logs the leaks and keeps exact copies.
        split_seed: random seed of the splits (and of the images of synthetic data sets).
        batch_size: number of images per batch; several processes divide each batch among themselves.
        workers: number of loader processes; 0: load in the main process.
        samples_per_epoch: number of images per epoch; None: all. Each epoch continues where the last one stopped.
        balanced: whether all categories are sampled equally often in training.
        item_pairs: follow each training image by another image of its item, or by another augmentation of itself.
        seed: random seed of order and augmentation.
        unseen: names or number of the categories to exclude from train and val; None: no category is excluded.
    """

    def __init__(
        self,
        source: Spec = "shop_street",
        root: str | None = None,
        corrections: str | Names | None = None,
        categories: Names | None = None,
        sources: Names | None = None,
        crop: Literal["annotated", "whole", "detected"] = "annotated",
        box_selector: BoxSelector = BoxSelector(),  # noqa: B008  frozen
        margin: float = 0.1,
        image_size: int = 64,
        train_image_size: PositiveInt | None = None,
        jitter: Annotated[float, Field(ge=0, lt=0.5)] = 0.08,
        min_crop_area: Annotated[float, Field(gt=0, le=1)] = 1.0,
        transform: Spec | None = None,
        ratios: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = RATIOS,
        calibration: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        gallery: Literal["gallery", "train"] = "gallery",
        leaks: Literal["refuse", "drop", "report"] = "refuse",
        split_seed: NonNegativeInt = 0,
        batch_size: PositiveInt = 64,
        workers: NonNegativeInt = 1,
        samples_per_epoch: PositiveInt | None = None,
        balanced: bool = False,
        item_pairs: bool = False,
        seed: NonNegativeInt = 0,
        unseen: PositiveInt | Names | None = None,
    ) -> None:
        super().__init__()
        if unseen is not None and (gallery == "train" or calibration):
            key, value = ("gallery", "gallery") if gallery == "train" else ("calibration", 0)
            raise ValueError(f"split.unseen={unseen}: not possible with split.{key}; set split.{key}={value}")
        self.source: Source = correct(open_dataset(source, root, split_seed, leaks == "report"), corrections)
        self.filters = {"category": categories, "source": sources}
        self.crop, self.box_selector, self.margin, self.image_size = crop, box_selector, margin, image_size
        self.detections: Detections | None = None  # see `with_detections`
        self.train_image_size, self.jitter, self.min_crop_area = train_image_size, jitter, min_crop_area
        self.ratios, self.calibration, self.gallery, self.leaks = dict(ratios), calibration, gallery, leaks
        self.batch_size, self.workers, self.pin_memory, self.ranks = batch_size, workers, False, Ranks()
        self.samples_per_epoch, self.balanced, self.item_pairs = samples_per_epoch, balanced, item_pairs
        self.split_seed, self.seed, self.unseen = split_seed, seed, unseen
        self.transform = None if transform is None else create(transform, Transform, {}, "data.transform")
        self.leak_reasons: dict[str, str] = {}

    @classmethod
    def from_folder(cls, folder: str | Path, **settings: Any) -> Self:
        """Open a folder of images with one subfolder per category, or a manifest (.csv or .parquet).

        Args:
            folder: folder or manifest.
            settings: other arguments of the constructor; `image_size` defaults to 224.
        """
        return cls("folder", str(folder), **{"image_size": 224} | settings)

    def with_detections(self, detections: Detections | None) -> Self:
        """Return a copy that uses these detections."""
        return self.replace(detections=detections)

    def pinned_for(self, device: torch.device) -> Self:
        """Return a copy that pins batch memory if `device` is a GPU; pinning initialises CUDA."""
        return self.replace(pin_memory=device.type == "cuda")

    def replace(self, **attributes: Any) -> Self:
        """Return a copy with other attribute values; other crops have other boxes, and no cached features."""
        other = copy(self)
        if attributes.keys() & {"crop", "box_selector", "detections"}:
            other.__dict__.pop("crop_boxes", None)
            other.__dict__.pop("features", None)
        other.__dict__.update(attributes)
        return other

    @cached_property
    def catalogue(self) -> Catalogue:
        """All rows after filtering, with a split each; see `assign_splits`."""
        garments, options = self.source.catalogue(self.filters), (self.unseen, self.leaks, self.gallery)
        rows, self.leak_reasons = assign_splits(garments, self.ratios, self.split_seed, *options)
        return rows

    @cached_property
    def checksum(self) -> str:
        """Checksum of the rows and splits, and of the image bytes if the images are files."""
        return self.catalogue.checksum + getattr(self.source, "checksum", "")

    @property
    def categories(self) -> list[str]:
        """Sorted names of the categories in the training data; label n is the position n."""
        if self.unseen is None:
            return self.catalogue.categories
        in_training = np.isin(self.catalogue.column("split").astype(str), TRAINING_SPLITS)
        return self.catalogue.take(np.flatnonzero(in_training)).categories

    @cached_property
    def labels(self) -> np.ndarray:
        """Label of each catalogue row, (N,) int64; -1: the category is not in the training data."""
        return self.catalogue.labels(self.categories)

    @cached_property
    def items(self) -> np.ndarray:
        """Item number of each catalogue row, (N,) int64; a row without an item has a unique number."""
        return factorize(self.catalogue.column("item"))

    @cached_property
    def features(self) -> Features | None:
        """Features that replace the images in all batches (see `cache_features`), or the vectors of the source."""
        vectors = uncorrected(self.source)
        if not isinstance(vectors, EmbeddingFiles):
            return None
        return Features(vectors.matrix, vectors.positions(self.catalogue.column("id"))[None])

    @property
    def has_images(self) -> bool:
        """False if the source has only vectors."""
        return not isinstance(uncorrected(self.source), EmbeddingFiles)

    @cached_property
    def crop_boxes(self) -> np.ndarray:
        """Crop box of each row, (N, 4) float32 xyxy; NaN: the whole image.

        Raises:
            ValueError: crop=detected without detections.
        """
        annotated = self.catalogue.boxes
        if self.crop != "detected":
            return annotated if self.crop == "annotated" else np.full_like(annotated, np.nan)
        if self.detections is None:
            raise ValueError("crop=detected: the data have no detections; pass detections to with_detections")
        return self.box_selector.select_boxes(self.detections, self.catalogue.column("image"), annotated)

    @property
    def undetected(self) -> np.ndarray:
        """Mark rows without a detected box, (N,) bool; all False unless crop=detected."""
        return (self.crop == "detected") & np.isnan(self.crop_boxes).any(axis=1)

    def garments(self, split: SplitName) -> Catalogue:
        """Return the catalogue rows of one split, with crop boxes as boxes; see `rows`."""
        rows = self.rows(split)
        return self.catalogue.take(rows).with_columns(**box_columns(self.crop_boxes[rows]))

    @property
    def skipped(self) -> dict[str, str]:
        """Skipped garments (unusable image or box, exact copy, or dropped leak): id -> reason."""
        return {**getattr(self.source, "skipped", {}), **self.leak_reasons}

    def rows(self, split: SplitName) -> np.ndarray:
        """Row numbers of one split, (n,) int64; `gallery` stands for the split used as the gallery.

        `calibration` is a part of val, which `val` then excludes. With crop.fallback=skip, garments without a detected
        box are dropped; rows of query and calibration are kept, but have no hits.

        Raises:
            ValueError: no garment has a detected box.
        """
        rows = self.all_rows(split)
        if self.box_selector.fallback == "whole" or split in ("query", CALIBRATION):
            return rows
        return self.box_selector.detected_rows(rows, self.undetected, self.gallery if split == "gallery" else split)

    def not_indexed(self, split: SplitName) -> Catalogue:
        """Return the garments of one split that were dropped because they have no detected box."""
        return self.catalogue.take(np.setdiff1d(self.all_rows(split), self.rows(split)))

    def all_rows(self, split: SplitName) -> np.ndarray:
        """Row numbers of one split as in `rows`, with and without a detected box, (n,) int64."""
        if split in ("val", CALIBRATION):
            return self._val_parts[split]
        return self.catalogue.rows(self.gallery if split == "gallery" else split)

    @cached_property
    def _val_parts(self) -> dict[str, np.ndarray]:
        """Rows of `val` and `calibration`, see `divide_val`."""
        return divide_val(self.catalogue, self.calibration, self.split_seed)

    def train_dataloader(self) -> DataLoader[Any]:
        """Build the loader of augmented training images, see `build_train_loader`."""
        return build_train_loader(self)

    def val_dataloader(self) -> DataLoader[Any]:
        return self.loader("val")

    def loader(self, split: SplitName, count: int | None = None) -> DataLoader[Any]:
        """Build the loader of one split's images, or of at most `count` evenly spaced ones, without augmentation."""
        rows = self.rows(split)
        return build_row_loader(self, rows if count is None else rows[evenly_spaced(len(rows), count)])
