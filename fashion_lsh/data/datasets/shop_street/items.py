"""Items (garments with colour and pattern) in the pools train, val and test."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fashion_lsh.data.datasets.fashion_mnist import CATEGORIES, IMAGE_SIZE
from fashion_lsh.data.datasets.shop_street.appearances import Appearance, Rng, draw_appearance, render_garment
from fashion_lsh.data.datasets.shop_street.garments import embedded

POOLS = ("train", "val", "test")
TRAIN, VAL, TEST = 540, 60, 100  # garments per category and pool in the full set
# separate random streams for appearances, for the division into pools, and for extra items
ITEM_STREAM, PLAN_STREAM, EXTRA_STREAM = 2, 1, 3


@dataclass(frozen=True)
class Cutout:
    """Tightly cropped object.

    Attributes:
        colours: (h, w, 3) float32 RGB, 0..255.
        alpha: (h, w) float32, 0..1.
    """

    colours: np.ndarray
    alpha: np.ndarray


class ItemCollection:
    """All items for one seed, numbered in the order train, val, test.

    Args:
        seed: Random seed of the val garments and of the appearances.
        garments: Number of train and val garments per category, at most 600. A tenth of this number is in val; test has
            a sixth of this number in addition.

    Raises:
        ValueError: The seed is negative, or `garments` is out of range.
    """

    def __init__(self, seed: int, garments: int = TRAIN + VAL) -> None:
        if seed < 0:
            raise ValueError(f"{seed=} is negative; use 0 or more")
        if not 2 <= garments <= TRAIN + VAL:
            raise ValueError(f"{garments=} is out of range; use 2 to {TRAIN + VAL} garments per category")
        self.seed = seed
        self.shades, self.alphas, self.labels, test = embedded()
        pools = _draw_pools(self.labels, test, seed, garments)
        parts = [
            _assign_colourways(pool, two_per_garment=name != "train") for name, pool in zip(POOLS, pools, strict=True)
        ]
        self.garment, self.colourway = np.concatenate(parts, axis=1)
        self.pool_bounds = np.cumsum([0, *(part.shape[1] for part in parts)])

    def __len__(self) -> int:
        return len(self.garment)

    def pool(self, item: int) -> str:
        """Return the pool of an item: `train`, `val` or `test`."""
        return POOLS[int(np.searchsorted(self.pool_bounds, item, side="right")) - 1]

    def category(self, item: int) -> str:
        """Return the category of an item."""
        return CATEGORIES[self.labels[self.garment[item]]]

    def draw_companions(self, item: int, count: int, rng: Rng) -> list[int]:
        """Draw `count` items of the same pool; their garments differ from each other and from this item's garment."""
        pool = POOLS.index(self.pool(item))
        chosen = [item]
        while len(chosen) <= count:
            other = int(rng.integers(self.pool_bounds[pool], self.pool_bounds[pool + 1]))
            if self.garment[other] not in self.garment[chosen]:
                chosen.append(other)
        return chosen[1:]

    def appearance(self, item: int) -> Appearance:
        """Return the appearance of an item; the two colourways of a garment have the same pattern in other colours."""
        rng = np.random.default_rng([self.seed, int(self.garment[item]), ITEM_STREAM])
        return draw_appearance(rng, int(self.colourway[item]))

    def cutout(self, item: int, size: float, max_side: float, angle: float = 0.0, flipped: bool = False) -> Cutout:
        """Render an item as a cutout.

        Args:
            item: Number of the item.
            size: Square root of the area of the item's tight box before rotation, in pixels.
            max_side: Maximum length of the longer side before rotation, in pixels.
            angle: Counter-clockwise rotation, in degrees.
            flipped: Whether the item is mirrored horizontally.
        """
        alpha = self.alphas[self.garment[item]]
        height, width = (int(np.ptp(np.flatnonzero((alpha > 127).any(axis=axis)))) + 1 for axis in (1, 0))
        side = round(IMAGE_SIZE * min(size / math.sqrt(height * width), max_side / max(height, width)))
        pixels = render_garment(self.shades[self.garment[item]], alpha, self.appearance(item), side)
        return extract_cutout(Image.fromarray(pixels[:, ::-1].copy() if flipped else pixels), angle)


class ExtraItems(ItemCollection):
    """Extra items, all in the test pool: the garments of the data set, repeated with other appearances.

    Args:
        seed: Seed of the data set.
        garments: Garments per category of the data set.
        count: Number of extra items.
    """

    def __init__(self, seed: int, garments: int, count: int) -> None:
        super().__init__(seed, garments)
        self.garment = np.resize(np.random.default_rng([seed, 0, EXTRA_STREAM]).permutation(self.garment), count)
        self.colourway = np.zeros(count, dtype=np.int64)
        self.pool_bounds = np.array([0, 0, 0, count])

    def appearance(self, item: int) -> Appearance:
        return draw_appearance(np.random.default_rng([self.seed, item, EXTRA_STREAM]), 0)


def extract_cutout(image: Image.Image, angle: float) -> Cutout:
    """Crop the non-transparent part of an RGBA image and rotate it by `angle` degrees, counter-clockwise."""
    image = image.crop(image.getbbox())
    if angle:
        image = image.rotate(angle, Image.Resampling.BILINEAR, expand=True)
        image = image.crop(image.getbbox())
    pixels = np.asarray(image, dtype=np.float32)
    return Cutout(pixels[:, :, :3], pixels[:, :, 3] / 255)


def _assign_colourways(garments: np.ndarray, two_per_garment: bool) -> np.ndarray:
    """Garment and colourway of each item, (2, I), for (G,) garments; optionally two items per second garment."""
    counts = np.where(two_per_garment & (np.arange(len(garments)) % 2 == 1), 2, 1)
    colourway = np.concatenate([np.arange(count) for count in counts])
    return np.stack([np.repeat(garments, counts), colourway])


def _draw_pools(labels: np.ndarray, test: np.ndarray, seed: int, garments: int) -> list[np.ndarray]:
    """Return the garments of the pools train, val and test, each sorted by category."""
    rng = np.random.default_rng([seed, 0, PLAN_STREAM])
    num_val, num_test = max(1, garments * VAL // (TRAIN + VAL)), max(2, garments * TEST // (TRAIN + VAL))
    pools: list[list[np.ndarray]] = [[], [], []]
    for label in range(len(CATEGORIES)):
        train_rows = rng.permutation(np.flatnonzero((labels == label) & ~test))[:garments]
        test_rows = rng.permutation(np.flatnonzero((labels == label) & test))[:num_test]
        for pool, rows in zip(pools, (train_rows[num_val:], train_rows[:num_val], test_rows), strict=True):
            pool.append(np.sort(rows))
    return [np.concatenate(pool) for pool in pools]
