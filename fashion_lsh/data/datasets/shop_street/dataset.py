"""The embedded data set: items in their shop's picture and on the street, composed of real garments."""

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

VERSION = 2  # of the drawing: raise it when one pixel or one row comes out otherwise, and old caches are left alone
CHUNK = 240  # pictures a process composes at a time
VIEWS = ("shop", "street")
SPLITS = {  # pool of the item: split of its shop and of its street picture
    "train": ("train", "train"),
    "val": ("val", "val"),
    "test": ("gallery", "query"),
}

log = logging.getLogger(__name__)


class ShopStreet:
    """7,800 items of ten categories, each in a shop and in a street picture: 15,600 pictures of 96 x 96.

    An item is a garment of Fashion-MNIST in one colour and pattern. Its shop picture shows it alone on light ground;
    its street picture shows it turned, lit, partly hidden and among smaller garments, which have rows too (`main` is
    False). Val and test garments have one or two items. All pixels of one garment stay in one of train, val and test.

    The pictures are composed once and kept: 430 MB on disk, read by memory map.

    Args:
        seed: another seed gives other looks, scenes, and train and val garments; the test garments are the same.
        cache: folder below which the pictures are kept. None: `fashion_lsh` in the user's cache folder.
        garments: train garments a category, of 600; fewer make a small set, val and test in proportion.

    Raises:
        ValueError: the seed is negative, or there are not so many garments.
        OSError: the pictures could not be written; names the file.
    """

    def __init__(self, seed: int = 0, cache: str | None = None, garments: int = TRAIN + VAL) -> None:
        self.seed = seed
        self.garments = garments
        self.count = 2 * len(_collection(seed, garments))
        self.folder = (Path(cache) if cache else cache_folder()) / f"shop_street-{_cache_key(seed, garments)}"
        self._pixels: np.ndarray | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_pixels": None}  # each process maps the file for itself

    def catalogue(self, filters: Filters = None) -> Catalogue:
        """One row a garment of a picture: boxes tight around its visible pixels, items, groups and splits."""
        self._load()
        return Catalogue.open(self.folder / "catalogue.parquet").filter(filters)

    def image(self, key: str) -> np.ndarray:
        """(96, 96, 3) uint8 RGB.

        Raises:
            KeyError: there is no such picture.
        """
        if not (key.isdecimal() and int(key) < self.count):
            raise KeyError(f"shop_street has no picture {key!r}: give '00000' to '{self.count - 1:05d}'")
        return np.array(self._load()[int(key)])

    def extra_items(self, start: int, stop: int) -> tuple[np.ndarray, Catalogue]:
        """Shop pictures of items that nobody asks for: the same garments in other looks, item `further-<n>`.

        They are composed anew at each call, from their numbers alone, and belong to no split.

        Args:
            start, stop: numbers, from 0.

        Returns:
            (stop - start, 96, 96, 3) uint8 RGB, and a row each; `picture` is the number.
        """
        collection = ExtraItems(self.seed, self.garments, stop)
        drawn = [compose_image(collection, 2 * item) for item in range(start, stop)]
        names = [f"further-{item:07d}" for item in range(start, stop)]
        boxes = np.concatenate([one.boxes for one in drawn])
        columns = {"id": names, "image": [str(item) for item in range(start, stop)], "item": names,
                   "category": [collection.category(item) for item in range(start, stop)],
                   "group": [f"garment-{collection.garment[item]:04d}" for item in range(start, stop)],
                   "view": ["shop"] * len(drawn), "source": ["shop_street"] * len(drawn)}  # fmt: skip
        return np.stack([one.pixels for one in drawn]), Catalogue.from_columns({**columns, **box_columns(boxes)})

    def _load(self) -> np.ndarray:
        """(P, 96, 96, 3) uint8, mapped; composed first where they are not there yet."""
        if self._pixels is None:
            self._pixels = self._load_cache()
        if self._pixels is None:
            self._compose()
            self._pixels = np.load(self.folder / "images.npy", mmap_mode="r")
        return self._pixels

    def _load_cache(self) -> np.ndarray | None:
        """The cached pictures, mapped; None where they or their catalogue are missing or damaged."""
        images, catalogue = self.folder / "images.npy", self.folder / "catalogue.parquet"
        if not (images.is_file() and catalogue.is_file()):
            return None
        try:
            pixels: np.memmap[Any, Any] = np.load(images, mmap_mode="r")
            whole = images.stat().st_size == pixels.offset + pixels.nbytes and pixels.dtype == np.uint8
            n_images = len(set(Catalogue.open(catalogue).column("image")))
        except (ValueError, EOFError) as error:  # numpy and pyarrow on files that are cut short or are something else
            log.warning("%s is damaged (%s) and is composed again", self.folder, error)
            return None
        return (
            pixels
            if whole and pixels.shape == (self.count, IMAGE_SIZE, IMAGE_SIZE, 3) and n_images == self.count
            else None
        )

    def _compose(self) -> None:
        """Write pictures, then the catalogue, each whole or not at all; another process doing the same is no harm."""
        workers = min(len(os.sched_getaffinity(0)), -(-self.count // CHUNK))
        log.info("composing %d pictures with %d processes; they are kept in %s", self.count, workers, self.folder)
        with atomic_write(self.folder / "images.npy") as temporary:
            rows = self._write(temporary, workers)
        Catalogue.from_columns({name: [row[name] for row in rows] for name in rows[0]}).save(
            self.folder / "catalogue.parquet"
        )

    def _write(self, path: Path, workers: int) -> list[dict[str, Any]]:
        """Write all pictures to a .npy file; the rows of their garments."""
        header = {"descr": "|u1", "fortran_order": False, "shape": (self.count, IMAGE_SIZE, IMAGE_SIZE, 3)}
        rows: list[dict[str, Any]] = []
        with path.open("wb") as file:  # not through a map: on a full disk that ends the process without a word
            np.lib.format.write_array_header_1_0(file, header)
            for part, part_rows in track(self._parts(workers), "composing", self.count, lambda part: len(part[0])):
                file.write(part.tobytes())
                rows += part_rows
        return rows

    def _parts(self, workers: int) -> Iterator[tuple[np.ndarray, list[dict[str, Any]]]]:
        """What compose_part gives for each chunk, in order, whatever the number of processes."""
        starts = range(0, self.count, CHUNK)
        jobs = [(self.seed, self.garments, start, min(start + CHUNK, self.count)) for start in starts]
        if workers == 1:
            yield from map(_compose_part, jobs)
            return
        with ProcessPoolExecutor(workers) as pool:
            yield from pool.map(_compose_part, jobs)


def compose(seed: int, garments: int, images: Iterable[int]) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Some pictures by number, (P, 96, 96, 3) uint8 RGB, and their garments' rows."""
    collection = _collection(seed, garments)
    drawn = {image: compose_image(collection, image) for image in images}
    rows = [row for image, one in drawn.items() for row in _rows(collection, image, one)]
    return np.stack([one.pixels for one in drawn.values()]), rows


def _compose_part(job: tuple[int, int, int, int]) -> tuple[np.ndarray, list[dict[str, Any]]]:
    seed, garments, start, stop = job
    return compose(seed, garments, range(start, stop))


def _rows(collection: ItemCollection, image: int, drawn: ComposedImage) -> Iterator[dict[str, Any]]:
    """The picture's garments as catalogue rows, its own first."""
    main_item, street = divmod(image, 2)
    name = f"item-{main_item:05d}-{VIEWS[street]}"
    for index, (item, box) in enumerate(zip(drawn.items, drawn.boxes, strict=True)):
        yield {
            "id": name if index == 0 else f"{name}-{index + 1}",
            "image": f"{image:05d}",
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
    """16 hex that stand for all that decides the pictures."""
    return hashlib.sha256(f"{VERSION} {seed} {garments} {data_checksum()}".encode()).hexdigest()[:16]
