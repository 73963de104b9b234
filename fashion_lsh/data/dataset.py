"""Rows of a catalogue as crops, augmented where they train."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fashion_lsh.data.crops import clamp, cut, jitter, random_part, stacked, widen
from fashion_lsh.data.datasets import Source
from fashion_lsh.data.sampler import EpochSampler


class Batch(NamedTuple):
    """images (B, 3, S, S) uint8; labels (B,) int64, positions in the list of categories; rows (B,) int64; items (B,)
    int64, equal where two rows show one item."""

    images: Tensor
    labels: Tensor
    rows: Tensor
    items: Tensor


@dataclass(frozen=True)
class Garments(Dataset[tuple[np.ndarray, int, int, int]]):
    """Crops by (row, epoch): what is drawn for a picture depends on these and the seed alone.

    Attributes:
        source: of the pictures; pictures: (N,) str, their keys.
        labels, items: (N,) int64; boxes: (N, 4) float32 xyxy, what is cut out, NaN: the whole picture.
        margin, size, jitter, least_area: see GarmentData.
        seed: what augmentation is drawn by; None: there is none.
    """

    source: Source
    pictures: np.ndarray
    labels: np.ndarray
    items: np.ndarray
    boxes: np.ndarray
    margin: float
    size: int
    jitter: float
    least_area: float
    seed: int | None

    def __getitem__(self, key: tuple[int, int]) -> tuple[np.ndarray, int, int, int]:
        """(row, epoch) -> ((S, S, 3) uint8, label, row, item)."""
        row, epoch = key
        picture, box = self.source.picture(self.pictures[row]), self.boxes[row]
        if self.seed is None:
            crop = cut(picture, box, self.margin, self.size)
        else:
            crop = self._augmented(picture, box, np.random.default_rng([self.seed, epoch, row]))
        return crop, int(self.labels[row]), row, int(self.items[row])

    def _augmented(self, picture: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Box moved and cut, mirrored half of the time, brightness and contrast changed."""
        height, width = picture.shape[:2]
        whole = np.isnan(box).any()
        region = np.array([0, 0, width, height], dtype=np.float32) if whole else clamp(box, width, height)
        region = np.clip(jitter(region, self.jitter, rng), 0, [width, height, width, height])
        region = clamp(widen(region, 0.0 if whole else self.margin), width, height)
        if self.least_area < 1:
            region = random_part(region, self.least_area, rng)
        crop = cut(picture, region, 0.0, self.size)
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        return relit(crop, rng)


def relit(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness and contrast changed.  (H, W, 3) uint8 -> the same."""
    contrast, brightness = rng.uniform(0.8, 1.25), rng.uniform(-24, 24)
    table = np.clip((np.arange(256) - 128) * contrast + 128 + brightness, 0, 255).astype(np.uint8)
    return table[picture]


def collate(samples: list[tuple[np.ndarray, int, int, int]]) -> Batch:
    """Samples to one batch."""
    crops, *numbers = zip(*samples, strict=True)
    return Batch(torch.from_numpy(stacked(crops)), *(torch.tensor(each) for each in numbers))


def batched(
    dataset: Dataset[Any],
    batch_size: int,
    order: EpochSampler | list[Any],
    workers: int,
    collate: Callable[[list[Any]], Any],
    pinned: bool,
    drop_last: bool = False,
) -> DataLoader[Any]:
    """Batches of a data set, of the keys that `order` gives; the processes that load it stay where it trains.

    `pinned`: in memory that a GPU copies from fast, which wakes it.
    """
    return DataLoader(
        dataset, batch_size, sampler=order, num_workers=workers, collate_fn=collate, drop_last=drop_last,
        pin_memory=pinned, worker_init_fn=_one_thread,
        persistent_workers=workers > 0 and isinstance(order, EpochSampler),
    )  # fmt: skip


def _one_thread(_worker: int) -> None:
    """Loading processes beside a training one: a thread each, or they fight over the cores."""
    torch.set_num_threads(1)
