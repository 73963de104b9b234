"""Open every picture of a data set once, and remember what was seen."""

import logging
import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.crops import clamp
from fashion_lsh.data.images import PictureError, open_picture
from fashion_lsh.data.near_duplicates import fingerprint
from fashion_lsh.data.schema import sides_of
from fashion_lsh.io.files import cache_folder, checksum, written
from fashion_lsh.io.progress import chunks, counted

log = logging.getLogger(__name__)

CHUNK = 2000  # pictures between two looks at the clock ...
SAVED_S = 10.0  # ... and seconds at least between two savings of what was seen
MANY = 5000  # pictures from which on processes open them
FEW = 500  # so many are opened again each time: it takes a second
FIRST = ("query", "gallery", "val", "train", "")  # where a picture stands twice, the one of the first split is kept


class Seen(NamedTuple):
    """One picture file: width and height in pixels of the upright picture, SHA-256, why it is of no use, or "";
    where that was asked for, its fingerprint (see `duplicates`); its state (see `state_of`) before it was opened."""

    width: int
    height: int
    digest: str
    problem: str
    fingerprint: bytes = b""
    state: str = ""


class Usable(NamedTuple):
    """Rows that can be cropped; why the others are left out, id -> reason; a checksum of the pictures' bytes."""

    catalogue: Catalogue
    left_out: dict[str, str]
    checksum: str


def cleaned(catalogue: Catalogue, seen: Mapping[str, Seen], copies: bool = False) -> Usable:
    """The rows that can be cropped, each picture once.

    Boxes that reach over the edge of their picture are clamped to it, and counted in the log. Left out are pictures
    that do not open, boxes off their picture, and all but one of pictures that are byte for byte the same (they may
    have two categories, or stand on two sides of the split: that of `query` is kept, say).

    Args:
        catalogue: rows.
        seen: their pictures, by name.
        copies: pictures that are byte for byte the same stay.
    """
    pictures, boxes, ids = catalogue.column("picture"), catalogue.boxes, catalogue.column("id")
    problems = [seen[name].problem or off(name, box, seen[name]) for name, box in zip(pictures, boxes, strict=True)]
    first: dict[str, str] = {}
    asks = np.array([FIRST.index(name) for name in catalogue.column("split")])
    for row in np.lexsort((asks, ~catalogue.column("main"))):  # what is classified before what is not
        if not problems[row]:
            first.setdefault(seen[pictures[row]].digest, pictures[row])
    copied = ("" if copies else _copied(name, first.get(seen[name].digest, name)) for name in pictures)
    found = (problem or copy for problem, copy in zip(problems, copied, strict=True))
    reasons = {name: reason for name, reason in zip(ids, found, strict=True) if reason}
    kept = catalogue.take(np.flatnonzero([name not in reasons for name in ids]))
    kept = _clamped(kept, seen)
    digests = "".join(seen[name].digest for name in kept.column("picture"))
    return Usable(kept, reasons, sha256(digests.encode()).hexdigest())


def _clamped(catalogue: Catalogue, seen: Mapping[str, Seen]) -> Catalogue:
    sizes = np.array([seen[name][:2] for name in catalogue.column("picture")], dtype=np.float32).reshape(-1, 2)
    boxes = catalogue.boxes
    inside = np.clip(boxes, 0, np.tile(sizes, 2))  # NaN stays
    over = (inside != boxes).any(axis=1) & ~np.isnan(boxes).any(axis=1)
    if not over.any():
        return catalogue
    log.info("%d boxes reach over the edge of their picture: clamped to it", over.sum())
    return catalogue.having(**sides_of(inside))


def scan(folder: Path, names: Iterable[str], fingerprints: bool = False) -> dict[str, Seen]:
    """What is seen of each picture; a good one that has not changed since it was opened last is not opened again."""
    own = f"{folder.resolve()}{' with fingerprints' if fingerprints else ''}"
    kept = cache_folder() / "scans" / f"{sha256(own.encode()).hexdigest()[:16]}.parquet"
    states = {name: state_of(folder / name) for name in dict.fromkeys(names)}
    remembered = _remembered(kept)
    known = {name: seen for name, seen in remembered.items() if seen.state == states.get(name) and not seen.problem}
    missing = [name for name in states if name not in known]
    saved, took = time.monotonic(), 0.0
    look_at = partial(_look_below, folder, fingerprints)
    with _workers(len(missing)) as pool:
        for chunk in counted(chunks(missing, CHUNK), "opening pictures", len(missing), len):
            looks = zip(chunk, pool.map(look_at, chunk, chunksize=50), strict=True)
            found = {name: seen._replace(state=states[name]) for name, seen in looks}
            known.update(found)
            remembered.update(found)
            if time.monotonic() - saved > max(SAVED_S, 20 * took):  # a save takes longer the more there is
                saved, took = _remember(kept, remembered)
    if missing:
        _remember(kept, remembered)
    return known


def _workers(count: int) -> Executor:
    """Threads for few pictures; processes for many, as many as there are cores to use, since threads wait for each
    other between decoding and decoding."""
    if count < MANY:
        return ThreadPoolExecutor()
    pool = ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("fork"))
    pool.submit(int)  # all of them are forked at the first job: now, before a progress bar has a thread
    return pool


def _look_below(folder: Path, fingerprinted: bool, name: str) -> Seen:
    return look(folder / name, fingerprinted)


def look(path: Path, fingerprinted: bool = False) -> Seen:
    """What is seen of one picture file."""
    try:
        picture = open_picture(path)
        height, width = picture.shape[:2]
        return Seen(width, height, checksum(path), "", fingerprint(picture).tobytes() if fingerprinted else b"")
    except (PictureError, OSError) as error:  # OSError: gone since it was opened
        return Seen(0, 0, str(path), str(error))


def _copied(name: str, first: str) -> str:
    return f"{name}: the same picture as {first}, which is kept" if name != first else ""


def off(name: str, box: np.ndarray, seen: Seen) -> str:
    """Why a box (4,) does not lie on a picture, or ""; NaN: the whole of it."""
    if np.isnan(box).any():
        return ""
    try:
        clamp(box, seen.width, seen.height)
    except ValueError as error:
        return f"{name}: {error}"
    return ""


MISSING = "missing"  # the state of a file that is not there


def state_of(path: Path | str) -> str:
    """What changes when a file does: size and time; MISSING where there is none."""
    try:
        told = os.stat(path)  # noqa: PTH116  half a million Path objects would take longer than their files
    except (OSError, ValueError):  # ValueError: a name with a NUL
        return MISSING
    return f"{told.st_size} {told.st_mtime_ns}"


def _remembered(kept: Path) -> dict[str, Seen]:
    try:
        table = pq.read_table(kept)
        rows = [table[name].to_pylist() for name in ("name", *Seen._fields)]
    except (OSError, pa.ArrowException, KeyError):  # nothing there yet, or damaged: all is opened again
        return {}
    return {name: Seen(*facts) for name, *facts in zip(*rows, strict=True)}


def _remember(kept: Path, seen: Mapping[str, Seen]) -> tuple[float, float]:
    """Save what was seen, and tell when that ended, and how long it took (s)."""
    began = time.monotonic()
    if len(seen) < FEW:
        return began, 0.0
    columns = {"name": list(seen)}
    columns |= {field: [getattr(facts, field) for facts in seen.values()] for field in Seen._fields}
    try:
        with written(kept) as draft:
            pq.write_table(pa.table(columns), draft)
    except OSError as error:
        log.warning("all pictures will be opened again next time: %s", error)
    return time.monotonic(), time.monotonic() - began
