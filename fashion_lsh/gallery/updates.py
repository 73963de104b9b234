"""Further pictures into the gallery of a finished run, and out of it again."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from typing import NamedTuple

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.crops import cut
from fashion_lsh.data.datasets.folder import Folder
from fashion_lsh.data.detections import Choice
from fashion_lsh.data.images import PictureError, open_picture
from fashion_lsh.data.schema import BOX, sides_of
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.io.files import alone
from fashion_lsh.io.progress import ahead, progress
from fashion_lsh.models.detector import Detector
from fashion_lsh.models.encoding import Encoded, Model, encode_crops
from fashion_lsh.runs.run import Run

CHUNK = 2000  # pictures between two saves of the gallery
BATCH = 64  # pictures a forward
MOST_SEGMENTS, MOST_HOLES = 8, 0.2  # of the embeddings: beyond, they are put in order


class Added(NamedTuple):
    """What became of pictures: how many were filed now, how many had been before, and why others were not."""

    filed: int
    before: int
    skipped: dict[str, str]


class Chunk(NamedTuple):
    """Some pictures: encoded (None: not one is readable), their rows, and why others are left out."""

    encoded: Encoded | None
    rows: Catalogue
    unreadable: dict[str, str]


def add(run: Run, root: str) -> Added:
    """Crop, classify, encode and file pictures, some at a time; the gallery on disk is whole at any moment.

    Args:
        run: finished; its model and its way of cropping are taken.
        root: a folder or manifest (see Folder); pictures without a category are filed as `unknown`. An addition that
            was stopped goes on when it is asked for again.

    Raises:
        FileNotFoundError: the run has no gallery, or there is no such folder or file.
        ValueError: an id is in the gallery already (nothing is added then), no picture is of use, or another process
            has the run.
    """
    model = run.model()
    fingerprint = model.fingerprint()
    with alone(run.path):
        gallery = run.gallery(fingerprint)
        source = Folder(root, unlabelled=True)
        listed = source.catalogue()
        name = sha256(str(source.root.resolve()).encode()).hexdigest()[:16]  # its pictures may change in between
        catalogue = _spelt(_absolute(listed, source, crop=run.config["data"]["crop"]), gallery.catalogue)
        cropper = Cropper(model, run.detector(), run.choice)
        left = _left(catalogue, gallery, begun=name in gallery.adding)
        run.add_skipped(source.skipped)
        filed, skipped = 0, dict(source.skipped)
        taken = {*catalogue.column("id"), *gallery.catalogue.column("id")}
        for chunk in _chunks(cropper, left, taken):
            run.add_skipped(chunk.unreadable)
            skipped |= chunk.unreadable
            if chunk.encoded is not None:
                gallery.add(chunk.encoded, chunk.rows)
                filed += len(chunk.rows)
            gallery.adding |= {name}
            gallery.save(run.gallery_folder)
            gallery = run.gallery(fingerprint)  # embeddings mapped: what is saved is not written again
        gallery.adding -= {name}
        _save_tidy(run, gallery, fingerprint)
    return Added(filed, len(catalogue) - len(left), skipped)


def remove(run: Run, ids: Sequence[str]) -> None:
    """Take garments out of the gallery.

    Raises:
        FileNotFoundError: the run has no gallery.
        ValueError: an id is not in it, or another process has the run; nothing was removed then.
    """
    with alone(run.path):
        fingerprint = run.model().fingerprint()
        gallery = run.gallery(fingerprint)
        gallery.remove(np.array(ids, dtype=str))
        _save_tidy(run, gallery, fingerprint)


def _save_tidy(run: Run, gallery: Gallery, fingerprint: str) -> None:
    """Save; then put the embeddings in order where they lie in too many pieces or hold too many holes.

    They are held to their checksums first: what is damaged must not get a new one.
    """
    gallery.save(run.gallery_folder)
    if len(gallery.embeddings.segments) > MOST_SEGMENTS or gallery.holes > MOST_HOLES * len(gallery.embeddings):
        tidied = run.gallery(fingerprint, verify=True)
        tidied.compact()
        tidied.save(run.gallery_folder)


def _spelt(catalogue: Catalogue, filed: Catalogue) -> Catalogue:
    """Categories in the spelling that the gallery has of them."""
    known = {name.casefold(): name for name in filed.categories}
    return catalogue.having(category=[known.get(name.casefold(), name) for name in catalogue.column("category")])


def _left(catalogue: Catalogue, gallery: Gallery, begun: bool) -> Catalogue:
    """What is to be filed still: all, or of an addition that was stopped the rest."""
    if not begun:
        gallery.check_new(catalogue)
        return catalogue
    known = np.isin(catalogue.column("id").astype(str), gallery.catalogue.column("id").astype(str))
    return catalogue.take(np.flatnonzero(~known))


def _absolute(catalogue: Catalogue, source: Folder, crop: str) -> Catalogue:
    """Pictures by their full paths, since they lie elsewhere than the run's; without boxes where the run takes none."""
    paths = [str((source.folder / name).resolve()) for name in catalogue.column("picture")]
    boxes = dict.fromkeys(BOX, np.full(len(catalogue), np.nan, dtype=np.float32)) if crop == "whole" else {}
    return catalogue.having(picture=paths, split=[""] * len(catalogue), **boxes)


@dataclass(frozen=True)
class Cropper:
    """Finds and cuts out as a run does."""

    model: Model
    detector: Detector | None
    choice: Choice

    def boxes(self, pictures: Sequence[np.ndarray], annotated: np.ndarray) -> list[np.ndarray]:
        """(n, 4) each: what is cut out of a picture; NaN: the whole of it; none: no garment was found in it."""
        if self.detector is None:
            return list(annotated[:, None])
        found = self.detector.find(pictures) if pictures else []
        return [self.choice.several(*each) for each in zip(found, annotated, strict=True)]

    def cut(self, picture: np.ndarray, boxes: np.ndarray) -> list[np.ndarray]:
        """The crops, (S, S, 3) uint8 each.

        Raises:
            ValueError: there is no box, or one lies off the picture.
        """
        if not len(boxes):
            raise ValueError("no garment was found in it")
        return [cut(picture, box, self.model.margin, self.model.image_size) for box in boxes]


def _chunks(cropper: Cropper, catalogue: Catalogue, taken: set[str]) -> Iterator[Chunk]:
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
    paths, names, annotated = rows.column("picture").tolist(), rows.column("id"), rows.boxes
    for start, batch in zip(count(0, BATCH), ahead(pool, _opened, paths, BATCH), strict=False):
        problems |= {names[start + place]: reason for place, reason in enumerate(batch) if isinstance(reason, str)}
        good = [number for number, picture in enumerate(batch, start) if not isinstance(picture, str)]
        pictures = [picture for picture in batch if not isinstance(picture, str)]
        crops: list[np.ndarray] = []
        for number, picture, wanted in zip(good, pictures, cropper.boxes(pictures, annotated[good]), strict=True):
            try:
                crops += cropper.cut(picture, wanted)
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
    sides = sides_of(np.array(boxes, np.float32))
    filed = rows.take(np.array(places), _numbered(names[places], taken)).having(**sides)
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
        return open_picture(path)
    except PictureError as error:
        return str(error)
