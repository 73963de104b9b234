"""Encode each image once with a frozen backbone, and cache features and image descriptors in memory-mapped files."""

import hashlib
import json
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fashion_lsh.data.features import Features
from fashion_lsh.data.loaders import build_image_loader
from fashion_lsh.io.files import atomic_write, check_disk_space, folder_lock
from fashion_lsh.io.progress import track
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.models.descriptors import DESCRIPTORS
from fashion_lsh.models.memory_format import use_inference_format

if TYPE_CHECKING:  # importing a network must not import Lightning
    from fashion_lsh.data.datamodule import GarmentData, SplitName

log = logging.getLogger(__name__)

Part = tuple[np.ndarray, int | None]  # catalogue rows, (n,) int64, and epoch of their augmentation; None: none
SPLITS: tuple["SplitName", ...] = ("train", "val", "calibration", "query", "gallery")
FORMAT = 1  # raised when the content of the files changes


def cache_features(
    model: CropModel, data: "GarmentData", folder: Path, views: int = 1, code: Any = None
) -> "GarmentData":
    """Return a copy of the data whose batches contain the features of all images.

    The features are read from `folder`, or computed once and saved there. The files are named by a hash of backbone and
    weights, image size, crops, and the checksum of the data, so that all runs with these settings share them.

    Args:
        model: network with a frozen backbone.
        data: data module with images.
        folder: folder of the cache.
        views: 1: each image once, without augmentation. n > 1: also n augmented views of each training image, those of
            the first n epochs; epoch e trains on view e mod n.
        code: further values that the features depend on, such as versions of code; plain values.

    Raises:
        ValueError: the backbone is not frozen, or views is below 1.
        OSError: the disk space does not suffice.
    """
    if not model.frozen or views < 1:
        raise ValueError(f"frozen={model.frozen}, views={views}: only features of a frozen backbone are fixed, and at "
                         "least one view is needed; set backbone.frozen=true, or backbone.cached_views=0")  # fmt: skip
    train_rows = data.rows("train") if views > 1 else np.empty(0, np.int64)
    num_views = views if views > 1 else 0
    rows = np.unique(np.concatenate([data.rows(split) for split in SPLITS]))
    positions = np.full((1 + num_views, len(data.catalogue)), -1)
    positions[0, rows] = np.arange(len(rows))
    for view in range(num_views):
        positions[1 + view, train_rows] = len(rows) + view * len(train_rows) + np.arange(len(train_rows))
    cache = folder / f"{model.backbone.name.replace('/', '-')}-{_key(model, data, rows, num_views, code)}"
    names = ["features", *DESCRIPTORS]
    with folder_lock(cache, wait=True):  # another process may encode the same images
        if not all((cache / f"{name}.npy").exists() for name in names):
            parts = [(rows, None), *((train_rows, view) for view in range(num_views))]
            _write(model, data, cache, len(rows) + num_views * len(train_rows), parts)
        else:
            log.info("Reading the features of %s images from %s", f"{len(rows):,}", cache)
    matrix, *descriptors = (np.load(cache / f"{name}.npy", mmap_mode="r") for name in names)
    return data.replace(features=Features(matrix, positions, dict(zip(DESCRIPTORS, descriptors, strict=True))))


def cached_views(setting: int | str, data: "GarmentData", needs_item_pairs: bool = False) -> int:
    """Number of views to cache for the setting `backbone.cached_views`; 0: encode the images in each epoch.

    `auto` selects 1, or 2 if pairs are needed (`needs_item_pairs`) and a training item has one image; but 0 if the
    data have a stronger augmentation than shifts, flips, brightness and contrast. The log names the reason.

    Raises:
        ValueError: one view with `needs_item_pairs`, but an item of the training images has one image.
    """
    augmentations = {"data.transform": data.transform is not None, "data.min_crop_area": data.min_crop_area < 1}
    used = [name for name, is_used in augmentations.items() if is_used]
    if setting == "auto" and used:
        log.info("backbone.cached_views=auto: %s needs new images in each epoch; set a number of views to encode the "
                 "images once", " and ".join(used))  # fmt: skip
        return 0
    items = data.items[data.rows("train")]
    needs_views = needs_item_pairs and bool((np.unique(items, return_counts=True)[1] == 1).any())
    views = (2 if needs_views else 1) if setting == "auto" else int(setting)
    if views == 1 and needs_views:
        raise ValueError("backbone.cached_views=1: pairs of images need two views of an item with one image; set "
                         "backbone.cached_views=2")  # fmt: skip
    if views == 1:
        log.info(
            "backbone.cached_views=1: frozen backbone, trained without augmentation (data.jitter, flips, brightness)"
        )
    return views


def _write(model: CropModel, data: "GarmentData", cache: Path, num_images: int, parts: Sequence[Part]) -> None:
    """Encode the images of all parts to one matrix; compute the image descriptors of the first part."""
    num_rows = len(parts[0][0])
    shapes = {"features": (num_images, model.backbone.feature_dim)}
    shapes |= {
        name: (num_rows, compute(torch.zeros(1, 3, 8, 8, dtype=torch.uint8)).shape[1])
        for name, compute in DESCRIPTORS.items()
    }
    log.info("Encoding %s images once with the frozen backbone, to %s", f"{num_images:,}", cache)
    cache.mkdir(parents=True, exist_ok=True)
    check_disk_space(cache, sum(4 * rows * width for rows, width in shapes.values()))
    use_inference_format(model.backbone)
    pinned = data.pinned_for(model.device)
    loaders = [build_image_loader(pinned, rows, epoch) for rows, epoch in parts]
    images = (batch.images for loader in loaders for batch in loader)
    with ExitStack() as stack:
        arrays = {
            name: np.lib.format.open_memmap(
                stack.enter_context(atomic_write(cache / f"{name}.npy")), "w+", np.float32, shape
            )
            for name, shape in shapes.items()
        }
        start = 0
        for batch in track(images, "encoding images", num_images, len):
            end = start + len(batch)
            arrays["features"][start:end] = _encode(model, batch)
            for name, compute in DESCRIPTORS.items() if end <= num_rows else ():
                arrays[name][start:end] = compute(batch).numpy()
            start = end
        for array in arrays.values():
            array.flush()


@torch.inference_mode()
def _encode(model: CropModel, images: torch.Tensor) -> np.ndarray:
    """Features of crops in evaluation mode.  (B, 3, S, S) uint8 -> (B, feature_dim) float32."""
    model.backbone.eval()
    return model.backbone(images.to(model.device)).cpu().numpy()


def _key(model: CropModel, data: "GarmentData", rows: np.ndarray, num_views: int, code: Any) -> str:
    """Hash of all settings that determine the features, 16 hex digits."""
    settings: dict[str, Any] = {
        "format": FORMAT, "data": data.checksum, "backbone": model.backbone.name,
        "length": model.backbone.feature_dim, "margin": data.margin, "image_size": data.image_size, "code": code,
        "views": num_views,
    }  # fmt: skip
    if num_views:
        names = ("seed", "train_image_size", "jitter", "min_crop_area")
        settings |= {name: getattr(data, name) for name in names}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(data.crop_boxes[rows].tobytes())
    digest.update(rows.tobytes())
    for name, value in sorted(model.backbone.state_dict().items()):
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
