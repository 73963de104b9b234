"""Crop and encode image files, some at a time, for a gallery."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.detections import BoxSelector, BoxDetector
from fashion_lsh.data.images import ImageError, open_image
from fashion_lsh.data.schema import box_columns
from fashion_lsh.io.progress import prefetch, progress
from fashion_lsh.models.encoding import Encoded, Model, encode_crops

CHUNK = 2000  # images between two saves of the gallery
BATCH = 64  # images a forward pass


class Chunk(NamedTuple):
    """Some pictures: encoded (None: not one is readable), their rows, and why others are left out."""

    encoded: Encoded | None
    rows: Catalogue
    unreadable: dict[str, str]


@dataclass(frozen=True)
class Cropper:
    """Finds and cuts out as a run does."""

    model: Model
    detector: BoxDetector | None
    box_selector: BoxSelector

    def boxes(self, pictures: Sequence[np.ndarray], annotated: np.ndarray) -> list[np.ndarray]:
        """(n, 4) each: what is cut out of a picture; NaN: the whole of it; none: no garment was found in it."""
        if self.detector is None:
            return list(annotated[:, None])
        found = self.detector.detect(pictures) if pictures else []
        return [self.box_selector.select_all(*each) for each in zip(found, annotated, strict=True)]

    def crop_image(self, picture: np.ndarray, boxes: np.ndarray) -> list[np.ndarray]:
        """The crops, (S, S, 3) uint8 each.

        Raises:
            ValueError: there is no box, or one lies off the picture.
        """
        if not len(boxes):
            raise ValueError("no garment was found in it")
        return [crop_image(picture, box, self.model.margin, self.model.image_size) for box in boxes]


def encode_chunks(cropper: Cropper, catalogue: Catalogue, taken: set[str]) -> Iterator[Chunk]:
    """All pictures, some at a time; `taken`: ids that further garments of a picture cannot have."""
    total = len(catalogue)
    with ThreadPoolExecutor() as pool, progress("filing", total) as step:
        for start in range(0, total, CHUNK):
            yield _chunk(cropper, catalogue.take(np.arange(start, min(start + CHUNK, total))), taken, pool, step)


def _chunk(cropper: Cropper, rows: Catalogue, taken: set[str], pool: Executor, step: Callable[[int], None]) -> Chunk:
    """Encode some pictures, the next ones being opened meanwhile; `step` is told of each batch."""
    parts: list[Encoded] = []
    places: list[int] = []  # of each crop in `rows`
    boxes: list[np.ndarray] = []
    problems: dict[str, str] = {}
    paths, names, annotated = rows.column("image").tolist(), rows.column("id"), rows.boxes
    for start, batch in zip(count(0, BATCH), prefetch(pool, _opened, paths, BATCH), strict=False):
        problems |= {names[start + place]: reason for place, reason in enumerate(batch) if isinstance(reason, str)}
        good = [number for number, picture in enumerate(batch, start) if not isinstance(picture, str)]
        pictures = [picture for picture in batch if not isinstance(picture, str)]
        crops: list[np.ndarray] = []
        for number, picture, wanted in zip(good, pictures, cropper.boxes(pictures, annotated[good]), strict=True):
            try:
                crops += cropper.crop_image(picture, wanted)
            except ValueError as error:
                problems[names[number]] = str(error)
                continue
            places += [number] * len(wanted)
            boxes += list(wanted)
        if crops:
            parts.append(encode_crops(cropper.model, crops))
        step(len(batch))
    if not parts:
        return Chunk(None, rows.take(np.array([], dtype=np.int64)), problems)
    sides = box_columns(np.array(boxes, np.float32))
    filed = rows.take(np.array(places), _numbered(names[places], taken)).with_columns(**sides)
    return Chunk(Encoded.joined(parts), filed, problems)


def _numbered(names: Iterable[str], taken: set[str]) -> list[str]:
    """Ids for the garments of pictures: the second of a picture is `<id>#2`, or has the next number that is free."""
    numbered: list[str] = []
    before = ""
    for name in names:
        new = name if name != before else next(f"{name}#{n}" for n in count(2) if f"{name}#{n}" not in taken)
        taken.add(new)
        numbered.append(new)
        before = name
    return numbered


def _opened(path: str) -> np.ndarray | str:
    """The picture, or why there is none: it was fine when it was opened first."""
    try:
        return open_image(path)
    except ImageError as error:
        return str(error)
