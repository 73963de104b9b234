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
MIN_POOL_IMAGES = 5000  # minimum number of images for a process pool; fewer images are opened by threads
MIN_CACHED_IMAGES = 500  # minimum number of images for a cache; fewer images take only about a second to scan again
SPLIT_PRIORITY = (
    "query",
    "gallery",
    "val",
    "train",
    "",
)  # of exact copies, the copy in the first of these splits is kept
MISSING = "missing"  # file signature of a file that does not exist


class ImageInfo(NamedTuple):
    """Scan result of one image file.

    Attributes:
        width: width in pixels, with the EXIF orientation applied.
        height: height in pixels, with the EXIF orientation applied.
        digest: SHA-256 of the file content, in hex.
        problem: reason why the image is unusable, or "".
        fingerprint: perceptual hash (bytes of `near_duplicates.fingerprint`); empty unless requested.
        state: file signature (see `file_state`), taken before the image was opened.
    """

    width: int
    height: int
    digest: str
    problem: str
    fingerprint: bytes = b""
    state: str = ""


class CleanedCatalogue(NamedTuple):
    """Result of `clean_catalogue`.

    Attributes:
        catalogue: usable rows.
        skipped: reasons for skipped rows: id -> reason.
        checksum: SHA-256 of the image digests of the usable rows, in hex.
    """

    catalogue: Catalogue
    skipped: dict[str, str]
    checksum: str


def clean_catalogue(
    catalogue: Catalogue, image_infos: Mapping[str, ImageInfo], keep_copies: bool = False
) -> CleanedCatalogue:
    """Remove unusable rows and exact copies of images.

    A row is skipped if its image is unreadable or its box is outside the image. Of byte-identical images, which may
    differ in category or split, only one is kept (see SPLIT_PRIORITY). A box that exceeds its image is clipped; the log
    counts the clipped boxes.

    Args:
        catalogue: rows to check.
        image_infos: scan results by image key.
        keep_copies: keep all byte-identical images.
    """
    images, boxes, ids = catalogue.column("image"), catalogue.boxes, catalogue.column("id")
    problems = [
        image_infos[key].problem or box_problem(key, box, image_infos[key])
        for key, box in zip(images, boxes, strict=True)
    ]
    kept_images: dict[str, str] = {}  # digest -> image key
    priority = np.array([SPLIT_PRIORITY.index(name) for name in catalogue.column("split")])
    for row in np.lexsort((priority, ~catalogue.column("main"))):  # main garments first
        if not problems[row]:
            kept_images.setdefault(image_infos[images[row]].digest, images[row])
    copy_problems = (
        "" if keep_copies else _copy_problem(key, kept_images.get(image_infos[key].digest, key)) for key in images
    )
    row_problems = (problem or copy for problem, copy in zip(problems, copy_problems, strict=True))
    reasons = {name: reason for name, reason in zip(ids, row_problems, strict=True) if reason}
    kept = catalogue.take(np.flatnonzero([name not in reasons for name in ids]))
    kept = _clip_boxes(kept, image_infos)
    digests = "".join(image_infos[key].digest for key in kept.column("image"))
    return CleanedCatalogue(kept, reasons, sha256(digests.encode()).hexdigest())


def _clip_boxes(catalogue: Catalogue, image_infos: Mapping[str, ImageInfo]) -> Catalogue:
    sizes = np.array([image_infos[key][:2] for key in catalogue.column("image")], dtype=np.float32).reshape(-1, 2)
    boxes = catalogue.boxes
    clipped = np.clip(boxes, 0, np.tile(sizes, 2))
    is_clipped = (clipped != boxes).any(axis=1) & ~np.isnan(boxes).any(axis=1)
    if not is_clipped.any():
        return catalogue
    log.info("Clipped boxes at the image border: %d", is_clipped.sum())
    return catalogue.with_columns(**box_columns(clipped))


