"""Crop each garment of a catalogue to an image file."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.crops import clip_box, expand_box
from fashion_lsh.data.image_scan import ImageInfo, file_state
from fashion_lsh.data.schema import box_columns
from fashion_lsh.io.files import atomic_write
from fashion_lsh.io.progress import chunks, track

CROPS_FOLDER = "crops"
MARGIN = 0.25  # fraction of the box size added on each side, so that training can add a margin and jitter the box
MAX_SIDE = 320  # maximum length of a crop's longer side, in pixels
JPEG_QUALITY = 90
CHUNK = 500  # crops between two updates of the progress bar


class Cropped(NamedTuple):
    """Result of `crop_all`.

    Attributes:
        catalogue: Rows whose images are crops, with boxes relative to the crop.
        image_infos: Size, file signature and digest of the source image for each crop, by key.
        skipped: Reasons for garments that could not be cropped: id -> reason.
    """

    catalogue: Catalogue
    image_infos: dict[str, ImageInfo]
    skipped: dict[str, str]


def crop_all(
    catalogue: Catalogue, image_infos: Mapping[str, ImageInfo], load_image: Callable[[str], np.ndarray], root: Path
) -> Cropped:
    """Crop the main garments of a catalogue in parallel, and reuse existing crops.

    Args:
        catalogue: N rows; for a row without a box, the whole image is saved.
        image_infos: Scan result of each image (see `scan`), by key.
        load_image: Loads an image by key, (H, W, 3) uint8.
        root: Output folder. Crops are named `<CROPS_FOLDER>/<2 hex>/<16 hex>.jpg` by a hash of row id, image bytes and
            box.

    Raises:
        OSError: A crop cannot be written.
        ValueError: No garment could be cropped.
    """
    rows = catalogue.take(np.flatnonzero(catalogue.column("main")))
    ids, images, boxes = rows.column("id"), rows.column("image"), rows.boxes
    regions = [_crop_region(box, *image_infos[key][:2]) for box, key in zip(boxes, images, strict=True)]
    digests = [image_infos[key].digest for key in images]
    files = list(map(_crop_path, ids, digests, boxes))

    def crop_row(row: int) -> str:
        region, scale, _ = regions[row]
        return _crop_to_file(load_image, images[row], region, scale, root / files[row])

    reasons: list[str] = []
    with ThreadPoolExecutor() as pool:
        for chunk in track(chunks(range(len(rows)), CHUNK), "cropping garments", len(rows), len):
            reasons += pool.map(crop_row, chunk)
    crop_boxes = np.array([box for _, _, box in regions], dtype=np.float32).reshape(-1, 4)
    cropped = rows.with_columns(image=files, **box_columns(crop_boxes))
    cropped_rows = np.flatnonzero([not reason for reason in reasons])
    if not len(cropped_rows):
        raise ValueError(f"none of {len(rows):,} garments could be cropped; the first problem is: {reasons[0]}")
    sizes = [_crop_size(region, scale) for region, scale, _ in regions]
    crop_infos = {
        files[row]: ImageInfo(*sizes[row], digests[row], "", state=file_state(root / files[row]))
        for row in cropped_rows
    }
    return Cropped(
        cropped.take(cropped_rows), crop_infos, {ids[row]: reason for row, reason in enumerate(reasons) if reason}
    )


def _crop_to_file(
    load_image: Callable[[str], np.ndarray], image: str, region: np.ndarray, scale: float, target: Path
) -> str:
    """Write a crop unless its file exists; return the reason if the image cannot be read, otherwise an empty string."""
    if target.exists():
        return ""
    try:
        pixels = load_image(image)
    except ValueError as error:  # the image was removed or damaged after the scan
        return str(error)
    _save(pixels, region, scale, target)
    return ""


def _crop_region(box: np.ndarray, width: int, height: int) -> tuple[np.ndarray, float, np.ndarray]:
    """Return the crop region (4,) of a box (4,), the scale factor of the crop, and the box (4,) relative to the crop.

    For a NaN box, the region is the whole image and the relative box is NaN.
    """
    is_whole = np.isnan(box).any()
    region = (
        np.array([0, 0, width, height], np.float32) if is_whole else clip_box(expand_box(box, MARGIN), width, height)
    )
    region = np.concatenate([np.floor(region[:2]), np.ceil(region[2:])])
    scale = min(1.0, MAX_SIDE / max(region[2:] - region[:2]))
    return region, float(scale), (box - np.tile(region[:2], 2)) * np.float32(scale)


def _save(pixels: np.ndarray, region: np.ndarray, scale: float, target: Path) -> None:
    crop = Image.fromarray(pixels).crop(tuple(region.astype(int).tolist()))
    if scale < 1:
        crop = crop.resize(_crop_size(region, scale), Image.Resampling.BILINEAR)
    with atomic_write(target) as temporary:
        crop.save(temporary, "JPEG", quality=JPEG_QUALITY)


def _crop_size(region: np.ndarray, scale: float) -> tuple[int, int]:
    """Return width and height of a crop, in pixels."""
    width, height = (max(1, round(float(side) * scale)) for side in region[2:] - region[:2])
    return width, height


def _crop_path(name: str, digest: str, box: np.ndarray) -> str:
    """Return a path that is valid for any id and differs if the image bytes or the box differ."""
    digest = sha256(f"{name} {digest} {box.tolist()}".encode()).hexdigest()[:16]
    return f"{CROPS_FOLDER}/{digest[:2]}/{digest}.jpg"
