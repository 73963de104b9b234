"""Scan the images of a data set once (size, checksum, problems) and cache the results."""

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

CHUNK = 2000  # images between two checks of the save interval
SAVE_INTERVAL_S = 10.0  # minimum time between two saves of the cache
MIN_POOL_IMAGES = 5000  # fewer are opened by threads
MIN_CACHED_IMAGES = 500  # fewer are opened again each time, which takes a second
SPLIT_PRIORITY = ("query", "gallery", "val", "train", "")  # the copy in the first of these splits is kept


class ImageInfo(NamedTuple):
    """Scan result of one image file.

    width, height: pixels of the upright image; digest: SHA-256; problem: why the image is unusable, or "";
    fingerprint: see `near_duplicates`, empty unless requested; state: `file_state` before the image was opened.
    """

    width: int
    height: int
    digest: str
    problem: str
    fingerprint: bytes = b""
    state: str = ""


class CleanedCatalogue(NamedTuple):
    """Usable rows; skipped rows, id -> reason; checksum of the image bytes."""

    catalogue: Catalogue
    skipped: dict[str, str]
    checksum: str


def clean_catalogue(
    catalogue: Catalogue, scanned: Mapping[str, ImageInfo], keep_copies: bool = False
) -> CleanedCatalogue:
    """Remove unusable rows and exact copies of images.

    Skipped are unreadable images, boxes outside their image, and all but one of byte-identical images (which may
    differ in category or split; see SPLIT_PRIORITY). Boxes that exceed their image are clipped and counted in the log.

    Args:
        catalogue: rows to check.
        scanned: scan results by image name.
        keep_copies: keep byte-identical images.
    """
    images, boxes, ids = catalogue.column("image"), catalogue.boxes, catalogue.column("id")
    problems = [
        scanned[name].problem or box_problem(name, box, scanned[name]) for name, box in zip(images, boxes, strict=True)
    ]
    kept_image: dict[str, str] = {}
    priority = np.array([SPLIT_PRIORITY.index(name) for name in catalogue.column("split")])
    for row in np.lexsort((priority, ~catalogue.column("main"))):  # main garments first
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
    log.info("Clipped %d boxes to the edge of their image", exceeding.sum())
    return catalogue.with_columns(**box_columns(clipped))


def scan(folder: Path, names: Iterable[str], fingerprints: bool = False) -> dict[str, ImageInfo]:
    """Scan images below `folder` by name; unchanged usable images are read from the cache of the last scan."""
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
        for chunk in track(chunks(missing, CHUNK), "opening images", len(missing), len):
            scans = zip(chunk, pool.map(scan_one, chunk, chunksize=50), strict=True)
            new = {name: scanned._replace(state=states[name]) for name, scanned in scans}
            known.update(new)
            cached.update(new)
            # saving takes longer as the cache grows; spend at most about 5 % of the time on it
            if time.monotonic() - last_saved > max(SAVE_INTERVAL_S, 20 * save_seconds):
                last_saved, save_seconds = _write_cache(cache_path, cached)
    if missing:
        _write_cache(cache_path, cached)
    return known


def _create_pool(count: int) -> Executor:
    """Use threads for few images and one process per available core for many: between decodes, threads block each
    other."""
    if count < MIN_POOL_IMAGES:
        return ThreadPoolExecutor()
    pool = ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("fork"))
    pool.submit(int)  # forks all workers now, before the progress bar starts a thread
    return pool


def _scan_below(folder: Path, with_fingerprint: bool, name: str) -> ImageInfo:
    return scan_image(folder / name, with_fingerprint)


def scan_image(path: Path, with_fingerprint: bool = False) -> ImageInfo:
    """Scan one image file."""
    try:
        image = open_image(path)
        height, width = image.shape[:2]
        return ImageInfo(width, height, checksum(path), "", fingerprint(image).tobytes() if with_fingerprint else b"")
    except (ImageError, OSError) as error:  # OSError: removed since it was opened
        return ImageInfo(0, 0, str(path), str(error))


def _copy_problem(name: str, kept_image: str) -> str:
    return f"{name}: exact copy of {kept_image}, which is kept" if name != kept_image else ""


def box_problem(name: str, box: np.ndarray, scanned: ImageInfo) -> str:
    """Describe why a box (4,) cannot be cropped, or return ""; NaN means the whole image."""
    if np.isnan(box).any():
        return ""
    try:
        clip_box(box, scanned.width, scanned.height)
    except ValueError as error:
        return f"{name}: {error}"
    return ""


MISSING = "missing"  # state of a file that does not exist


def file_state(path: Path | str) -> str:
    """Size and modification time of a file as text; MISSING if it does not exist."""
    try:
        stat = os.stat(path)  # noqa: PTH116  creating half a million Path objects is slower than the calls
    except (OSError, ValueError):  # ValueError: NUL character in the name
        return MISSING
    return f"{stat.st_size} {stat.st_mtime_ns}"


def _read_cache(cache_path: Path) -> dict[str, ImageInfo]:
    try:
        table = pq.read_table(cache_path)
        rows = [table[name].to_pylist() for name in ("name", *ImageInfo._fields)]
    except (OSError, pa.ArrowException, KeyError):  # missing or damaged cache: scan again
        return {}
    return {name: ImageInfo(*record) for name, *record in zip(*rows, strict=True)}


def _write_cache(cache_path: Path, scanned: Mapping[str, ImageInfo]) -> tuple[float, float]:
    """Save scan results; return the time of the save and its duration, both in seconds."""
    started = time.monotonic()
    if len(scanned) < MIN_CACHED_IMAGES:
        return started, 0.0
    columns = {"name": list(scanned)}
    columns |= {field: [getattr(record, field) for record in scanned.values()] for field in ImageInfo._fields}
    try:
        with atomic_write(cache_path) as temporary:
            pq.write_table(pa.table(columns), temporary)
    except OSError as error:
        log.warning("Scan results not cached, all images will be opened again next time: %s", error)
    return time.monotonic(), time.monotonic() - started
