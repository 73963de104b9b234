"""Load the embedded garments as shading and alpha masks."""

import hashlib
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from fashion_lsh.data.datasets.fashion_mnist import CATEGORIES

DATA = Path(__file__).with_name("embedded") / "garments.npz"
MAX_BACKGROUND = 4  # maximum grey value of the background
MIN_OPAQUE = 51  # minimum grey value of opaque pixels; grey values in between are edges
CATEGORIES_WITH_HOLES = ("sandals", "bag")  # gaps between straps and handles stay transparent


def data_checksum() -> str:
    """Return the SHA-256 of the embedded file garments.npz, in hex."""
    return hashlib.sha256(DATA.read_bytes()).hexdigest()


@lru_cache(maxsize=1)
def embedded() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Load the embedded garments.

    Returns:
        Shades (N, 28, 28) uint8; alphas (N, 28, 28) uint8; labels (N,) uint8 0..9; whether a garment is in the
        published test part, (N,) bool.
    """
    with np.load(DATA, allow_pickle=False) as data:
        images, labels, test = data["images"], data["labels"], data["test"]
    has_no_holes = ~np.isin(labels, [CATEGORIES.index(name) for name in CATEGORIES_WITH_HOLES])
    alphas = _alphas(images, has_no_holes)
    return _shades(images, alphas == 255), _soften(alphas), labels, test


def _alphas(images: np.ndarray, has_no_holes: np.ndarray) -> np.ndarray:
    """Alpha masks (N, 28, 28) uint8: 255 for garment, 0 for background; holes are filled where `has_no_holes`."""
    foreground = images > MAX_BACKGROUND
    garment = foreground | (has_no_holes[:, None, None] & enclosed(foreground))
    framed = np.pad(garment, ((0, 0), (1, 1), (1, 1)))
    inner = framed[:, :-2, 1:-1] & framed[:, 2:, 1:-1] & framed[:, 1:-1, :-2] & framed[:, 1:-1, 2:]
    edge = np.minimum(images, MIN_OPAQUE) * (255 // MIN_OPAQUE)
    return np.where(garment, np.where(inner, 255, edge), 0).astype(np.uint8)


def _soften(alphas: np.ndarray) -> np.ndarray:
    """Average each alpha mask with its 3 x 3 binomial blur, so that enlarged outlines are less jagged."""
    padded = np.pad(alphas, ((0, 0), (1, 1), (1, 1))).astype(np.uint16)
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    mean = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) // 16
    return np.asarray((alphas + mean) // 2, dtype=np.uint8)


def enclosed(foreground: np.ndarray) -> np.ndarray:
    """Mark pixels that a flood fill of the background from the border does not reach: (N, H, W) bool, same output."""
    is_background = np.pad(~foreground, ((0, 0), (1, 1), (1, 1)), constant_values=True)
    reached = np.zeros_like(is_background)
    reached[:, 0] = True
    count = 0
    while count != (count := int(reached.sum())):
        for axis in (1, 2):
            reach, passable = (np.moveaxis(array, axis, 0) for array in (reached, is_background))
            lines = range(len(reach))
            for previous, line in [*pairwise(lines), *pairwise(reversed(lines))]:
                reach[line] |= reach[previous] & passable[line]
    return ~reached[:, 1:-1, 1:-1]


def _shades(images: np.ndarray, is_garment: np.ndarray) -> np.ndarray:
    """Stretch the grey values of each garment from its 4th and 97th percentile to 0 and 255; other pixels are 110."""
    sorted_values = np.sort(np.where(is_garment, images, 255).reshape(len(images), -1), axis=1).astype(np.float32)
    count = is_garment.sum(axis=(1, 2))
    rows = np.arange(len(images))
    low, high = (sorted_values[rows, (quantile * (count - 1)).astype(int)] for quantile in (0.04, 0.97))
    middle, contrast = (low + high)[:, None, None] / 2, np.maximum(high - low, 60)[:, None, None]
    stretched = np.clip(127.5 + 255 * (images.astype(np.float32) - middle) / contrast, 0, 255)
    return np.where(is_garment, stretched, 110).astype(np.uint8)
