"""Load the embedded garments as masks and shading."""

import hashlib
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np

from fashion_lsh.data.datasets.fashion_mnist import CATEGORIES

DATA = Path(__file__).with_name("embedded") / "garments.npz"
MAX_BACKGROUND = 4  # grey values up to this are background
OPAQUE = 51  # grey values from this on are opaque; values in between are edges
WITH_HOLES = ("sandals", "bag")  # gaps between straps and handles stay transparent


def data_checksum() -> str:
    """Return the SHA-256 of the embedded file, in hex."""
    return hashlib.sha256(DATA.read_bytes()).hexdigest()


@lru_cache(maxsize=1)
def embedded() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Load (N, 28, 28) uint8 shades and alphas 0..255, (N,) uint8 labels 0..9, (N,) bool published test part."""
    with np.load(DATA, allow_pickle=False) as data:
        images, labels, test = data["images"], data["labels"], data["test"]
    solid = ~np.isin(labels, [CATEGORIES.index(name) for name in WITH_HOLES])
    alphas = _alphas(images, solid)
    return _shades(images, alphas == 255), _soften(alphas), labels, test


def _alphas(images: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Alpha (N, 28, 28) uint8: 255 garment, 0 background, in between at edges. Holes of `solid` rows are filled."""
    foreground = images > MAX_BACKGROUND
    garment = foreground | (solid[:, None, None] & enclosed(foreground))
    framed = np.pad(garment, ((0, 0), (1, 1), (1, 1)))
    inner = framed[:, :-2, 1:-1] & framed[:, 2:, 1:-1] & framed[:, 1:-1, :-2] & framed[:, 1:-1, 2:]
    edge = np.minimum(images, OPAQUE) * (255 // OPAQUE)
    return np.where(garment, np.where(inner, 255, edge), 0).astype(np.uint8)


def _soften(alphas: np.ndarray) -> np.ndarray:
    """Average alpha with its 3 x 3 binomial blur, which reduces jagged outlines after enlargement."""
    padded = np.pad(alphas, ((0, 0), (1, 1), (1, 1))).astype(np.uint16)
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    mean = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) // 16
    return np.asarray((alphas + mean) // 2, dtype=np.uint8)


def enclosed(foreground: np.ndarray) -> np.ndarray:
    """Foreground and the background it encloses: (N, H, W) bool -> (N, H, W) bool, unreachable from the border."""
    free = np.pad(~foreground, ((0, 0), (1, 1), (1, 1)), constant_values=True)
    reached = np.zeros_like(free)
    reached[:, 0] = True
    count = 0
    while count != (count := int(reached.sum())):
        for axis in (1, 2):
            reach, passable = (np.moveaxis(array, axis, 0) for array in (reached, free))
            lines = range(len(reach))
            for before, line in [*pairwise(lines), *pairwise(reversed(lines))]:
                reach[line] |= reach[before] & passable[line]
    return ~reached[:, 1:-1, 1:-1]


def _shades(images: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Stretch each garment's grey values to 0..255 between its 4th and 97th percentile; 110 outside the garment."""
    sorted_values = np.sort(np.where(solid, images, 255).reshape(len(images), -1), axis=1).astype(np.float32)
    count = solid.sum(axis=(1, 2))
    rows = np.arange(len(images))
    low, high = (sorted_values[rows, (quantile * (count - 1)).astype(int)] for quantile in (0.04, 0.97))
    middle, reach = (low + high)[:, None, None] / 2, np.maximum(high - low, 60)[:, None, None]
    stretched = np.clip(127.5 + 255 * (images.astype(np.float32) - middle) / reach, 0, 255)
    return np.where(solid, stretched, 110).astype(np.uint8)
