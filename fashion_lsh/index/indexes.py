"""Codes by category, and embeddings by category: the two indexes."""

from typing import Any, Self

import faiss
import numpy as np

from fashion_lsh.index.codes import check_codes, pack, width
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.inverted_lists import PartitionedIndex, preassigned
from fashion_lsh.index.validation import at_least_one, check_embeddings, checked_probes

FAST = (4, 8, 16, 20, 32)  # bytes for which FAISS has loops of their own, 3 to 4 times as fast as its others


def kept_width(bits: int) -> int:
    """Bytes that an index keeps a code in, zeros at the end: the next of FAST, beyond these whole words of 64 bits."""
    return next((wide for wide in FAST if width(bits) <= wide), -(-bits // 64) * 8)


class HashIndex(PartitionedIndex):
    """Codes by category.  Vectors: (n, ⌈bits/8⌉) uint8, padding bits 0; distances: Hamming, numbers of bits.

    It keeps each in `kept_width` bytes; one that was opened, in as many as its file does.
    """

    dtype = np.uint8
    _kind = faiss.IndexBinaryIVF
    _read, _write = staticmethod(faiss.read_index_binary), staticmethod(faiss.write_index_binary)

    def __init__(self, bits: int, lists: int) -> None:
        self.bits = bits
        at_least_one(bits=bits, lists=lists)
        quantiser = faiss.IndexBinaryFlat(8 * kept_width(bits))
        used = _widened(pack(np.ones((lists, bits))), kept_width(bits))
        quantiser.add(used)  # all bits in use are 1, so that the file tells `bits`
        self._hold(faiss.IndexBinaryIVF(quantiser, quantiser.d, lists))

    def nearest(self, queries: np.ndarray, probes: np.ndarray, k: int) -> Hits:
        """As `search`, but exact to the row: of several at the last hit's distance the lowest are found.

        Costs a second scan for queries that have further rows at that distance.
        """
        ahead = self.search(queries, probes, at_least_one(k=k) + 1 + k // 4)
        hits = Hits(ahead.rows[:, :k].copy(), ahead.distances[:, :k].copy())
        last = hits.distances[:, -1]
        for query in np.flatnonzero((last == ahead.distances[:, -1]) & np.isfinite(last)):
            first = self.within(queries[query], probes[query], int(last[query])).first(k)
            hits.rows[query], hits.distances[query] = first.rows[0], first.distances[0]
        return hits

    def within(self, query: np.ndarray, probes: np.ndarray, radius: int) -> Hits:
        """All rows up to a Hamming distance.

        Args:
            query: (⌈bits/8⌉,) uint8.
            probes: (lists,) int64, as in `search`.
            radius: bits that differ at most, 0 or more; 0: only equal codes.

        Returns:
            (1, n) hits by (distance, row), however many there are.

        Raises:
            ValueError: type, shape or range is wrong, or a list is named twice.
        """
        if radius < 0:
            raise ValueError(f"{radius=}: give 0 bits or more")
        beyond = int(min(radius, self.bits)) + 1  # FAISS finds what is nearer than this
        query = np.asarray(query)[None]
        self._check(query)
        probes = checked_probes(np.asarray(probes)[None], 1, self.lists)
        kept = self._to_kept(query)
        _, distances, rows = preassigned.range_search_preassigned(self._index, kept, beyond, probes)
        return Hits.of_integers(rows[None], distances[None].astype(np.int32))

    def empty(self) -> Self:
        return type(self)(self.bits, self.lists)

    def _check(self, vectors: np.ndarray) -> None:
        check_codes(vectors, self.bits)

    def _to_kept(self, vectors: np.ndarray) -> np.ndarray:
        return _widened(vectors, self._index.code_size)

    def _of_kept(self, vectors: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(vectors[:, : width(self.bits)])

    def _found(self, queries: np.ndarray, probes: np.ndarray, k: int) -> Hits:
        distances, rows = preassigned.search_preassigned(self._index, queries, k, probes)
        return Hits.of_integers(rows, distances)

    @classmethod
    def _like(cls, index: Any) -> Self:
        placeholder = np.asarray(faiss.downcast_IndexBinary(index.quantizer).reconstruct(0))
        bits = int(np.bitwise_count(placeholder).sum())
        if not bits or not np.array_equal(placeholder, _widened(pack(np.ones((1, bits))), len(placeholder))[0]):
            raise ValueError("it was not written by this class: its placeholders do not tell how many bits are in use")
        return cls(bits, index.nlist)


def _widened(codes: np.ndarray, wide: int) -> np.ndarray:
    """(n, W) -> (n, wide), one after the other, zeros at the end."""
    kept = np.zeros((len(codes), wide), dtype=np.uint8)
    kept[:, : codes.shape[1]] = codes
    return kept


class FloatIndex(PartitionedIndex):
    """Embeddings by category.  Vectors: (n, D) float32, finite; distances: Euclidean."""

    dtype = np.float32
    _kind = faiss.IndexIVFFlat
    _read, _write = staticmethod(faiss.read_index), staticmethod(faiss.write_index)

    def __init__(self, dimensions: int, lists: int) -> None:
        self.dimensions = dimensions
        at_least_one(dimensions=dimensions, lists=lists)
        quantiser = faiss.IndexFlatL2(dimensions)
        quantiser.add(np.zeros((lists, dimensions), dtype=np.float32))
        self._hold(faiss.IndexIVFFlat(quantiser, dimensions, lists, faiss.METRIC_L2))

    def empty(self) -> Self:
        return type(self)(self.dimensions, self.lists)

    def _check(self, vectors: np.ndarray) -> None:
        check_embeddings(vectors, self.dimensions)

    def _found(self, queries: np.ndarray, probes: np.ndarray, k: int) -> Hits:
        squares, rows = preassigned.search_preassigned(self._index, queries, k, probes)
        return Hits.best(rows, np.sqrt(squares), k)

    @classmethod
    def _like(cls, index: Any) -> Self:
        return cls(index.d, index.nlist)
