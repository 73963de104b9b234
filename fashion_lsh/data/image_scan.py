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
from fashion_lsh.data.crops import clip_box
from fashion_lsh.data.images import ImageError, open_image
from fashion_lsh.data.near_duplicates import fingerprint
from fashion_lsh.data.schema import box_columns
from fashion_lsh.io.files import atomic_write, cache_folder, checksum
from fashion_lsh.io.progress import chunks, track

log = logging.getLogger(__name__)

CHUNK = 2000  # pictures between two looks at the clock ...
SAVE_INTERVAL_S = 10.0  # ... and seconds at least between two savings of what was seen
MIN_POOL_IMAGES = 5000  # pictures from which on processes open them
MIN_CACHED_IMAGES = 500  # so many are opened again each time: it takes a second
SPLIT_PRIORITY = (
    "query",
    "gallery",
    "val",
    "train",
    "",
)  # where a picture stands twice, the one of the first split is kept


class ImageInfo(NamedTuple):
    """One picture file: width and height in pixels of the upright picture, SHA-256, why it is of no use, or "";
    where that was asked for, its fingerprint (see `duplicates`); its state (see `file_state`) before it was opened."""

    width: int
    height: int
    digest: str
    problem: str
    fingerprint: bytes = b""
    state: str = ""


class CleanedCatalogue(NamedTuple):
    """Rows that can be cropped; why the others are left out, id -> reason; a checksum of the pictures' bytes."""

    catalogue: Catalogue
    left_out: dict[str, str]
    checksum: str


def clean_catalogue(
    catalogue: Catalogue, scanned: Mapping[str, ImageInfo], keep_copies: bool = False
) -> CleanedCatalogue:
    """The rows that can be cropped, each picture once.

    Boxes that reach over the edge of their picture are clamped to it, and counted in the log. Left out are pictures
    that do not open, boxes off their picture, and all but one of pictures that are byte for byte the same (they may
    have two categories, or stand on two sides of the split: that of `query` is kept, say).

    Args:
        catalogue: rows.
        scanned: their pictures, by name.
        keep_copies: pictures that are byte for byte the same stay.
    """
    images, boxes, ids = catalogue.column("image"), catalogue.boxes, catalogue.column("id")
    problems = [
        scanned[name].problem or box_problem(name, box, scanned[name]) for name, box in zip(images, boxes, strict=True)
    ]
    kept_image: dict[str, str] = {}
    priority = np.array([SPLIT_PRIORITY.index(name) for name in catalogue.column("split")])
    for row in np.lexsort((priority, ~catalogue.column("main"))):  # what is classified before what is not
        if not problems[row]:
            kept_image.setdefault(scanned[images[row]].digest, images[row])
    copy_problems = (
        "" if keep_copies else _copy_problem(name, kept_image.get(scanned[name].digest, name)) for name in images
    )
    row_problems = (problem or copy for problem, copy in zip(problems, copy_problems, strict=True))
    reasons = {name: reason for name, reason in zip(ids, row_problems, strict=True) if reason}
    kept = catalogue.take(np.flatnonzero([name not in reasons for name in ids]))
    kept = _clip_boxes(kept, scanned)
    digests = "".join(scanned[name].digest for name in kept.column("image"))
    return CleanedCatalogue(kept, reasons, sha256(digests.encode()).hexdigest())


def _clip_boxes(catalogue: Catalogue, scanned: Mapping[str, ImageInfo]) -> Catalogue:
    sizes = np.array([scanned[name][:2] for name in catalogue.column("image")], dtype=np.float32).reshape(-1, 2)
    boxes = catalogue.boxes
    clipped = np.clip(boxes, 0, np.tile(sizes, 2))  # NaN stays
    exceeding = (clipped != boxes).any(axis=1) & ~np.isnan(boxes).any(axis=1)
    if not exceeding.any():
        return catalogue
    log.info("%d boxes reach over the edge of their picture: clamped to it", exceeding.sum())
    return catalogue.with_columns(**box_columns(clipped))


