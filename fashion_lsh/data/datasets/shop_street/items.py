"""The items: garments in colours and patterns, in pools for training, validation and test, and their cutouts."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fashion_lsh.data.datasets.fashion_mnist import CATEGORIES, IMAGE_SIZE
from fashion_lsh.data.datasets.shop_street.appearances import Appearance, Rng, draw_appearance, render_garment
from fashion_lsh.data.datasets.shop_street.garments import embedded

POOLS = ("train", "val", "test")
TRAIN, VAL, TEST = 540, 60, 100  # garments of each category in the whole set
ITEM_STREAM, PLAN_STREAM, EXTRA_STREAM = 2, 1, 3  # last words of the random seeds of looks, plans and further looks


@dataclass(frozen=True)
class Cutout:
    """Something to lay into a picture, cut tight: (h, w, 3) float32 colours 0..255, (h, w) float32 cover 0..1."""

    colours: np.ndarray
    alpha: np.ndarray


class ItemCollection:
    """All items of one seed. Items are numbered train first, then val, then test.

    Args:
        seed: decides which train garments validate, and every item's look.
        garments: how many of each category's 600 train garments to use; one in ten of them validates, and test has a
            sixth as many.

    Raises:
        ValueError: the seed is negative, or there are not so many garments.
    """

    def __init__(self, seed: int, garments: int = TRAIN + VAL) -> None:
        if seed < 0:
            raise ValueError(f"{seed=}: give 0 or more")
        if not 2 <= garments <= TRAIN + VAL:
            raise ValueError(f"{garments=}: give 2 to {TRAIN + VAL} a category")
        self.seed = seed
        self.shades, self.alphas, self.labels, test = embedded()
        pools = _pools(self.labels, test, seed, garments)
        parts = [_items(pool, two_per_garment=name != "train") for name, pool in zip(POOLS, pools, strict=True)]
        self.garment, self.colourway = np.concatenate(parts, axis=1)
        self.pool_bounds = np.cumsum([0, *(part.shape[1] for part in parts)])

    def __len__(self) -> int:
        return len(self.garment)

    def pool(self, item: int) -> str:
        """`train`, `val` or `test`."""
        return POOLS[int(np.searchsorted(self.pool_bounds, item, side="right")) - 1]

    def category(self, item: int) -> str:
        return CATEGORIES[self.labels[self.garment[item]]]

    def others(self, item: int, count: int, rng: Rng) -> list[int]:
        """`count` items of the same pool, each of a garment of its own, none of this item's garment."""
        pool = POOLS.index(self.pool(item))
        chosen = [item]
        while len(chosen) <= count:
            other = int(rng.integers(self.pool_bounds[pool], self.pool_bounds[pool + 1]))
            if self.garment[other] not in self.garment[chosen]:
                chosen.append(other)
        return chosen[1:]

    def appearance(self, item: int) -> Appearance:
        """The item's look; the two colourways of one garment share the pattern and differ in colour."""
        rng = np.random.default_rng([self.seed, int(self.garment[item]), ITEM_STREAM])
        return draw_appearance(rng, int(self.colourway[item]))

    def cutout(self, item: int, size: float, max_side: float, angle: float = 0.0, flipped: bool = False) -> Cutout:
        """The item drawn.

        Args:
            size: wanted square root of the area of its tight box before turning, in pixels.
            max_side: its longer side is at most this.
            angle: turned by so many degrees, counter-clockwise.
        """
        alpha = self.alphas[self.garment[item]]
        height, width = (int(np.ptp(np.flatnonzero((alpha > 127).any(axis=axis)))) + 1 for axis in (1, 0))
        side = round(IMAGE_SIZE * min(size / math.sqrt(height * width), max_side / max(height, width)))
        pixels = render_garment(self.shades[self.garment[item]], alpha, self.appearance(item), side)
        return extract_cutout(Image.fromarray(pixels[:, ::-1].copy() if flipped else pixels), angle)


class ExtraItems(ItemCollection):
    """Items beyond the data set's own: its garments over and over, each time in another look, in a pool of their own.

    Args:
        seed: of the data set.
        garments: of the data set.
        count: how many items.
    """

    def __init__(self, seed: int, garments: int, count: int) -> None:
        super().__init__(seed, garments)
        self.garment = np.resize(np.random.default_rng([seed, 0, EXTRA_STREAM]).permutation(self.garment), count)
        self.colourway = np.zeros(count, dtype=np.int64)
        self.pool_bounds = np.array([0, 0, 0, count])

    def appearance(self, item: int) -> Appearance:
        return draw_appearance(np.random.default_rng([self.seed, item, EXTRA_STREAM]), 0)


def extract_cutout(image: Image.Image, angle: float) -> Cutout:
    """What is not transparent in an RGBA picture, turned by so many degrees."""
    image = image.crop(image.getbbox())
    if angle:
        image = image.rotate(angle, Image.Resampling.BILINEAR, expand=True)
        image = image.crop(image.getbbox())
    pixels = np.asarray(image, dtype=np.float32)
    return Cutout(pixels[:, :, :3], pixels[:, :, 3] / 255)


def _items(garments: np.ndarray, two_per_garment: bool) -> np.ndarray:
    """(G,) garments -> (2, I): each item's garment and colourway; twofold: every second garment has two items."""
    counts = np.where(two_per_garment & (np.arange(len(garments)) % 2 == 1), 2, 1)
    colourway = np.concatenate([np.arange(count) for count in counts])
    return np.stack([np.repeat(garments, counts), colourway])


def _pools(labels: np.ndarray, test: np.ndarray, seed: int, garments: int) -> list[np.ndarray]:
    """The garments of train, val and test, each sorted by category."""
    rng = np.random.default_rng([seed, 0, PLAN_STREAM])
    n_val, n_test = max(1, garments * VAL // (TRAIN + VAL)), max(2, garments * TEST // (TRAIN + VAL))
    pools: list[list[np.ndarray]] = [[], [], []]
    for label in range(len(CATEGORIES)):
        train_rows = rng.permutation(np.flatnonzero((labels == label) & ~test))[:garments]
        test_rows = rng.permutation(np.flatnonzero((labels == label) & test))[:n_test]
        for pool, rows in zip(pools, (train_rows[n_val:], train_rows[:n_val], test_rows), strict=True):
            pool.append(np.sort(rows))
    return [np.concatenate(pool) for pool in pools]
