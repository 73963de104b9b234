"""Random vectors in inverted lists, few of them distinct, so that many rows have tied distances.

All embeddings are small integers / 16: their distances are exact in float16 and float32 in any summation order.
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
from fashion_lsh.index.inverted_lists import InvertedListIndex

both_indexes = pytest.mark.parametrize("kind", [HashIndex, FloatIndex])


@dataclass(frozen=True)
class SyntheticDataset:
    """Rows to index, and queries with their probed lists; vectors are codes or embeddings."""

    vectors: np.ndarray
    lists: np.ndarray
    rows: np.ndarray
    queries: np.ndarray
    probed_lists: np.ndarray

    def add_to(self, index: Any, parts: int = 1) -> Any:
        for part in np.array_split(np.arange(len(self.rows)), parts):
            index.add(self.vectors[part], self.lists[part], self.rows[part])
        return index

    def part(self, chosen: np.ndarray) -> "SyntheticDataset":
        return SyntheticDataset(
            self.vectors[chosen], self.lists[chosen], self.rows[chosen], self.queries, self.probed_lists
        )

    def expected(self, k: int) -> Hits:
        """Brute-force search: all pairs in the probed lists, sorted by (distance, row)."""
        if self.vectors.dtype == np.uint8:
            distances = hamming(self.queries, self.vectors).astype(np.float32)
        else:
            distances = np.sqrt(((self.queries[:, None] - self.vectors) ** 2).sum(axis=2))
        probed = (self.lists[None, :, None] == self.probed_lists[:, None, :]).any(axis=2)
        ranked = [sorted(zip(distances[q, near], self.rows[near], strict=True)) for q, near in enumerate(probed)]
        return hits_from_lists(
            [[row for _, row in hits[:k]] for hits in ranked],
            [[distance for distance, _ in hits[:k]] for hits in ranked],
            k,
        )


def hits_from_lists(rows: Sequence[Sequence[int]], distances: Sequence[Sequence[float]], k: int) -> Hits:
    """Hits from lists of at most k elements, padded."""
    filled_rows = [[*values, *[-1] * (k - len(values))] for values in rows]
    filled_distances = [[*values, *[np.inf] * (k - len(values))] for values in distances]
    return Hits(
        np.array(filled_rows, dtype=np.int64).reshape(-1, k),
        np.array(filled_distances, dtype=np.float32).reshape(-1, k),
    )


def synthetic_dataset(
    seed: int, width: int, rows: int = 60, lists: int = 5, queries: int = 4, codes: bool = True
) -> SyntheticDataset:
    """Random dataset: lists may be empty, row numbers have gaps, probed lists are in any order."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-3, 4, (max(1, rows // 4), width))
    vectors = pack(values.astype(float), 0.0) if codes else np.float32(values / 16)
    probed_lists = np.stack([np.where(rng.random(lists) < 0.5, rng.permutation(lists), -1) for _ in range(queries)])
    row_ids, query_ids = rng.integers(0, len(vectors), rows), rng.integers(0, len(vectors), queries)
    rows_of_vectors = rng.choice(10 * rows + 1, rows, replace=False)
    return SyntheticDataset(
        vectors[row_ids], rng.integers(0, lists, rows), rows_of_vectors, vectors[query_ids], probed_lists
    )


def random_bits(seed: int, count: int, bits: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (count, bits), dtype=np.uint8)


def random_unit_vectors(seed: int, *shape: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=shape)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), dtype=np.float32)


def all_lists(dataset: SyntheticDataset, lists: int = 5) -> np.ndarray:
    return np.tile(np.arange(lists), (len(dataset.queries), 1))


def index_and_dataset(kind: type[Any], seed: int = 0, **sizes: int) -> tuple[Any, SyntheticDataset]:
    dataset = synthetic_dataset(seed, 12, codes=kind is HashIndex, **sizes)
    return dataset.add_to(kind(12, 5)), dataset


def exact_search(index: InvertedListIndex, queries: np.ndarray, probed_lists: np.ndarray, k: int) -> Hits:
    """Search with ties broken by the lowest row: `search_exact`, or all rows cut to k."""
    if isinstance(index, HashIndex):
        return index.search_exact(queries, probed_lists, k)
    return index.search(queries, probed_lists, max(k, len(index))).top(k)


def assert_same_hits(hits: Hits, expected: Hits) -> None:
    hits.check()
    assert np.array_equal(hits.distances, expected.distances)
    assert np.array_equal(hits.rows, expected.rows)


def assert_hits_within(hits: Hits, everything: Hits) -> None:
    """Rows nearer than the last hit equal those of `everything`; rows tied with it are a subset, in any choice."""
    hits.check()
    k = hits.rows.shape[1]
    assert np.array_equal(hits.distances, everything.distances[:, :k])
    for hit_rows, hit_distances, rows, distances in zip(
        hits.rows, hits.distances, everything.rows, everything.distances, strict=True
    ):
        inside = hit_distances < hit_distances[-1]
        assert np.array_equal(hit_rows[inside], rows[:k][inside])
        tied = hit_rows[~inside].tolist()
        assert tied == sorted(tied)
        assert set(tied) <= set(rows[distances == hit_distances[-1]])