def scan(folder: Path, names: Iterable[str], fingerprints: bool = False) -> dict[str, ImageInfo]:
    """What is seen of each picture; a good one that has not changed since it was opened last is not opened again."""
    cache_key = f"{folder.resolve()}{' with fingerprints' if fingerprints else ''}"
    cache_path = cache_folder() / "scans" / f"{sha256(cache_key.encode()).hexdigest()[:16]}.parquet"
    states = {name: file_state(folder / name) for name in dict.fromkeys(names)}
    cached = _read_cache(cache_path)
    known = {
        name: scanned for name, scanned in cached.items() if scanned.state == states.get(name) and not scanned.problem
    }
    missing = [name for name in states if name not in known]
    last_saved, save_seconds = time.monotonic(), 0.0
    scan_one = partial(_scan_below, folder, fingerprints)
    with _create_pool(len(missing)) as pool:
        for chunk in track(chunks(missing, CHUNK), "opening pictures", len(missing), len):
            scans = zip(chunk, pool.map(scan_one, chunk, chunksize=50), strict=True)
            new = {name: scanned._replace(state=states[name]) for name, scanned in scans}
            known.update(new)
            cached.update(new)
            if time.monotonic() - last_saved > max(
                SAVE_INTERVAL_S, 20 * save_seconds
            ):  # a save takes longer the more there is
                last_saved, save_seconds = _write_cache(cache_path, cached)
    if missing:
        _write_cache(cache_path, cached)
    return known


def _create_pool(count: int) -> Executor:
    """Threads for few pictures; processes for many, as many as there are cores to use, since threads wait for each
    other between decoding and decoding."""
    if count < MIN_POOL_IMAGES:
        return ThreadPoolExecutor()
    pool = ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("fork"))
    pool.submit(int)  # all of them are forked at the first job: now, before a progress bar has a thread
    return pool


def _scan_below(folder: Path, with_fingerprint: bool, name: str) -> ImageInfo:
    return scan_image(folder / name, with_fingerprint)


def scan_image(path: Path, with_fingerprint: bool = False) -> ImageInfo:
    """What is seen of one picture file."""
    try:
        image = open_image(path)
        height, width = image.shape[:2]
        return ImageInfo(width, height, checksum(path), "", fingerprint(image).tobytes() if with_fingerprint else b"")
    except (ImageError, OSError) as error:  # OSError: gone since it was opened
        return ImageInfo(0, 0, str(path), str(error))


def _copy_problem(name: str, kept_image: str) -> str:
    return f"{name}: the same picture as {kept_image}, which is kept" if name != kept_image else ""


def box_problem(name: str, box: np.ndarray, scanned: ImageInfo) -> str:
    """Why a box (4,) does not lie on a picture, or ""; NaN: the whole of it."""
    if np.isnan(box).any():
        return ""
    try:
        clip_box(box, scanned.width, scanned.height)
    except ValueError as error:
        return f"{name}: {error}"
    return ""


MISSING = "missing"  # the state of a file that is not there


def file_state(path: Path | str) -> str:
    """What changes when a file does: size and time; MISSING where there is none."""
    try:
        stat = os.stat(path)  # noqa: PTH116  half a million Path objects would take longer than their files
    except (OSError, ValueError):  # ValueError: a name with a NUL
        return MISSING
    return f"{stat.st_size} {stat.st_mtime_ns}"


def _read_cache(cache_path: Path) -> dict[str, ImageInfo]:
    try:
        table = pq.read_table(cache_path)
        rows = [table[name].to_pylist() for name in ("name", *ImageInfo._fields)]
    except (OSError, pa.ArrowException, KeyError):  # nothing there yet, or damaged: all is opened again
        return {}
    return {name: ImageInfo(*record) for name, *record in zip(*rows, strict=True)}


def _write_cache(cache_path: Path, scanned: Mapping[str, ImageInfo]) -> tuple[float, float]:
    """Save what was seen, and tell when that ended, and how long it took (s)."""
    started = time.monotonic()
    if len(scanned) < MIN_CACHED_IMAGES:
        return started, 0.0
    columns = {"name": list(scanned)}
    columns |= {field: [getattr(record, field) for record in scanned.values()] for field in ImageInfo._fields}
    try:
        with atomic_write(cache_path) as temporary:
            pq.write_table(pa.table(columns), temporary)
    except OSError as error:
        log.warning("all pictures will be opened again next time: %s", error)
    return time.monotonic(), time.monotonic() - started
