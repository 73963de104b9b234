"""Batches of backbone features instead of images, read from one matrix by arrays of row numbers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from fashion_lsh.data.dataset import Batch
from fashion_lsh.data.sampler import PARTNER_EPOCH_OFFSET, EpochSampler

if TYPE_CHECKING:
    from fashion_lsh.data.datamodule import GarmentData

EVALUATION_BATCH = 1024  # minimum batch size without training: features need little memory


@dataclass(frozen=True)
class Features:
    """Backbone features of catalogue rows.

    Attributes:
        matrix: (M, D) float16 or float32; may be memory-mapped.
        positions: (1 + V, N) int64 matrix row of each catalogue row: first without augmentation, then in each of V
            training views; -1: no features. Without training views, training also uses the first.
        columns: number of first values of a row that are the features; None: all.
        descriptors: image descriptors of the first rows of the matrix, which are those without augmentation:
            name -> (m, d) float32. Empty if there are no images.
    """

    matrix: np.ndarray
    positions: np.ndarray
    descriptors: Mapping[str, np.ndarray] = field(default_factory=dict)
    columns: int | None = None

    def take(self, keys: np.ndarray, augment: bool) -> np.ndarray:
        """Read features of keys (row, epoch), (B, 2) int64 -> (B, D) float32.

        With `augment`, epoch e uses view e mod V, and the partner of an item pair the next view.
        """
        rows, epochs = keys.T
        num_views = len(self.positions) - 1
        if augment and num_views:
            views = 1 + (epochs // PARTNER_EPOCH_OFFSET + epochs % PARTNER_EPOCH_OFFSET) % num_views
        else:
            views = np.zeros_like(rows)
        return self.matrix[self.positions[views, rows], : self.columns].astype(np.float32, copy=False)

    def take_descriptors(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Read the image descriptors of catalogue rows, (n,) int64: name -> (n, d) float32."""
        return {name: np.asarray(values[self.positions[0, rows]]) for name, values in self.descriptors.items()}


@dataclass(frozen=True)
class FeatureDataset(Dataset[Batch]):
    """Batches of features by keys (row, epoch), (B, 2) int64; see CropDataset for labels and items."""

    features: Features
    labels: np.ndarray
    items: np.ndarray
    augment: bool

    def __getitem__(self, keys: np.ndarray) -> Batch:
        rows = keys[:, 0]
        arrays = (self.features.take(keys, self.augment), self.labels[rows], rows, self.items[rows])
        return Batch(*map(torch.from_numpy, arrays))


class KeyBatches(Sampler[np.ndarray]):
    """Batches of keys (row, epoch), (B, 2) int64 each, in the order of an EpochSampler or of given rows.

    Args:
        order: sampler, or (n,) int64 rows.
        batch_size: number of keys per batch.
        drop_last: whether an incomplete last batch is dropped.
    """

    def __init__(self, order: EpochSampler | np.ndarray, batch_size: int, drop_last: bool = False) -> None:
        self.order, self.batch_size, self.drop_last = order, batch_size, drop_last

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; called by Lightning before each epoch."""
        if isinstance(self.order, EpochSampler):
            self.order.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.order) // self.batch_size if self.drop_last else -(-len(self.order) // self.batch_size)

    def __iter__(self) -> Iterator[np.ndarray]:
        order, size = self.order, self.batch_size
        keys = order.keys() if isinstance(order, EpochSampler) else np.stack([order, np.zeros_like(order)], axis=1)
        return (keys[start : start + size] for start in range(0, len(self) * size, size))


def build_feature_loader(
    features: Features,
    labels: np.ndarray,
    items: np.ndarray,
    order: EpochSampler | np.ndarray,
    batch_size: int,
    pin_memory: bool,
    drop_last: bool = False,
) -> DataLoader[Any]:
    """Build a DataLoader of training batches, if `order` is a sampler, or of evaluation batches of rows, (n,) int64.

    One array access per batch replaces the collation of single rows, so no loader processes are needed.
    """
    augment = isinstance(order, EpochSampler)
    batches = KeyBatches(order, batch_size if augment else max(batch_size, EVALUATION_BATCH), drop_last)
    dataset = FeatureDataset(features, labels, items, augment)
    return DataLoader(dataset, batch_size=None, sampler=batches, pin_memory=pin_memory)


def with_first_features(data: "GarmentData", length: int) -> "GarmentData":
    """Return a copy of the data with the first `length` values of each feature vector; the data if they have none."""
    return data if data.features is None else data.replace(features=replace(data.features, columns=length))
