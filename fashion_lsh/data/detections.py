"""What a detector finds in pictures, and which of it is a garment's crop."""

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
BATCH_SIZE = 8  # pictures that are opened ahead, and looked at together


class Boxes(NamedTuple):
    """Boxes in one picture, the best score first.

    corners (n, 4) float32 xyxy in pixels of the upright picture; scores (n,) float32, 0..1; kinds (n,) int64, positions
    in the detector's list of classes.
    """

    xyxy: np.ndarray
    scores: np.ndarray
    labels: np.ndarray

    def filter(self, min_score: float, min_size: float) -> "Boxes":
        """Those with at least this score, and at least `min_size` pixels on their shorter side."""
        sizes = self.xyxy[:, 2:] - self.xyxy[:, :2]
        kept = (self.scores >= min_score) & (sizes.min(axis=1, initial=np.inf) >= min_size)
        return Boxes(self.xyxy[kept], self.scores[kept], self.labels[kept])

    def top(self, count: int) -> "Boxes":
        """The best `count`."""
        return Boxes(self.xyxy[:count], self.scores[:count], self.labels[:count])


NO_BOXES = Boxes(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))


@dataclass(frozen=True)
class Detections:
    """The boxes of many pictures, by the key of the picture; a picture on which nothing was found has none."""

    boxes: Mapping[str, Boxes]

    @classmethod
    def from_pairs(cls, detections: Iterable[tuple[str, Boxes]]) -> "Detections":
        """From pairs of a picture's key and its boxes."""
        return cls(dict(detections))

    def save(self, path: str | Path) -> None:
        """Write Parquet: one row a picture."""
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
        """Read what `save` wrote.

        Raises:
            ValueError: the file is damaged, or something else.
        """
        try:
            table = pq.read_table(path)
            columns = [table[name].to_pylist() for name in ("image", "xyxy", "scores", "labels")]
            return cls.from_pairs((image, _to_boxes(*fields)) for image, *fields in zip(*columns, strict=True))
        except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as error:
            raise ValueError(
                f"{path} holds no boxes ({error}): remove it, and type the train.py command again"
            ) from error


def _to_boxes(xyxy: Sequence[float], scores: Sequence[float], labels: Sequence[int]) -> Boxes:
    if not len(xyxy) == 4 * len(scores) == 4 * len(labels):
        raise ValueError(f"{len(xyxy)} sides, {len(scores)} scores and {len(labels)} classes in one picture")
    return Boxes(np.array(xyxy, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(labels, np.int64))


class BoxDetector(Protocol):
    """A fitted Detector, or anything with its face."""

    def detect(self, images: Sequence[np.ndarray]) -> list[Boxes]:
        """Boxes of each image, (H, W, 3) uint8 RGB each."""
        ...


def detect_all(detector: BoxDetector, load_image: Callable[[str], np.ndarray], images: Sequence[str]) -> Detections:
    """Detect the boxes of images, given by key; `load_image` returns the pixels of one, (H, W, 3) uint8 RGB."""

    def detect_batches() -> Iterator[list[tuple[str, Boxes]]]:
        with ThreadPoolExecutor(2) as pool:
            for keys, pixels in zip(
                chunks(images, BATCH_SIZE), prefetch(pool, load_image, images, BATCH_SIZE), strict=True
            ):
                yield list(zip(keys, detector.detect(pixels), strict=True))

    batches = track(detect_batches(), "finding garments", len(images), len)
    return Detections.from_pairs(pair for batch in batches for pair in batch)


@dataclass(frozen=True)
class BoxSelector:
    """Which box is cut out for a garment.

    Attributes:
        select: `given`: the one that overlaps the annotated box most, at least by MATCH_IOU; `best`: of the best score;
            `largest`: of the greatest area; `all`: as `given`, and of pictures that are added, in which nothing is
            annotated, every one. A row of the data in which nothing is annotated takes the best of all.
        min_score: least score of a box that counts.
        min_size: least shorter side of a box that counts, in pixels.
        fallback: where no box is found: `whole` keeps the picture; `skip` leaves garments out that train or are
            searched, and those that ask find nothing.
    """

    select: SelectRule
    min_score: Annotated[float, Field(ge=0, le=1)]
    min_size: Annotated[float, Field(ge=1)]
    fallback: Literal["whole", "skip"]

    def select_boxes(self, detections: Detections, images: np.ndarray, annotated: np.ndarray) -> np.ndarray:
        """The box for each of N garments; NaN: none was found.

        Args:
            detections: in all pictures.
            images: (N,) str, keys.
            annotated: (N, 4) float32 xyxy, NaN: not known.

        Returns:
            (N, 4) float32 xyxy.
        """
        chosen = np.full_like(annotated, np.nan)
        for row, image in enumerate(images):
            box = self.select_one(detections.boxes.get(image, NO_BOXES), annotated[row])
            chosen[row] = np.nan if box is None else box
        return chosen

    def select_one(self, detections: Boxes, annotated: np.ndarray) -> np.ndarray | None:
        """The box (4,) for one garment, annotated (4,); None: none was found."""
        boxes = detections.filter(self.min_score, self.min_size)
        if not len(boxes.scores):
            return None
        if self.select in ("given", "all") and not np.isnan(annotated).any():
            ious = iou(annotated, boxes.xyxy)
            return boxes.xyxy[ious.argmax()] if ious.max() >= MATCH_IOU else None
        sizes = boxes.xyxy[:, 2:] - boxes.xyxy[:, :2]
        criterion = sizes.prod(axis=1) if self.select == "largest" else boxes.scores
        return boxes.xyxy[criterion.argmax()]

    def select_all(self, detections: Boxes, annotated: np.ndarray) -> np.ndarray:
        """The boxes (n, 4) that a picture is filed by, annotated (4,): n is 1, or with `all` as many as were found; one
        of NaN: the whole picture; none: it is left out."""
        if self.select == "all" and np.isnan(annotated).any():
            boxes = detections.filter(self.min_score, self.min_size).xyxy
        else:
            box = self.select_one(detections, annotated)
            boxes = np.empty((0, 4), np.float32) if box is None else box[None]
        return np.full((1, 4), np.nan, np.float32) if not len(boxes) and self.fallback == "whole" else boxes
