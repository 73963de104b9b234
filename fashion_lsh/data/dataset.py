"""PyTorch dataset of garment crops, with augmentation for training."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from fashion_lsh.data.crops import clip_box, crop_image, expand_box, jitter, random_crop_box, to_batch
from fashion_lsh.data.datasets import Source
from fashion_lsh.data.ranks import RankBatches, Ranks
from fashion_lsh.data.sampler import EpochSampler

log = logging.getLogger(__name__)


class Batch(NamedTuple):
    """Batch of B crops.

    Attributes:
        images: (B, 3, S, S) uint8 RGB crops, or (B, D) float32 features of a frozen backbone.
        labels: (B,) int64 positions in the list of categories; -1: the category is not in the training data.
        rows: (B,) int64 catalogue rows.
        items: (B,) int64 item numbers, equal for rows of the same item.
    """

    images: Tensor
    labels: Tensor
    rows: Tensor
    items: Tensor


@runtime_checkable
class Transform(Protocol):
    """Interface of a user's own augmentation of training crops."""

    def __call__(self, crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Augment a crop, (S, S, 3) uint8 RGB, with random draws from `rng` only; return the same shape and dtype."""
        ...


@dataclass(frozen=True)
class CropDataset(Dataset[tuple[np.ndarray, int, int, int]]):
    """Crops by key (row, epoch); augmentation depends only on seed, epoch and row.

    Attributes:
        source: data set of the images.
        image_keys: (N,) str image key of each catalogue row.
        labels: (N,) int64 label of each row.
        items: (N,) int64 item number of each row.
        boxes: (N, 4) float32 xyxy crop box of each row; NaN: the whole image.
        margin: fraction of the box size added on each side of a crop.
        size: side of a crop in pixels.
        jitter: maximum shift of each side of a training crop, as a fraction of the width or height.
        min_crop_area: minimum fraction of the area kept by the random resized crop.
        seed: random seed of the augmentation; None: no augmentation.
        transform: further augmentation.
    """

    source: Source
    image_keys: np.ndarray
    labels: np.ndarray
    items: np.ndarray
    boxes: np.ndarray
    margin: float
    size: int
    jitter: float
    min_crop_area: float
    seed: int | None
    transform: Transform | None = None

    def __getitem__(self, key: tuple[int, int]) -> tuple[np.ndarray, int, int, int]:
        """Load the crop of a key (row, epoch): (S, S, 3) uint8 RGB, label, row and item number."""
        row, epoch = key
        image, box = self.source.image(self.image_keys[row]), self.boxes[row]
        if self.seed is None:
            crop = crop_image(image, box, self.margin, self.size)
        else:
            crop = self._augment(image, box, np.random.default_rng([self.seed, epoch, row]))
        return crop, int(self.labels[row]), row, int(self.items[row])

    def _augment(self, image: np.ndarray, box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Jitter the box, crop randomly, flip with probability 0.5, and jitter brightness and contrast."""
        height, width = image.shape[:2]
        is_whole = np.isnan(box).any()
        region = np.array([0, 0, width, height], dtype=np.float32) if is_whole else clip_box(box, width, height)
        region = np.clip(jitter(region, self.jitter, rng), 0, [width, height, width, height])
        region = clip_box(expand_box(region, 0.0 if is_whole else self.margin), width, height)
        if self.min_crop_area < 1:
            region = random_crop_box(region, self.min_crop_area, rng)
        crop = crop_image(image, region, 0.0, self.size)
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
        crop = jitter_brightness_contrast(crop, rng)
        return crop if self.transform is None else self.transform(crop, rng)


def jitter_brightness_contrast(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change brightness and contrast at random.  (H, W, 3) uint8 -> (H, W, 3) uint8."""
    contrast, brightness = rng.uniform(0.8, 1.25), rng.uniform(-24, 24)
    lookup = np.clip((np.arange(256) - 128) * contrast + 128 + brightness, 0, 255).astype(np.uint8)
    return lookup[image]


def collate(samples: list[tuple[np.ndarray, int, int, int]]) -> Batch:
    """Stack B samples of CropDataset into a batch."""
    crops, labels, rows, items = zip(*samples, strict=True)
    return Batch(torch.from_numpy(to_batch(crops)), torch.tensor(labels), torch.tensor(rows), torch.tensor(items))


# texts of PyTorch's errors about loader processes that lack shared memory, or that the system ended
WORKER_FAILURES = ("shared memory", "shm_open", "bus error", "killed by signal", "exited unexpectedly")


class CropLoader(DataLoader[Any]):
    """DataLoader that names the setting which helps if its worker processes fail.

    Args:
        options: arguments of DataLoader.
        workers_key: config key of the number of workers, for the error.

    Raises:
        RuntimeError: a worker cannot allocate shared memory, or was ended by the system.
    """

    def __init__(self, *options: Any, workers_key: str = "data.workers", **named_options: Any) -> None:
        super().__init__(*options, **named_options)
        self.workers_key = workers_key

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        try:
            yield from super().__iter__()
        except (RuntimeError, OSError) as error:
            if not self.num_workers or not any(text in str(error).lower() for text in WORKER_FAILURES):
                raise
            reason = str(error).strip().splitlines()[-1]
            raise RuntimeError(
                f"{self.workers_key}={self.num_workers}: a loader process failed, often for lack of shared memory "
                f"(/dev/shm) or memory; set {self.workers_key}=0, or enlarge /dev/shm. PyTorch: {reason}"
            ) from error


def build_dataloader(
    dataset: Dataset[Any],
    batch_size: int,
    sampler: EpochSampler | list[Any],
    workers: int,
    collate: Callable[[list[Any]], Any],
    pin_memory: bool,
    drop_last: bool = False,
    ranks: Ranks = Ranks(),  # noqa: B008  immutable
    workers_key: str = "data.workers",
) -> DataLoader[Any]:
    """Build a DataLoader of all batches, or of the parts of one rank if there are several (see RankBatches).

    Workers persist between epochs if `sampler` is an EpochSampler. `pin_memory` allocates batches in page-locked
    memory, which initialises CUDA.
    """
    options: dict[str, Any] = {"batch_size": batch_size, "sampler": sampler, "drop_last": drop_last}
    if ranks.size > 1:
        options = {"batch_sampler": (batches := RankBatches(sampler, batch_size, ranks))}
        if ranks.rank == 0 and batches.is_training and batches.num_dropped:
            log.info("%d of %d images per epoch are dropped: they do not fill a global batch of %d",
                     batches.num_dropped, len(sampler), batch_size)  # fmt: skip
    return CropLoader(
        dataset, num_workers=workers, collate_fn=collate, pin_memory=pin_memory, worker_init_fn=_use_one_thread,
        persistent_workers=workers > 0 and isinstance(sampler, EpochSampler), workers_key=workers_key, **options,
    )  # fmt: skip


def _use_one_thread(_worker: int) -> None:
    """Limit a loader process to one thread, so that loader processes and training do not compete for cores."""
    torch.set_num_threads(1)
