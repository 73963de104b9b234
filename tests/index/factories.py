"""Random vectors in inverted lists. Few vectors are distinct, so that many rows have tied distances.

All values of embeddings are small integers / 16, so distances are exact in float16 and float32 in any summation order.
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

both_index_classes = pytest.mark.parametrize("index_class", [HashIndex, FloatIndex])


@dataclass(frozen=True)
class SyntheticDataset:
    """Rows to index, and queries.

    Attributes:
        vectors: (n, W) codes or (n, D) embeddings.
        list_ids: (n,) int64.
        rows: (n,) int64.
        queries: (Q, W) codes or (Q, D) embeddings.
        probed_lists: (Q, num_lists) int64, padded with -1.
    """

    vectors: np.ndarray
    list_ids: np.ndarray
    rows: np.ndarray
    queries: np.ndarray
    probed_lists: np.ndarray

    def add_to(self, index: Any, num_batches: int = 1) -> Any:
        for batch in np.array_split(np.arange(len(self.rows)), num_batches):
            index.add(self.vectors[batch], self.list_ids[batch], self.rows[batch])
        return index

    def subset(self, indices: np.ndarray) -> "SyntheticDataset":
        return SyntheticDataset(
            self.vectors[indices], self.list_ids[indices], self.rows[indices], self.queries, self.probed_lists
        )

    def expected(self, k: int) -> Hits:
        """Brute-force search: all pairs in the probed lists, sorted by (distance, row)."""
        if self.vectors.dtype == np.uint8:
            distances = hamming(self.queries, self.vectors).astype(np.float32)
        else:
            distances = np.sqrt(((self.queries[:, None] - self.vectors) ** 2).sum(axis=2))
        in_probed_lists = (self.list_ids[None, :, None] == self.probed_lists[:, None, :]).any(axis=2)  # (Q, n)
        rankings = [
            sorted(zip(distances[query, mask], self.rows[mask], strict=True))
            for query, mask in enumerate(in_probed_lists)
        ]
        return hits_from_lists(
            [[row for _, row in ranking[:k]] for ranking in rankings],
            [[distance for distance, _ in ranking[:k]] for ranking in rankings],
            k,
        )


def hits_from_lists(rows: Sequence[Sequence[int]], distances: Sequence[Sequence[float]], k: int) -> Hits:
    """Build hits from lists of at most k elements, padded with row -1 and distance inf."""
    padded_rows = [[*values, *[-1] * (k - len(values))] for values in rows]
    padded_distances = [[*values, *[np.inf] * (k - len(values))] for values in distances]
    return Hits(
        np.array(padded_rows, dtype=np.int64).reshape(-1, k),
        np.array(padded_distances, dtype=np.float32).reshape(-1, k),
    )


def synthetic_dataset(
    seed: int, dimensions: int, num_rows: int = 60, num_lists: int = 5, num_queries: int = 4, codes: bool = True
) -> SyntheticDataset:
    """Random dataset with empty lists, gaps between the rows, and probed lists in any order."""
    rng = np.random.default_rng(seed)
    values = rng.integers(-3, 4, (max(1, num_rows // 4), dimensions))
    vectors = pack(values.astype(float), 0.0) if codes else np.float32(values / 16)
    probed_lists = [np.where(rng.random(num_lists) < 0.5, rng.permutation(num_lists), -1) for _ in range(num_queries)]
    vector_indices, query_indices = (rng.integers(0, len(vectors), count) for count in (num_rows, num_queries))
    row_ids = rng.choice(10 * num_rows + 1, num_rows, replace=False)
    list_ids = rng.integers(0, num_lists, num_rows)
    return SyntheticDataset(vectors[vector_indices], list_ids, row_ids, vectors[query_indices], np.stack(probed_lists))


def random_bits(seed: int, count: int, bits: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (count, bits), dtype=np.uint8)


def random_unit_vectors(seed: int, *shape: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=shape)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), dtype=np.float32)


def all_lists(dataset: SyntheticDataset, num_lists: int = 5) -> np.ndarray:
    return np.tile(np.arange(num_lists), (len(dataset.queries), 1))


def index_and_dataset(index_class: type[Any], seed: int = 0, **sizes: int) -> tuple[Any, SyntheticDataset]:
    dataset = synthetic_dataset(seed, 12, codes=index_class is HashIndex, **sizes)
    return dataset.add_to(index_class(12, 5)), dataset


def exact_search(index: InvertedListIndex, queries: np.ndarray, probed_lists: np.ndarray, k: int) -> Hits:
    """Search with ties broken by the lowest row: as HashIndex does, or search for all rows, truncated to k."""
    if isinstance(index, HashIndex):
        return index.search(queries, probed_lists, k)
    return index.search(queries, probed_lists, max(k, len(index))).top(k)


def assert_same_hits(hits: Hits, expected: Hits) -> None:
    hits.check()
    assert np.array_equal(hits.distances, expected.distances)
    assert np.array_equal(hits.rows, expected.rows)


def assert_hits_equal_up_to_ties(hits: Hits, all_hits: Hits) -> None:
    """Check that hits equal the first of `all_hits`, except for the choice among rows tied with the last hit."""
    hits.check()
    k = hits.rows.shape[1]
    assert np.array_equal(hits.distances, all_hits.distances[:, :k])
    for hit_rows, hit_distances, rows, distances in zip(
        hits.rows, hits.distances, all_hits.rows, all_hits.distances, strict=True
    ):
        is_nearer = hit_distances < hit_distances[-1]
        assert np.array_equal(hit_rows[is_nearer], rows[:k][is_nearer])
        tied_rows = hit_rows[~is_nearer].tolist()
        assert tied_rows == sorted(tied_rows)
        assert set(tied_rows) <= set(rows[distances == hit_distances[-1]])
