"""Detected boxes, and selection of crop boxes from the detections."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from fashion_lsh.io.files import atomic_write
from fashion_lsh.io.progress import chunks, prefetch, track
from fashion_lsh.metrics.detection import MATCH_IOU, iou

SelectRule = Literal["given", "best", "largest", "all"]
BATCH_SIZE = 8  # images per detector call; the next batch is loaded during the call


class Boxes(NamedTuple):
    """Detected boxes in one image, by descending score.

    Attributes:
        xyxy: (n, 4) float32 corners in pixels, with the EXIF orientation applied.
        scores: (n,) float32 detection scores, 0..1.
        labels: (n,) int64 positions in the detector's list of classes.
    """

    xyxy: np.ndarray
    scores: np.ndarray
    labels: np.ndarray

    def filter(self, min_score: float, min_size: float) -> "Boxes":
        """Return the boxes with a score of at least `min_score` and a shorter side of at least `min_size` pixels."""
        sizes = self.xyxy[:, 2:] - self.xyxy[:, :2]
        is_kept = (self.scores >= min_score) & (sizes.min(axis=1, initial=np.inf) >= min_size)
        return Boxes(self.xyxy[is_kept], self.scores[is_kept], self.labels[is_kept])

    def top(self, count: int) -> "Boxes":
        """Return the `count` boxes with the highest scores."""
        return Boxes(self.xyxy[:count], self.scores[:count], self.labels[:count])


NO_BOXES = Boxes(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))


@dataclass(frozen=True)
class Detections:
    """Detected boxes by image key; an image without a detection has empty `Boxes`."""

    boxes: Mapping[str, Boxes]

    @classmethod
    def from_pairs(cls, detections: Iterable[tuple[str, Boxes]]) -> "Detections":
        """Build from (image key, boxes) pairs."""
        return cls(dict(detections))

    def save(self, path: str | Path) -> None:
        """Write a Parquet file with one row per image."""
        columns = {
            "image": list(self.boxes),
            "xyxy": [boxes.xyxy.ravel().tolist() for boxes in self.boxes.values()],
            "scores": [boxes.scores.tolist() for boxes in self.boxes.values()],
            "labels": [boxes.labels.tolist() for boxes in self.boxes.values()],
        }
        types = (pa.string(), pa.list_(pa.float32()), pa.list_(pa.float32()), pa.list_(pa.int64()))
        arrays = [pa.array(values, dtype) for values, dtype in zip(columns.values(), types, strict=True)]
        with atomic_write(path) as temporary:
            pq.write_table(pa.table(arrays, names=list(columns)), temporary)

    @classmethod
    def open(cls, path: str | Path) -> "Detections":
        """Read a file written by `save`.

        Raises:
            ValueError: the file is damaged, or not a detections file.
        """
        try:
            table = pq.read_table(path)
            columns = [table[name].to_pylist() for name in ("image", "xyxy", "scores", "labels")]
            return cls.from_pairs((image, _to_boxes(*fields)) for image, *fields in zip(*columns, strict=True))
        except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as error:
            raise ValueError(
                f"{path}: not a readable detections file ({error}); delete the file and run the train command again"
            ) from error


def _to_boxes(xyxy: Sequence[float], scores: Sequence[float], labels: Sequence[int]) -> Boxes:
    if not len(xyxy) == 4 * len(scores) == 4 * len(labels):
        raise ValueError(f"{len(xyxy)} coordinates, {len(scores)} scores and {len(labels)} labels in one image")
    return Boxes(np.array(xyxy, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(labels, np.int64))


class BoxDetector(Protocol):
    """Interface of a trained detector."""

    def detect(self, images: Sequence[np.ndarray]) -> list[Boxes]:
        """Detect garments in images, (H, W, 3) uint8 RGB each; return the boxes of each image."""
        ...


def detect_all(detector: BoxDetector, load_image: Callable[[str], np.ndarray], images: Sequence[str]) -> Detections:
    """Detect garments in all images.

    Args:
        detector: trained detector.
        load_image: loads an image, (H, W, 3) uint8 RGB, by key.
        images: image keys.
    """

    def detect_batches() -> Iterator[list[tuple[str, Boxes]]]:
        with ThreadPoolExecutor(2) as pool:
            for keys, pixels in zip(
                chunks(images, BATCH_SIZE), prefetch(pool, load_image, images, BATCH_SIZE), strict=True
            ):
                yield list(zip(keys, detector.detect(pixels), strict=True))

    batches = track(detect_batches(), "detecting garments", len(images), len)
    return Detections.from_pairs(pair for batch in batches for pair in batch)


@dataclass(frozen=True)
class BoxSelector:
    """Select the crop box of each garment from the detections of its image.

    Attributes:
        select: `given` selects the box with the highest IoU with the annotated box, if the IoU is at least MATCH_IOU.
            `best` selects the highest score, `largest` the largest area. `all` is like `given`, but all boxes of an
            unannotated image are added to the gallery. For catalogue rows without an annotation, `given` and `all`
            select the highest score.
        min_score: minimum score of a box.
        min_size: minimum length of a box's shorter side, in pixels.
        fallback: crop of a garment without a usable detection. `whole` uses the whole image. `skip` drops the garment;
            queries are kept, but have no hits.
    """

    select: SelectRule = "given"
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.3
    min_size: Annotated[float, Field(ge=1)] = 8.0
    fallback: Literal["whole", "skip"] = "whole"

    def select_boxes(self, detections: Detections, images: np.ndarray, annotated: np.ndarray) -> np.ndarray:
        """Select a box for each of N garments.

        Args:
            detections: detected boxes of all images.
            images: (N,) str image key of each garment.
            annotated: (N, 4) float32 xyxy annotated boxes; NaN: not annotated.

        Returns:
            (N, 4) float32 xyxy selected boxes; NaN: no box.
        """
        selected = np.full_like(annotated, np.nan)
        for row, image in enumerate(images):
            box = self.select_one(detections.boxes.get(image, NO_BOXES), annotated[row])
            selected[row] = np.nan if box is None else box
        return selected

    def select_one(self, detections: Boxes, annotated: np.ndarray) -> np.ndarray | None:
        """Select the box (4,) of a garment with the annotated box (4,); return None if there is no usable detection."""
        boxes = detections.filter(self.min_score, self.min_size)
        if not len(boxes.scores):
            return None
        if self.select in ("given", "all") and not np.isnan(annotated).any():
            ious = iou(annotated, boxes.xyxy)
            return boxes.xyxy[ious.argmax()] if ious.max() >= MATCH_IOU else None
        sizes = boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]
        criterion = sizes.prod(axis=1) if self.select == "largest" else boxes.scores
        return boxes.xyxy[criterion.argmax()]

    def detected_rows(self, rows: np.ndarray, undetected: np.ndarray, split: str) -> np.ndarray:
        """Drop the rows (n,) int64 of a split that are marked in `undetected`, (N,) bool.

        Raises:
            ValueError: no row is left.
        """
        detected = rows[~undetected[rows]]
        if not len(detected):
            raise ValueError(
                f"crop.min_score={self.min_score:g}: no detection in split {split!r}; lower crop.min_score, train the "
                "detector longer, or set crop.fallback=whole"
            )
        return detected

    def select_all(self, detections: Boxes, annotated: np.ndarray) -> np.ndarray:
        """Select the boxes (n, 4) of a gallery image with the annotated box (4,).

        n is 1, or with `all` the number of detected boxes. A single NaN box stands for the whole image. With n = 0, the
        image is skipped.
        """
        if self.select == "all" and np.isnan(annotated).any():
            boxes = detections.filter(self.min_score, self.min_size).xyxy
        else:
            box = self.select_one(detections, annotated)
            boxes = np.empty((0, 4), np.float32) if box is None else box[None]
        return np.full((1, 4), np.nan, np.float32) if not len(boxes) and self.fallback == "whole" else boxes
