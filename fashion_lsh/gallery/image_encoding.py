"""Crop and encode image files in chunks, to add them to a gallery."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.detections import BoxDetector, BoxSelector
from fashion_lsh.data.images import ImageError, open_image
from fashion_lsh.data.schema import box_columns
from fashion_lsh.io.progress import prefetch, progress
from fashion_lsh.models.encoding import Encoded, Model, encode_crops

CHUNK = 2000  # number of images between two saves of the gallery
BATCH = 64  # number of images per forward pass


class Chunk(NamedTuple):
    """Encoded garments of a chunk of images.

    Attributes:
        encoded: n encoded garments; None if no image was usable.
        rows: n catalogue rows of the garments.
        unreadable: id -> reason for each skipped image.
    """

    encoded: Encoded | None
    rows: Catalogue
    unreadable: dict[str, str]


@dataclass(frozen=True)
class Cropper:
    """Detect and crop garments with the settings of a run."""

    model: Model
    detector: BoxDetector | None
    box_selector: BoxSelector

    def boxes(self, images: Sequence[np.ndarray], annotated: np.ndarray) -> list[np.ndarray]:
        """Select the boxes to crop from each image, (n, 4) xyxy each.

        A NaN box selects the whole image; n = 0 if no garment was detected.

        Args:
            images: B images, (H, W, 3) uint8 each.
            annotated: (B, 4) float32 xyxy, NaN for an image without annotated box.
        """
        if self.detector is None:
            return list(annotated[:, None])
        detections = self.detector.detect(images) if images else []
        return [self.box_selector.select_all(*pair) for pair in zip(detections, annotated, strict=True)]

    def crop_image(self, image: np.ndarray, boxes: np.ndarray) -> list[np.ndarray]:
        """Crop boxes, (n, 4) xyxy, from an image, (H, W, 3) uint8 -> n crops, (S, S, 3) uint8 each.

        Raises:
            ValueError: n is 0, or a box lies outside the image.
        """
        if not len(boxes):
            raise ValueError("no garment detected")
        return [crop_image(image, box, self.model.margin, self.model.image_size) for box in boxes]


def encode_chunks(cropper: Cropper, catalogue: Catalogue, used_ids: set[str]) -> Iterator[Chunk]:
    """Encode all images of a catalogue in chunks.

    Args:
        cropper: model, detector and box selector.
        catalogue: one row per image, with its path.
        used_ids: ids in use. The new ids of the second and further garments of an image are added to this set.
    """
    total = len(catalogue)
    with ThreadPoolExecutor() as pool, progress("encoding images", total) as advance:
        for start in range(0, total, CHUNK):
            yield _encode_chunk(
                cropper, catalogue.take(np.arange(start, min(start + CHUNK, total))), used_ids, pool, advance
            )


def _encode_chunk(
    cropper: Cropper, rows: Catalogue, used_ids: set[str], pool: Executor, advance: Callable[[int], None]
) -> Chunk:
    """Encode the images of a chunk while the next batch is opened; call `advance` after each batch."""
    parts: list[Encoded] = []
    crop_rows: list[int] = []  # position in `rows` of each crop
    boxes: list[np.ndarray] = []
    skip_reasons: dict[str, str] = {}
    paths, ids, annotated = rows.column("image").tolist(), rows.column("id"), rows.boxes
    for start, batch in zip(count(0, BATCH), prefetch(pool, open_image_or_error, paths, BATCH), strict=False):
        skip_reasons |= {ids[row]: reason for row, reason in enumerate(batch, start) if isinstance(reason, str)}
        readable_rows = [row for row, image in enumerate(batch, start) if not isinstance(image, str)]
        images = [image for image in batch if not isinstance(image, str)]
        crops: list[np.ndarray] = []
        for row, image, image_boxes in zip(
            readable_rows, images, cropper.boxes(images, annotated[readable_rows]), strict=True
        ):
            try:
                crops += cropper.crop_image(image, image_boxes)
            except ValueError as error:
                skip_reasons[ids[row]] = str(error)
                continue
            crop_rows += [row] * len(image_boxes)
            boxes += list(image_boxes)
        if crops:
            parts.append(encode_crops(cropper.model, crops))
        advance(len(batch))
    if not parts:
        return Chunk(None, rows.take(np.array([], dtype=np.int64)), skip_reasons)
    coordinates = box_columns(np.array(boxes, np.float32))
    cropped_rows = rows.take(np.array(crop_rows), _unique_ids(ids[crop_rows], used_ids)).with_columns(**coordinates)
    return Chunk(Encoded.concatenate(parts), cropped_rows, skip_reasons)


def _unique_ids(ids: Iterable[str], used_ids: set[str]) -> list[str]:
    """Make ids of garments unique: the second garment of an image gets `<id>#2`, or the next free number."""
    unique_ids: list[str] = []
    previous = ""
    for name in ids:
        new_id = name if name != previous else next(f"{name}#{n}" for n in count(2) if f"{name}#{n}" not in used_ids)
        used_ids.add(new_id)
        unique_ids.append(new_id)
        previous = name
    return unique_ids


def open_image_or_error(path: str) -> np.ndarray | str:
    """Open an image, or return the error message if the file changed after the scan and can no longer be opened."""
    try:
        return open_image(path)
    except ImageError as error:
        return str(error)
