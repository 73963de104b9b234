"""Write garments.npz: 7,000 images of Fashion-MNIST that are shipped with the code.

python -m fashion_lsh.data.datasets.shop_street.embedded.pack FOLDER      (folder of the four *-ubyte.gz files)
"""

import argparse
from pathlib import Path

import numpy as np

from fashion_lsh.data.datasets.fashion_mnist import CATEGORIES, FILE_PREFIXES, read_part
from fashion_lsh.io.files import atomic_write

TARGET = Path(__file__).with_name("garments.npz")
SEED = 0
COUNTS = {"train": 600, "test": 100}  # images per category
BRIGHT_THRESHOLD = 4  # pixels with a higher grey value count as bright
MIN_BRIGHT_PIXELS = 100  # garments with fewer bright pixels (one or two lines) cannot be recognised


def pack(folder: str | Path, target: str | Path = TARGET) -> None:
    """Select images and write the arrays images (7000, 28, 28) uint8, labels (7000,) uint8, test (7000,) bool."""
    parts = [read_part(folder, part) for part in FILE_PREFIXES]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    test = np.repeat([False, True], [len(part[0]) for part in parts])
    rows = choose(images, labels, test, COUNTS)
    with atomic_write(target) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, images=images[rows], labels=labels[rows], test=test[rows])


def choose(images: np.ndarray, labels: np.ndarray, test: np.ndarray, counts: dict[str, int]) -> np.ndarray:
    """Draw rows of unique images with at least MIN_BRIGHT_PIXELS, sorted by part, category and row number.

    Args:
        images: (N, 28, 28) uint8.
        labels: (N,) uint8, 0..9.
        test: (N,) bool, whether an image is in the published test part.
        counts: Number of images per category in the parts `train` and `test`.

    Returns:
        (M,) int64 row numbers.
    """
    rng = np.random.default_rng(SEED)
    is_eligible = is_unique(images) & ((images > BRIGHT_THRESHOLD).sum(axis=(1, 2)) >= MIN_BRIGHT_PIXELS)
    chosen = []
    for part in FILE_PREFIXES:
        for label in range(len(CATEGORIES)):
            rows = np.flatnonzero(is_eligible & (labels == label) & (test == (part == "test")))
            chosen.append(np.sort(rng.choice(rows, counts[part], replace=False)))
    return np.concatenate(chosen)


def is_unique(images: np.ndarray) -> np.ndarray:
    """Return whether no other image has the same pixels: (N, H, W) uint8 -> (N,) bool."""
    keys = [image.tobytes() for image in images]
    counts: dict[bytes, int] = {}
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
    return np.array([counts[key] == 1 for key in keys], dtype=bool)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write garments.npz from the files of Fashion-MNIST.")
    parser.add_argument("folder", help="folder of the four *-ubyte.gz files, or the same files unpacked")
    pack(parser.parse_args().folder)
