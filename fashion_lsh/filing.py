"""Further pictures into the gallery of a finished run, and out of it again."""

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import torch

from fashion_lsh.catalogue.catalogue import BOX, Catalogue
from fashion_lsh.catalogue.crops import cut
from fashion_lsh.catalogue.pictures import PictureError, open_picture
from fashion_lsh.catalogue.sources.folder import Folder
from fashion_lsh.files import alone
from fashion_lsh.retrieval.encoding import Encoded, Model, encode
from fashion_lsh.retrieval.gallery import Gallery
from fashion_lsh.run import Run

log = logging.getLogger(__name__)

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
        ValueError: an id is in the gallery already, no picture is of use, or another process has the run.
    """
    model = run.model()
    with alone(run.path):
        gallery = run.gallery(model.fingerprint())
        source = Folder(root, unlabelled=True)
        listed = source.catalogue()
        name = sha256(f"{listed.checksum}{source.checksum}".encode()).hexdigest()[:16]
        catalogue = _absolute(listed, source, crop=run.config["data"]["crop"])
        known = np.isin(catalogue.column("id").astype(str), gallery.catalogue.column("id").astype(str))
        left = catalogue.take(np.flatnonzero(~known)) if name in gallery.adding else catalogue
        skipped = dict(source.skipped)
        done = 0
        for chunk in _chunks(model, left):
            skipped |= chunk.unreadable
            if chunk.encoded is not None:
                gallery.add(chunk.encoded, chunk.rows)
            done += len(chunk.rows) + len(chunk.unreadable)
            gallery.adding = gallery.adding - {name} if done == len(left) else gallery.adding | {name}
            gallery.save(run.gallery_folder)
        _tidy(run, gallery)
        run.add_skipped(skipped)
    filed = len(left) - len(skipped.keys() & set(left.column("id")))
    return Added(filed, len(catalogue) - len(left), skipped)


def remove(run: Run, ids: Sequence[str]) -> None:
    """Take garments out of the gallery.

    Raises:
        FileNotFoundError: the run has no gallery.
        ValueError: an id is not in it, or another process has the run; nothing was removed then.
    """
    with alone(run.path):
        gallery = run.gallery(run.model().fingerprint())
        gallery.remove(np.array(ids, dtype=str))
        gallery.save(run.gallery_folder)
        _tidy(run, gallery)


def _tidy(run: Run, gallery: Gallery) -> None:
    """Put the embeddings in order where they lie in too many pieces or hold too many holes."""
    if len(gallery.embeddings.segments) > MOST_SEGMENTS or gallery.holes > MOST_HOLES * len(gallery.embeddings):
        gallery.compact()
        gallery.save(run.gallery_folder)


def _absolute(catalogue: Catalogue, source: Folder, crop: str) -> Catalogue:
    """Pictures by their full paths, since they lie elsewhere than the run's; without boxes where the run takes none."""
    paths = [str((source.folder / name).resolve()) for name in catalogue.column("picture")]
    boxes = dict.fromkeys(BOX, np.full(len(catalogue), np.nan, dtype=np.float32)) if crop == "whole" else {}
    return catalogue.having(picture=paths, split=[""] * len(catalogue), **boxes)


def _chunks(model: Model, catalogue: Catalogue) -> Iterator[Chunk]:
    """All pictures, some at a time; how far they are is logged."""
    began, total = time.perf_counter(), len(catalogue)
    with ThreadPoolExecutor() as pool:
        for start in range(0, total, CHUNK):
            rows = catalogue.take(np.arange(start, min(start + CHUNK, total)))
            yield _chunk(model, rows, pool)
            done = start + len(rows)
            rate = done / (time.perf_counter() - began)
            log.info("%d of %d pictures, %.0f a second, %.0f s left", done, total, rate, (total - done) / rate)


def _chunk(model: Model, rows: Catalogue, pool: Executor) -> Chunk:
    crops: list[np.ndarray | str] = list(pool.map(partial(_crop, model), rows.column("picture"), rows.boxes))
    ids = rows.column("id")
    unreadable = {ids[place]: crop for place, crop in enumerate(crops) if isinstance(crop, str)}
    good = [place for place, crop in enumerate(crops) if not isinstance(crop, str)]
    parts = []
    for first in range(0, len(good), BATCH):
        images = np.stack([crops[place] for place in good[first : first + BATCH]])  # (B, S, S, 3)
        parts.append(encode(model, torch.from_numpy(images.transpose(0, 3, 1, 2).copy())))
    return Chunk(Encoded.joined(parts) if parts else None, rows.take(np.array(good, dtype=np.int64)), unreadable)


def _crop(model: Model, path: str, box: np.ndarray) -> np.ndarray | str:
    """The crop, or why there is none: it was fine when it was opened first."""
    try:
        return cut(open_picture(path), box, model.margin, model.image_size)
    except (PictureError, ValueError) as error:
        return str(error)
