"""Libraries, pictures and galleries of random numbers, few of them distinct, so that many rows are equally near.

All embeddings are small whole numbers / 16: their distances are exact in float16 and float32, added up in any order.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.codes import hamming, pack
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import FloatIndex, HashIndex
from fashion_lsh.index.inverted_lists import PartitionedIndex
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.search.policy import Probes, Search

CATEGORIES, BITS, DEPTH, PRINT = 4, 9, 6, "one model"
PLAIN: Any = {"alpha": 0.5, "whole_below": 0.0}
kinds = pytest.mark.parametrize("kind", [HashIndex, FloatIndex])


@dataclass(frozen=True)
class Library:
    """Rows to file and queries to ask, of either kind."""

    vectors: np.ndarray
    lists: np.ndarray
    rows: np.ndarray
    queries: np.ndarray
    probes: np.ndarray

    def filed(self, index: Any, parts: int = 1) -> Any:
        for part in np.array_split(np.arange(len(self.rows)), parts):
            index.add(self.vectors[part], self.lists[part], self.rows[part])
        return index

    def part(self, chosen: np.ndarray) -> "Library":
        return Library(self.vectors[chosen], self.lists[chosen], self.rows[chosen], self.queries, self.probes)

    def expected(self, k: int) -> Hits:
        """Brute force: every pair's distance, sorted by (distance, row) within the probed lists."""
        if self.vectors.dtype == np.uint8:
            apart = hamming(self.queries, self.vectors).astype(np.float32)
        else:
            apart = np.sqrt(((self.queries[:, None] - self.vectors) ** 2).sum(axis=2))
        probed = (self.lists[None, :, None] == self.probes[:, None, :]).any(axis=2)
        found = [sorted(zip(apart[q, near], self.rows[near], strict=True)) for q, near in enumerate(probed)]
        return padded(
            [[row for _, row in one[:k]] for one in found], [[near for near, _ in one[:k]] for one in found], k
        )


def padded(rows: Sequence[Sequence[int]], distances: Sequence[Sequence[float]], k: int) -> Hits:
    """Hits of lists that may be shorter than k."""
    filled = [[*one, *[-1] * (k - len(one))] for one in rows]
    apart = [[*one, *[np.inf] * (k - len(one))] for one in distances]
    return Hits(np.array(filled, dtype=np.int64).reshape(-1, k), np.array(apart, dtype=np.float32).reshape(-1, k))


def library(seed: int, width: int, rows: int = 60, lists: int = 5, queries: int = 4, codes: bool = True) -> Library:
    """Lists may be empty, rows are far from 0..N, a query asks any lists in any order."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(-3, 4, (max(1, rows // 4), width))
    vectors = pack(drawn.astype(float), 0.0) if codes else np.float32(drawn / 16)
    probes = np.stack([np.where(rng.random(lists) < 0.5, rng.permutation(lists), -1) for _ in range(queries)])
    filed, asked = rng.integers(0, len(vectors), rows), rng.integers(0, len(vectors), queries)
    names = rng.choice(10 * rows + 1, rows, replace=False)
    return Library(vectors[filed], rng.integers(0, lists, rows), names, vectors[asked], probes)


def whole(made: Library, lists: int = 5) -> np.ndarray:
    return np.tile(np.arange(lists), (len(made.queries), 1))


def made_for(kind: type[Any], seed: int = 0, **sizes: int) -> tuple[Any, Library]:
    made = library(seed, 12, codes=kind is HashIndex, **sizes)
    return made.filed(kind(12, 5)), made


def to_the_row(index: PartitionedIndex, queries: np.ndarray, probes: np.ndarray, k: int) -> Hits:
    """The search whose every row is determined: `nearest`, or all of the lists, cut."""
    if isinstance(index, HashIndex):
        return index.nearest(queries, probes, k)
    return index.search(queries, probes, max(k, len(index))).first(k)


def assert_same(found: Hits, expected: Hits) -> None:
    found.check()
    assert np.array_equal(found.distances, expected.distances)
    assert np.array_equal(found.rows, expected.rows)


def assert_inside(found: Hits, everything: Hits) -> None:
    """All rows nearer than the last hit are those of `everything`; at its distance they are some of them."""
    found.check()
    k = found.rows.shape[1]
    assert np.array_equal(found.distances, everything.distances[:, :k])
    for ours, apart, rows, distances in zip(
        found.rows, found.distances, everything.rows, everything.distances, strict=True
    ):
        inside = apart < apart[-1]
        assert np.array_equal(ours[inside], rows[:k][inside])
        edge = ours[~inside].tolist()
        assert edge == sorted(edge)
        assert set(edge) <= set(rows[distances == apart[-1]])


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
    return Catalogue.of({"id": ids, "picture": ids, "category": ["hat"] * rows})


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


def lists_of(masses: np.ndarray, search: Search) -> list[int]:
    """The slow twin of Search.lists for one query."""
    probes: Probes = search.probes
    order = sorted(range(len(masses)), key=lambda category: (-masses[category], category))
    if probes == "all" or masses[order[0]] < np.float32(search.whole_below):
        return order
    if isinstance(probes, int):
        return order[:probes]
    taken, reached = [], np.float32(0)
    for category in order:
        taken.append(category)
        reached += masses[category]
        if reached >= np.float32(probes):
            break
    return taken
