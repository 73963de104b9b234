"""DataLoaders of GarmentData: crops of images, or features."""

from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import DataLoader

from fashion_lsh.data.dataset import CropDataset, build_dataloader, collate
from fashion_lsh.data.features import build_feature_loader
from fashion_lsh.data.sampler import EpochSampler

if TYPE_CHECKING:
    from fashion_lsh.data.datamodule import GarmentData


def build_train_loader(data: "GarmentData") -> DataLoader[Any]:
    """Build the loader of augmented training images, or of their features.

    Raises:
        ValueError: `item_pairs` is True, and the batch size is odd or below 4; or the batch size cannot be divided
            among the ranks.
    """
    data.ranks.check_batch_size(data.batch_size, "data.batch_size")
    if data.item_pairs:
        check_item_pairs(data, data.batch_size, "data.batch_size")
    rows = data.rows("train")
    labels, items = data.labels[rows] if data.balanced else None, data.items[rows] if data.item_pairs else None
    sampler = EpochSampler(rows, data.seed, data.samples_per_epoch, labels, items)
    drop_last = len(sampler) > data.batch_size
    if data.features is not None:
        return build_feature_loader(
            data.features, data.labels, data.items, sampler, data.batch_size, data.pin_memory, drop_last
        )
    return _build_crop_loader(data, sampler, augment=True, drop_last=drop_last)


def check_item_pairs(data: "GarmentData", batch_size: int, key: str) -> None:
    """Check before training that batches of `batch_size` images, the value of `key`, can contain item pairs.

    Raises:
        ValueError: the batch size is odd or below 4, or the data are vectors and no item has two of them in train.
    """
    if batch_size < 4 or batch_size % 2:
        raise ValueError(f"{key}={batch_size}: item pairs need an even batch size of at least 4")
    _, counts = np.unique(data.items[data.rows("train")], return_counts=True)
    if not data.has_images and counts.max(initial=0) < 2:
        raise ValueError(
            "data=embeddings: pairs of vectors of one item are needed, but no item has two vectors in train; add the "
            "column item to the data, or set hash=softmax hash.embedding=pca"
        )


def build_row_loader(data: "GarmentData", rows: np.ndarray) -> DataLoader[Any]:
    """Build the loader of catalogue rows, (n,) int64, without augmentation."""
    if data.features is not None:
        return build_feature_loader(data.features, data.labels, data.items, rows, data.batch_size, data.pin_memory)
    return build_image_loader(data, rows)


def build_image_loader(data: "GarmentData", rows: np.ndarray, epoch: int | None = None) -> DataLoader[Any]:
    """Build the loader of the images of catalogue rows, (n,) int64; with the augmentation of `epoch`, if passed."""
    return _build_crop_loader(data, [(int(row), epoch or 0) for row in rows], augment=epoch is not None)


def _build_crop_loader(
    data: "GarmentData", keys: EpochSampler | list[Any], augment: bool, drop_last: bool = False
) -> DataLoader[Any]:
    crops = CropDataset(
        data.source, data.catalogue.column("image"), data.labels, data.items, data.crop_boxes, data.margin,
        (augment and data.train_image_size) or data.image_size, data.jitter, data.min_crop_area,
        data.seed if augment else None, data.transform,
    )  # fmt: skip
    return build_dataloader(crops, data.batch_size, keys, data.workers, collate, data.pin_memory, drop_last, data.ranks)
