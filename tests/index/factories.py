"""Vectors in lists: random numbers, few of them distinct, so that many rows are equally near.

All embeddings are small integers / 16: their distances are exact in float16 and float32, summed in any order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from fashion_lsh.index.codes import pack
from fashion_lsh.index.distances import hamming
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import FloatIndex, HashIndex
from fashion_lsh.index.inverted_lists import PartitionedIndex

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


def random_bits(seed: int, count: int, bits: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (count, bits), dtype=np.uint8)


def unit(seed: int, *shape: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=shape)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), dtype=np.float32)


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
