"""Every garment of a catalogue cut out into a picture file of its own."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from fashion_lsh.catalogue.catalogue import Catalogue
from fashion_lsh.catalogue.columns import BOX
from fashion_lsh.catalogue.crops import clamp, widen
from fashion_lsh.catalogue.scan import Seen
from fashion_lsh.files import written
from fashion_lsh.progress import counted

MARGIN = 0.25  # share of the box kept on each side, for the margins and jitters of training
LONGEST = 320  # pixels of a crop's longer side at most
QUALITY = 90  # of JPEG
CHUNK = 500


def crop_all(
    catalogue: Catalogue, seen: Mapping[str, Seen], picture: Callable[[str], np.ndarray], folder: Path
) -> tuple[Catalogue, dict[str, str]]:
    """Cut the main garments of a catalogue out of their pictures, several at a time; a crop that is there is kept.

    Args:
        catalogue: N rows with boxes, or of whole pictures.
        seen: what was seen of each picture (see `scan`).
        picture: gives the pixels of a picture, (H, W, 3) uint8.
        folder: of the crops, `<2 hex>/<16 hex>.jpg` each, named by the row's id, its picture's bytes and its box.

    Returns:
        The same garments, with the crops as their pictures and the boxes in them; and those that could not be cut, id
        -> reason.

    Raises:
        OSError: a crop could not be written.
    """
    rows = catalogue.take(np.flatnonzero(catalogue.column("main")))
    ids, pictures, boxes = rows.column("id"), rows.column("picture"), rows.boxes
    parts = [_part(box, *seen[name][:2]) for box, name in zip(boxes, pictures, strict=True)]
    files = [_file(ids[row], seen[pictures[row]].digest, boxes[row]) for row in range(len(rows))]

    def cut(row: int) -> str:
        target, (region, scale, _) = folder / files[row], parts[row]
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
        for chunk in counted(_chunks(len(rows)), "cutting garments", len(rows), len):
            reasons += pool.map(cut, chunk)
    inner = np.array([box for _, _, box in parts], dtype=np.float32).reshape(-1, 4)
    cropped = rows.having(picture=files, **dict(zip(BOX, inner.T, strict=True)))
    good = np.flatnonzero([not reason for reason in reasons])
    return cropped.take(good), {ids[row]: reason for row, reason in enumerate(reasons) if reason}


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
        size = [max(1, round(side * scale)) for side in crop.size]
        crop = crop.resize((size[0], size[1]), Image.Resampling.BILINEAR)
    with written(target) as draft:
        crop.save(draft, "JPEG", quality=QUALITY)


def _file(name: str, digest: str, box: np.ndarray) -> str:
    """A file name that any id can have, another one where its picture or box is another."""
    digest = sha256(f"{name} {digest} {box.tolist()}".encode()).hexdigest()[:16]
    return f"{digest[:2]}/{digest}.jpg"


def _chunks(count: int) -> Iterator[range]:
    return (range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK))
