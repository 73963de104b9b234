"""Every garment of a catalogue cut out into a picture file of its own."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.crops import clamp, widen
from fashion_lsh.data.image_scan import Seen, state_of
from fashion_lsh.data.schema import sides_of
from fashion_lsh.io.files import written
from fashion_lsh.io.progress import chunks, counted

CROPS = "crops"  # the folder of crops
MARGIN = 0.25  # share of the box kept on each side, for the margins and jitters of training
LONGEST = 320  # pixels of a crop's longer side at most
QUALITY = 90  # of JPEG
CHUNK = 500


class Cropped(NamedTuple):
    """Garments, each with a crop as its picture and its box in it; of each crop its size and state, and the digest of
    the picture it was cut from; and those that could not be cut, id -> reason."""

    catalogue: Catalogue
    seen: dict[str, Seen]
    left_out: dict[str, str]


def crop_all(
    catalogue: Catalogue, seen: Mapping[str, Seen], picture: Callable[[str], np.ndarray], root: Path
) -> Cropped:
    """Cut the main garments of a catalogue out of their pictures, several at a time; a crop that is there is kept.

    Args:
        catalogue: N rows with boxes, or of whole pictures.
        seen: what was seen of each picture (see `scan`).
        picture: gives the pixels of a picture, (H, W, 3) uint8.
        root: where the crops go, `<CROPS>/<2 hex>/<16 hex>.jpg` each, named by the row's id, its picture's bytes and
            its box.

    Raises:
        OSError: a crop could not be written.
        ValueError: none could be cut.
    """
    rows = catalogue.take(np.flatnonzero(catalogue.column("main")))
    ids, pictures, boxes = rows.column("id"), rows.column("picture"), rows.boxes
    parts = [_part(box, *seen[name][:2]) for box, name in zip(boxes, pictures, strict=True)]
    digests = [seen[name].digest for name in pictures]
    files = list(map(_file, ids, digests, boxes))

    def cut(row: int) -> str:
        target, (region, scale, _) = root / files[row], parts[row]
        if target.exists():
            return ""
        try:
            pixels = picture(pictures[row])
        except ValueError as error:  # gone or damaged since it was seen
            return str(error)
        _save(pixels, region, scale, target)
        return ""

    reasons: list[str] = []
    with ThreadPoolExecutor() as pool:
        for chunk in counted(chunks(range(len(rows)), CHUNK), "cutting garments", len(rows), len):
            reasons += pool.map(cut, chunk)
    inner = np.array([box for _, _, box in parts], dtype=np.float32).reshape(-1, 4)
    cropped = rows.having(picture=files, **sides_of(inner))
    good = np.flatnonzero([not reason for reason in reasons])
    if not len(good):
        raise ValueError(f"none of {len(rows):,} garments could be cut; the first: {reasons[0]}")
    sizes = [_size(region, scale) for region, scale, _ in parts]
    cut_out = {files[row]: Seen(*sizes[row], digests[row], "", state=state_of(root / files[row])) for row in good}
    return Cropped(cropped.take(good), cut_out, {ids[row]: reason for row, reason in enumerate(reasons) if reason})


def _part(box: np.ndarray, width: int, height: int) -> tuple[np.ndarray, float, np.ndarray]:
    """What is cut out for a box (4,), NaN: all; how much that is shrunk; and the box in the crop, NaN where all of it
    is the garment."""
    whole = np.isnan(box).any()
    region = np.array([0, 0, width, height], np.float32) if whole else clamp(widen(box, MARGIN), width, height)
    region = np.concatenate([np.floor(region[:2]), np.ceil(region[2:])])
    scale = min(1.0, LONGEST / max(region[2:] - region[:2]))
    return region, float(scale), (box - np.tile(region[:2], 2)) * np.float32(scale)


def _save(pixels: np.ndarray, region: np.ndarray, scale: float, target: Path) -> None:
    crop = Image.fromarray(pixels).crop(tuple(region.astype(int).tolist()))
    if scale < 1:
        crop = crop.resize(_size(region, scale), Image.Resampling.BILINEAR)
    with written(target) as draft:
        crop.save(draft, "JPEG", quality=QUALITY)


def _size(region: np.ndarray, scale: float) -> tuple[int, int]:
    """Width and height of a crop."""
    width, height = (max(1, round(float(side) * scale)) for side in region[2:] - region[:2])
    return width, height


def _file(name: str, digest: str, box: np.ndarray) -> str:
    """A file name that any id can have, another one where its picture or box is another."""
    digest = sha256(f"{name} {digest} {box.tolist()}".encode()).hexdigest()[:16]
    return f"{CROPS}/{digest[:2]}/{digest}.jpg"