def scan(folder: Path, names: Iterable[str], fingerprints: bool = False) -> dict[str, ImageInfo]:
    """Scan images by path relative to `folder`; results of unchanged, usable images are read from the scan cache."""
    cache_key = f"{folder.resolve()}{' with fingerprints' if fingerprints else ''}"
    cache_path = cache_folder() / "scans" / f"{sha256(cache_key.encode()).hexdigest()[:16]}.parquet"
    states = {name: file_state(folder / name) for name in dict.fromkeys(names)}
    cached = _read_cache(cache_path)
    infos = {name: info for name, info in cached.items() if info.state == states.get(name) and not info.problem}
    missing = [name for name in states if name not in infos]
    last_saved, save_seconds = time.monotonic(), 0.0
    scan_one = partial(_scan_file, folder, fingerprints)
    with _create_pool(len(missing)) as pool:
        for chunk in track(chunks(missing, CHUNK), "opening images", len(missing), len):
            scans = zip(chunk, pool.map(scan_one, chunk, chunksize=50), strict=True)
            new_infos = {name: info._replace(state=states[name]) for name, info in scans}
            infos.update(new_infos)
            cached.update(new_infos)
            # a larger cache takes longer to save; spend at most about 5 % of the time on saving
            if time.monotonic() - last_saved > max(SAVE_INTERVAL_S, 20 * save_seconds):
                last_saved, save_seconds = _write_cache(cache_path, cached)
    if missing:
        _write_cache(cache_path, cached)
    return infos


def _create_pool(count: int) -> Executor:
    """Create threads for few images, or one process per available core for many.

    Processes are faster for many images, because threads block each other between decodes.
    """
    if count < MIN_POOL_IMAGES:
        return ThreadPoolExecutor()
    pool = ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("fork"))
    pool.submit(int)  # the first task forks all workers, which must happen before the progress bar starts a thread
    return pool


def _scan_file(folder: Path, with_fingerprint: bool, name: str) -> ImageInfo:
    return scan_image(folder / name, with_fingerprint)


def scan_image(path: Path, with_fingerprint: bool = False) -> ImageInfo:
    """Read size, digest and, on request, the perceptual hash of an image file; set `problem` if it is unreadable."""
    try:
        image = open_image(path)
        height, width = image.shape[:2]
        return ImageInfo(width, height, checksum(path), "", fingerprint(image).tobytes() if with_fingerprint else b"")
    except (ImageError, OSError) as error:  # OSError: the file was removed after it was opened
        return ImageInfo(0, 0, str(path), str(error))


def _copy_problem(name: str, kept_image: str) -> str:
    return f"{name}: exact copy of {kept_image}, which is kept" if name != kept_image else ""


def box_problem(name: str, box: np.ndarray, info: ImageInfo) -> str:
    """Return the reason why a box (4,) cannot be cropped, or ""; a NaN box is the whole image."""
    if np.isnan(box).any():
        return ""
    try:
        clip_box(box, info.width, info.height)
    except ValueError as error:
        return f"{name}: {error}"
    return ""


def file_state(path: Path | str) -> str:
    """Signature of a file: size and modification time as a string; MISSING if the file does not exist."""
    try:
        stat = os.stat(path)  # noqa: PTH116  creating half a million Path objects takes longer than os.stat
    except (OSError, ValueError):  # ValueError: the name contains a NUL character
        return MISSING
    return f"{stat.st_size} {stat.st_mtime_ns}"


def _read_cache(cache_path: Path) -> dict[str, ImageInfo]:
    try:
        table = pq.read_table(cache_path)
        rows = [table[name].to_pylist() for name in ("name", *ImageInfo._fields)]
    except (OSError, pa.ArrowException, KeyError):  # the cache is missing or damaged, so all images are scanned again
        return {}
    return {name: ImageInfo(*record) for name, *record in zip(*rows, strict=True)}


def _write_cache(cache_path: Path, infos: Mapping[str, ImageInfo]) -> tuple[float, float]:
    """Save scan results; return the time of the save and its duration, both in seconds."""
    started = time.monotonic()
    if len(infos) < MIN_CACHED_IMAGES:
        return started, 0.0
    columns = {"name": list(infos)}
    columns |= {field: [getattr(record, field) for record in infos.values()] for field in ImageInfo._fields}
    try:
        with atomic_write(cache_path) as temporary:
            pq.write_table(pa.table(columns), temporary)
    except OSError as error:
        log.warning("Scan results not cached, so all images will be opened again next time: %s", error)
    return time.monotonic(), time.monotonic() - started
