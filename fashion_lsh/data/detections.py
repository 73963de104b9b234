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

from fashion_lsh.io.files import written
from fashion_lsh.io.progress import ahead, chunks, counted
from fashion_lsh.metrics.detection import SAME, overlap

Which = Literal["given", "best", "largest", "all"]
BATCH = 8  # pictures that are opened ahead, and looked at together


class Boxes(NamedTuple):
    """Boxes in one picture, the best score first.

    corners (n, 4) float32 xyxy in pixels of the upright picture; scores (n,) float32, 0..1; kinds (n,) int64, positions
    in the detector's list of classes.
    """

    corners: np.ndarray
    scores: np.ndarray
    kinds: np.ndarray

    def above(self, score: float, smallest: float) -> "Boxes":
        """Those with at least this score, and at least `smallest` pixels on their shorter side."""
        sides = self.corners[:, 2:] - self.corners[:, :2]
        kept = (self.scores >= score) & (sides.min(axis=1, initial=np.inf) >= smallest)
        return Boxes(self.corners[kept], self.scores[kept], self.kinds[kept])

    def first(self, count: int) -> "Boxes":
        """The best `count`."""
        return Boxes(self.corners[:count], self.scores[:count], self.kinds[:count])


NOTHING = Boxes(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))


@dataclass(frozen=True)
class Found:
    """The boxes of many pictures, by the key of the picture; a picture on which nothing was found has none."""

    boxes: Mapping[str, Boxes]

    @classmethod
    def of(cls, found: Iterable[tuple[str, Boxes]]) -> "Found":
        """From pairs of a picture's key and its boxes."""
        return cls(dict(found))

    def save(self, path: str | Path) -> None:
        """Write Parquet: one row a picture."""
        columns = {
            "picture": list(self.boxes),
            "corners": [boxes.corners.ravel().tolist() for boxes in self.boxes.values()],
            "scores": [boxes.scores.tolist() for boxes in self.boxes.values()],
            "kinds": [boxes.kinds.tolist() for boxes in self.boxes.values()],
        }
        types = (pa.string(), pa.list_(pa.float32()), pa.list_(pa.float32()), pa.list_(pa.int64()))
        arrays = [pa.array(values, kind) for values, kind in zip(columns.values(), types, strict=True)]
        with written(path) as draft:
            pq.write_table(pa.table(arrays, names=list(columns)), draft)

    @classmethod
    def open(cls, path: str | Path) -> "Found":
        """Read what `save` wrote.

        Raises:
            ValueError: the file is damaged, or something else.
        """
        try:
            table = pq.read_table(path)
            columns = [table[name].to_pylist() for name in ("picture", "corners", "scores", "kinds")]
            return cls.of((picture, _boxes(*told)) for picture, *told in zip(*columns, strict=True))
        except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as error:
            raise ValueError(
                f"{path} holds no boxes ({error}): remove it, and type the train.py command again"
            ) from error


def _boxes(corners: Sequence[float], scores: Sequence[float], kinds: Sequence[int]) -> Boxes:
    if not len(corners) == 4 * len(scores) == 4 * len(kinds):
        raise ValueError(f"{len(corners)} sides, {len(scores)} scores and {len(kinds)} classes in one picture")
    return Boxes(np.array(corners, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(kinds, np.int64))


class Finder(Protocol):
    """A fitted Detector, or anything with its face."""

    def find(self, pictures: Sequence[np.ndarray]) -> list[Boxes]: ...


def find_all(finder: Finder, opened: Callable[[str], np.ndarray], pictures: Sequence[str]) -> Found:
    """The boxes in pictures, by their keys, which `opened` gives the pixels of."""

    def looked_at() -> Iterator[list[tuple[str, Boxes]]]:
        with ThreadPoolExecutor(2) as pool:
            for keys, pixels in zip(chunks(pictures, BATCH), ahead(pool, opened, pictures, BATCH), strict=True):
                yield list(zip(keys, finder.find(pixels), strict=True))

    parts = counted(looked_at(), "finding garments", len(pictures), len)
    return Found.of(pair for part in parts for pair in part)


@dataclass(frozen=True)
class Choice:
    """Which box is cut out for a garment.

    Attributes:
        which: `given`: the one that overlaps the annotated box most, at least by SAME; `best`: of the greatest score;
            `largest`: of the greatest area; `all`: as `given`, and of pictures that are added, in which nothing is
            annotated, every one. A row of the data in which nothing is annotated takes the best of all.
        score: least score of a box that counts.
        smallest: least shorter side of a box that counts, in pixels.
        fallback: where no box is found: `whole` keeps the picture; `skip` leaves garments out that train or are
            searched, and those that ask find nothing.
    """

    which: Which
    score: Annotated[float, Field(ge=0, le=1)]
    smallest: Annotated[float, Field(ge=1)]
    fallback: Literal["whole", "skip"]

    def boxes(self, found: Found, pictures: np.ndarray, annotated: np.ndarray) -> np.ndarray:
        """The box for each of N garments; NaN: none was found.

        Args:
            found: in all pictures.
            pictures: (N,) str, keys.
            annotated: (N, 4) float32 xyxy, NaN: not known.

        Returns:
            (N, 4) float32 xyxy.
        """
        chosen = np.full_like(annotated, np.nan)
        for row, picture in enumerate(pictures):
            box = self.one(found.boxes.get(picture, NOTHING), annotated[row])
            chosen[row] = np.nan if box is None else box
        return chosen

    def one(self, found: Boxes, annotated: np.ndarray) -> np.ndarray | None:
        """The box (4,) for one garment, annotated (4,); None: none was found."""
        boxes = found.above(self.score, self.smallest)
        if not len(boxes.scores):
            return None
        if self.which in ("given", "all") and not np.isnan(annotated).any():
            shares = overlap(annotated, boxes.corners)
            return boxes.corners[shares.argmax()] if shares.max() >= SAME else None
        sides = boxes.corners[:, 2:] - boxes.corners[:, :2]
        measure = sides.prod(axis=1) if self.which == "largest" else boxes.scores
        return boxes.corners[measure.argmax()]

    def several(self, found: Boxes, annotated: np.ndarray) -> np.ndarray:
        """The boxes (n, 4) that a picture is filed by, annotated (4,): n is 1, or with `all` as many as were found; one
        of NaN: the whole picture; none: it is left out."""
        if self.which == "all" and np.isnan(annotated).any():
            boxes = found.above(self.score, self.smallest).corners
        else:
            box = self.one(found, annotated)
            boxes = np.empty((0, 4), np.float32) if box is None else box[None]
        return np.full((1, 4), np.nan, np.float32) if not len(boxes) and self.fallback == "whole" else boxes
