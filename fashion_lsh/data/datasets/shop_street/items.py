"""The items: garments in colours and patterns, in pools for training, validation and test, and their cutouts."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fashion_lsh.data.datasets.fashion_mnist import CATEGORIES, SIDE
from fashion_lsh.data.datasets.shop_street.garments import embedded
from fashion_lsh.data.datasets.shop_street.looks import Look, Rng, draw_look, dressed

POOLS = ("train", "val", "test")
TRAIN, VAL, TEST = 540, 60, 100  # garments of each category in the whole set
ITEM_STREAM, PLAN_STREAM, FURTHER_STREAM = 2, 1, 3  # last words of the random seeds of looks, plans and further looks


@dataclass(frozen=True)
class Cutout:
    """Something to lay into a picture, cut tight: (h, w, 3) float32 colours 0..255, (h, w) float32 cover 0..1."""

    colours: np.ndarray
    cover: np.ndarray


class Wardrobe:
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
        self.shades, self.covers, self.labels, test = embedded()
        pools = _pools(self.labels, test, seed, garments)
        parts = [_items(pool, twofold=name != "train") for name, pool in zip(POOLS, pools, strict=True)]
        self.garment, self.colourway = np.concatenate(parts, axis=1)
        self.edges = np.cumsum([0, *(part.shape[1] for part in parts)])

    def __len__(self) -> int:
        return len(self.garment)

    def pool(self, item: int) -> str:
        """`train`, `val` or `test`."""
        return POOLS[int(np.searchsorted(self.edges, item, side="right")) - 1]

    def category(self, item: int) -> str:
        return CATEGORIES[self.labels[self.garment[item]]]

    def others(self, item: int, count: int, rng: Rng) -> list[int]:
        """`count` items of the same pool, each of a garment of its own, none of this item's garment."""
        pool = POOLS.index(self.pool(item))
        found = [item]
        while len(found) <= count:
            other = int(rng.integers(self.edges[pool], self.edges[pool + 1]))
            if self.garment[other] not in self.garment[found]:
                found.append(other)
        return found[1:]

    def look(self, item: int) -> Look:
        """The item's look; the two colourways of one garment share the pattern and differ in colour."""
        rng = np.random.default_rng([self.seed, int(self.garment[item]), ITEM_STREAM])
        return draw_look(rng, int(self.colourway[item]))

    def cutout(self, item: int, size: float, longest: float, angle: float = 0.0, mirrored: bool = False) -> Cutout:
        """The item drawn.

        Args:
            size: wanted square root of the area of its tight box before turning, in pixels.
            longest: its longer side is at most this.
            angle: turned by so many degrees, counter-clockwise.
        """
        cover = self.covers[self.garment[item]]
        height, width = (int(np.ptp(np.flatnonzero((cover > 127).any(axis=axis)))) + 1 for axis in (1, 0))
        side = round(SIDE * min(size / math.sqrt(height * width), longest / max(height, width)))
        pixels = dressed(self.shades[self.garment[item]], cover, self.look(item), side)
        return cut(Image.fromarray(pixels[:, ::-1].copy() if mirrored else pixels), angle)


class Further(Wardrobe):
    """Items beyond the data set's own: its garments over and over, each time in another look, in a pool of their own.

    Args:
        seed: of the data set.
        garments: of the data set.
        count: how many items.
    """

    def __init__(self, seed: int, garments: int, count: int) -> None:
        super().__init__(seed, garments)
        self.garment = np.resize(np.random.default_rng([seed, 0, FURTHER_STREAM]).permutation(self.garment), count)
        self.colourway = np.zeros(count, dtype=np.int64)
        self.edges = np.array([0, 0, 0, count])

    def look(self, item: int) -> Look:
        return draw_look(np.random.default_rng([self.seed, item, FURTHER_STREAM]), 0)


def cut(picture: Image.Image, angle: float) -> Cutout:
    """What is not transparent in an RGBA picture, turned by so many degrees."""
    picture = picture.crop(picture.getbbox())
    if angle:
        picture = picture.rotate(angle, Image.Resampling.BILINEAR, expand=True)
        picture = picture.crop(picture.getbbox())
    pixels = np.asarray(picture, dtype=np.float32)
    return Cutout(pixels[:, :, :3], pixels[:, :, 3] / 255)


def _items(garments: np.ndarray, twofold: bool) -> np.ndarray:
    """(G,) garments -> (2, I): each item's garment and colourway; twofold: every second garment has two items."""
    times = np.where(twofold & (np.arange(len(garments)) % 2 == 1), 2, 1)
    colourway = np.concatenate([np.arange(count) for count in times])
    return np.stack([np.repeat(garments, times), colourway])


def _pools(labels: np.ndarray, test: np.ndarray, seed: int, garments: int) -> list[np.ndarray]:
    """The garments of train, val and test, each sorted by category."""
    rng = np.random.default_rng([seed, 0, PLAN_STREAM])
    val, tested = max(1, garments * VAL // (TRAIN + VAL)), max(2, garments * TEST // (TRAIN + VAL))
    pools: list[list[np.ndarray]] = [[], [], []]
    for label in range(len(CATEGORIES)):
        shown = rng.permutation(np.flatnonzero((labels == label) & ~test))[:garments]
        asked = rng.permutation(np.flatnonzero((labels == label) & test))[:tested]
        for pool, rows in zip(pools, (shown[val:], shown[:val], asked), strict=True):
            pool.append(np.sort(rows))
    return [np.concatenate(pool) for pool in pools]
