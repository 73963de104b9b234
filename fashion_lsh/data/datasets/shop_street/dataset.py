"""ShopStreet, the embedded data set: shop and street images composed from Fashion-MNIST garments."""

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from fashion_lsh.data.catalogue import Catalogue, Filters
from fashion_lsh.data.datasets.shop_street.backgrounds import IMAGE_SIZE
from fashion_lsh.data.datasets.shop_street.compose import ComposedImage, compose_image
from fashion_lsh.data.datasets.shop_street.garments import data_checksum
from fashion_lsh.data.datasets.shop_street.items import TRAIN, VAL, ExtraItems, ItemCollection
from fashion_lsh.data.schema import BOX_COLUMNS, box_columns
from fashion_lsh.io.files import atomic_write, cache_folder
from fashion_lsh.io.progress import track

VERSION = 2  # part of the cache key; increase the version when a pixel or row changes
CHUNK = 240  # images composed per task of the process pool
VIEWS = ("shop", "street")
SPLITS = {  # pool of the item -> (split of the shop image, split of the street image)
    "train": ("train", "train"),
    "val": ("val", "val"),
    "test": ("gallery", "query"),
}

log = logging.getLogger(__name__)


class ShopStreet:
    """Data set of 7,800 items in ten categories, with a shop and a street image of each: 15,600 images of 96 x 96.

    An item is a Fashion-MNIST garment with one colour and pattern. The shop image shows only the garment, on a light
    background. The street image shows the garment rotated, with random lighting, partly occluded and among smaller
    garments, which have rows too (`main` is False). A val or test garment has one or two items. Each garment is in only
    one of train, val and test.

    Images are composed once and cached: 430 MB on disk, memory-mapped.

    Args:
        seed: Random seed of appearances, scenes, and the division of garments between train and val. The test garments
            of the full set do not depend on the seed.
        cache: Parent of the cache folder. None: `fashion_lsh` in the user's cache folder.
        garments: Number of train and val garments per category, at most 600; test is reduced in proportion.

    Raises:
        ValueError: The seed is negative, or `garments` is out of range.
        OSError: The images cannot be written.
    """

    def __init__(self, seed: int = 0, cache: str | None = None, garments: int = TRAIN + VAL) -> None:
        self.seed = seed
        self.garments = garments
        self.count = 2 * len(_collection(seed, garments))
        self.folder = (Path(cache) if cache else cache_folder()) / f"shop_street-{_cache_key(seed, garments)}"
        self._pixels: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": None}  # each process maps the file again

    def catalogue(self, filters: Filters = None) -> Catalogue:
        """Return one row per garment and image, with item, group, split and tight box of the visible pixels."""
        self._load()
        return Catalogue.open(self.folder / "catalogue.parquet").filter(filters)

    def image(self, key: str) -> np.ndarray:
        """Return an image by key, (96, 96, 3) uint8 RGB.

        Raises:
            KeyError: The key is unknown.
        """
        if not (key.isdecimal() and int(key) < self.count):
            raise KeyError(f"unknown shop_street image {key!r}; use a key from '00000' to '{self.count - 1:05d}'")
        return np.array(self._load()[int(key)])

    def extra_items(self, start: int, stop: int) -> tuple[np.ndarray, Catalogue]:
        """Compose shop images of distractors: the garments of the data set with other appearances.

        Distractors match no query. An image depends only on the item number; images are not cached and have no split.
        Items are named `further-<n>`.

        Args:
            start: First item number, from 0.
            stop: Last item number, exclusive.

        Returns:
            Images (stop - start, 96, 96, 3) uint8 RGB; catalogue with one row per image, whose image key is the number.
        """
        collection = ExtraItems(self.seed, self.garments, stop)
        composed = [compose_image(collection, 2 * item) for item in range(start, stop)]
        names = [f"further-{item:07d}" for item in range(start, stop)]
        boxes = np.concatenate([image.boxes for image in composed])
        columns = {"id": names, "image": [str(item) for item in range(start, stop)], "item": names,
                   "category": [collection.category(item) for item in range(start, stop)],
                   "group": [f"garment-{collection.garment[item]:04d}" for item in range(start, stop)],
                   "view": ["shop"] * len(composed), "source": ["shop_street"] * len(composed)}  # fmt: skip
        return np.stack([image.pixels for image in composed]), Catalogue.from_columns({**columns, **box_columns(boxes)})

    def _load(self) -> np.ndarray:
        """Return the memory-mapped images, (P, 96, 96, 3) uint8; compose the images if they are not cached."""
        if self._pixels is None:
            self._pixels = self._load_cache()
        if self._pixels is None:
            self._compose()
            self._pixels = np.load(self.folder / "images.npy", mmap_mode="r")
        return self._pixels

    def _load_cache(self) -> np.ndarray | None:
        """Return the cached images, memory-mapped; None if the images or the catalogue are missing or damaged."""
        images, catalogue = self.folder / "images.npy", self.folder / "catalogue.parquet"
        if not (images.is_file() and catalogue.is_file()):
            return None
        try:
            pixels: np.memmap[Any, Any] = np.load(images, mmap_mode="r")
            is_complete = images.stat().st_size == pixels.offset + pixels.nbytes and pixels.dtype == np.uint8
            num_images = len(set(Catalogue.open(catalogue).column("image")))
        except (ValueError, EOFError) as error:  # the files are truncated or not in the expected format
            log.warning("Composing the images again: %s is damaged (%s)", self.folder, error)
            return None
        return (
            pixels
            if is_complete and pixels.shape == (self.count, IMAGE_SIZE, IMAGE_SIZE, 3) and num_images == self.count
            else None
        )

    def _compose(self) -> None:
        """Write the images, then the catalogue; both writes are atomic, so several processes may compose at once."""
        workers = min(len(os.sched_getaffinity(0)), -(-self.count // CHUNK))
        log.info("Composing %d images with %d processes; caching them in %s", self.count, workers, self.folder)
        with atomic_write(self.folder / "images.npy") as temporary:
            rows = self._write(temporary, workers)
        Catalogue.from_columns({name: [row[name] for row in rows] for name in rows[0]}).save(
            self.folder / "catalogue.parquet"
        )

    def _write(self, path: Path, workers: int) -> list[dict[str, Any]]:
        """Write all images to a .npy file, and return the catalogue rows of all garments."""
        header = {"descr": "|u1", "fortran_order": False, "shape": (self.count, IMAGE_SIZE, IMAGE_SIZE, 3)}
        rows: list[dict[str, Any]] = []
        with path.open("wb") as file:  # a memory-mapped write would kill the process with SIGBUS if the disk is full
            np.lib.format.write_array_header_1_0(file, header)
            for part, part_rows in track(self._parts(workers), "composing", self.count, lambda part: len(part[0])):
                file.write(part.tobytes())
                rows += part_rows
        return rows

    def _parts(self, workers: int) -> Iterator[tuple[np.ndarray, list[dict[str, Any]]]]:
        """Yield images and rows of each chunk in order; the result does not depend on the number of processes."""
        starts = range(0, self.count, CHUNK)
        jobs = [(self.seed, self.garments, start, min(start + CHUNK, self.count)) for start in starts]
        if workers == 1:
            yield from map(_compose_part, jobs)
            return
        with ProcessPoolExecutor(workers) as pool:
            yield from pool.map(_compose_part, jobs)


def compose(seed: int, garments: int, images: Iterable[int]) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Compose the images with these numbers: (P, 96, 96, 3) uint8 RGB, and the catalogue rows of all garments."""
    collection = _collection(seed, garments)
    composed_images = {number: compose_image(collection, number) for number in images}
    rows = [row for number, composed in composed_images.items() for row in _rows(collection, number, composed)]
    return np.stack([composed.pixels for composed in composed_images.values()]), rows


def _compose_part(job: tuple[int, int, int, int]) -> tuple[np.ndarray, list[dict[str, Any]]]:
    seed, garments, start, stop = job
    return compose(seed, garments, range(start, stop))


def _rows(collection: ItemCollection, number: int, composed: ComposedImage) -> Iterator[dict[str, Any]]:
    """Yield the catalogue rows of an image's garments; the main garment is first."""
    main_item, street = divmod(number, 2)
    name = f"item-{main_item:05d}-{VIEWS[street]}"
    for index, (item, box) in enumerate(zip(composed.items, composed.boxes, strict=True)):
        yield {
            "id": name if index == 0 else f"{name}-{index + 1}",
            "image": f"{number:05d}",
            **dict(zip(BOX_COLUMNS, box.tolist(), strict=True)),
            "category": collection.category(item),
            "item": f"item-{item:05d}",
            "group": f"garment-{collection.garment[item]:04d}",
            "split": SPLITS[collection.pool(main_item)][street],
            "view": VIEWS[street],
            "source": "shop_street",
            "main": index == 0,
        }


@lru_cache(maxsize=2)
def _collection(seed: int, garments: int) -> ItemCollection:
    return ItemCollection(seed, garments)


def _cache_key(seed: int, garments: int) -> str:
    """Hash of version, arguments and embedded data, which determine the images; 16 hex digits."""
    return hashlib.sha256(f"{VERSION} {seed} {garments} {data_checksum()}".encode()).hexdigest()[:16]
