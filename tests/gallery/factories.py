"""A model, encoded images and galleries of random numbers, few of them distinct, so that many rows are equally near.

All embeddings are small integers / 16: their distances are exact in float16 and float32, summed in any order.
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.codes import pack
from fashion_lsh.models.encoding import Encoded
from tests.index.factories import assert_same, to_the_row

CATEGORIES, BITS, DEPTH, PRINT = 4, 9, 6, "one model"


class Fake:
    """A model of fixed random layers on a picture shrunk to 2 x 2, in whole numbers: exact in batches of any size."""

    threshold, image_size, margin = 0.5, 8, 0.25
    device = torch.device("cpu")

    def __init__(self, bits: int | None = BITS, fingerprint: str = PRINT) -> None:
        self.bits, self.print, self.categories = bits, fingerprint, ["bag", "coat", "dress", "hat"]

    def __call__(self, images: Tensor) -> Any:
        quarters = images.float().unflatten(2, (2, 4)).unflatten(4, (2, 4)).sum((3, 5)).flatten(1)  # (B, 12)
        random = torch.Generator().manual_seed(0)
        layer = torch.randint(-4, 5, (12, CATEGORIES + BITS + DEPTH), generator=random).float()
        logits, activations, embedding = (quarters @ layer).split([CATEGORIES, BITS, DEPTH], dim=1)
        kept = None if self.bits is None else (activations > 0).float()
        return SimpleNamespace(logits=logits / 1e4, activations=kept, embedding=embedding / 2**18)

    def eval(self) -> "Fake":
        return self

    def masses(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)

    def fingerprint(self) -> str:
        return self.print


def pictures(seed: int, rows: int, bits: int | None = BITS) -> Encoded:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, CATEGORIES))
    masses = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    distinct = pack(np.random.default_rng(7).random((8, BITS)))
    embeddings = np.float32(rng.integers(-3, 4, (rows, DEPTH)) / 16)
    return Encoded(masses, None if bits is None else distinct[rng.integers(0, 8, rows)], embeddings)


def catalogue(rows: int, first: int = 0) -> Catalogue:
    ids = [f"garment {row}" for row in range(first, first + rows)]
    return Catalogue.from_columns({"id": ids, "image": ids, "category": ["hat"] * rows})


def filed(bits: int | None = BITS, rows: int = 40, seed: int = 0) -> Gallery:
    return Gallery.filed(Fake(bits), pictures(seed, rows, bits), catalogue(rows))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def current(folder: Path) -> list[str]:
    """What the manifest names, and itself."""
    manifest = json.loads((folder / "manifest.json").read_text())
    entries = [manifest["index"], manifest["catalogue"], *manifest["embeddings"]]
    return sorted({entry["file"] for entry in entries} | {"manifest.json"})


def equal(ours: Gallery, wanted: Gallery) -> bool:
    """Whether they are the same garments in the same order; if so, they must answer alike."""
    if ours.catalogue.checksum != wanted.catalogue.checksum:
        return False
    asked = pictures(9, 5)
    queries, probes = (asked.embeddings if ours.codes is None else asked.codes), np.tile(np.arange(4), (5, 1))
    assert queries is not None
    assert_same(*(one.lines(to_the_row(one.index, queries, probes, 50)) for one in (ours, wanted)))
    assert np.array_equal(ours.embeddings[ours.rows], wanted.embeddings[wanted.rows])
    assert np.array_equal(ours.lists, wanted.lists)
    assert (ours.fingerprint, ours.adding) == (wanted.fingerprint, wanted.adding)
    return True


def changed(folder: Path) -> Gallery:
    """The gallery in a folder with some garments more and some less; not saved."""
    gallery = Gallery.open(folder, PRINT)
    gallery.add(pictures(2, 30, None if gallery.codes is None else BITS), catalogue(30, 40))
    gallery.remove(gallery.catalogue.column("id")[::7].astype(str))
    return gallery
