"""HashIndex and FloatIndex: inverted-file indexes of codes and of embeddings, with one list per category."""

from typing import Any, Self

import faiss
import numpy as np

from fashion_lsh.index.codes import check_codes, pack, width
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.inverted_lists import InvertedListIndex, preassigned
from fashion_lsh.index.validation import check_embeddings, check_positive, check_probed_lists

FAST_CODE_SIZES = (4, 8, 16, 20, 32)  # bytes with specialised FAISS loops, 3 to 4 times as fast as its generic one


def stored_width(bits: int) -> int:
    """Bytes of a stored, zero-padded code: the next of FAST_CODE_SIZES; above 32 bytes a multiple of 8."""
    return next((size for size in FAST_CODE_SIZES if width(bits) <= size), -(-bits // 64) * 8)


class HashIndex(InvertedListIndex):
    """Index of packed codes.  Vectors: (n, ⌈bits/8⌉) uint8, padding bits 0; distances: Hamming, in bits.

    A code is stored in `stored_width` bytes; an opened index uses the code size of its file.

    Args:
        bits: code length.
        lists: number of inverted lists, one per category.
    """

    dtype = np.uint8
    _faiss_class = faiss.IndexBinaryIVF
    _read, _write = staticmethod(faiss.read_index_binary), staticmethod(faiss.write_index_binary)

    def __init__(self, bits: int, lists: int) -> None:
        self.bits = bits
        check_positive(bits=bits, lists=lists)
        quantiser = faiss.IndexBinaryFlat(8 * stored_width(bits))
        placeholder = _pad_codes(pack(np.ones((lists, bits))), stored_width(bits))
        quantiser.add(placeholder)  # all used bits are 1, so that `bits` can be read from the file
        self._set_faiss_index(faiss.IndexBinaryIVF(quantiser, quantiser.d, lists))

    def search_exact(self, queries: np.ndarray, probed_lists: np.ndarray, k: int) -> Hits:
        """Search like `search`, with ties broken by the lowest row, also at the distance of the last hit.

        (Q, bytes) uint8 codes and (Q, lists) int64 -> (Q, k). Queries with more rows at the last hit's distance are
        searched a second time.
        """
        candidates = self.search(queries, probed_lists, check_positive(k=k) + 1 + k // 4)
        hits = Hits(candidates.rows[:, :k].copy(), candidates.distances[:, :k].copy())
        last = hits.distances[:, -1]
        for query in np.flatnonzero((last == candidates.distances[:, -1]) & np.isfinite(last)):
            top = self.range_search(queries[query], probed_lists[query], int(last[query])).top(k)
            hits.rows[query], hits.distances[query] = top.rows[0], top.distances[0]
        return hits

    def range_search(self, query: np.ndarray, probed_lists: np.ndarray, radius: int) -> Hits:
        """Find all rows within a Hamming distance.

        Args:
            query: (⌈bits/8⌉,) uint8.
            probed_lists: (lists,) int64, as in `search`.
            radius: largest Hamming distance, 0 or more; 0: only equal codes.

        Returns:
            (1, n) hits by (distance, row); n depends on the query.

        Raises:
            ValueError: wrong dtype, shape or range, or a list is repeated.
        """
        if radius < 0:
            raise ValueError(f"{radius=}: must not be negative; pass 0 or more bits")
        faiss_radius = int(min(radius, self.bits)) + 1  # FAISS excludes the radius itself
        query = np.asarray(query)[None]
        self._check(query)
        probed_lists = check_probed_lists(np.asarray(probed_lists)[None], 1, self.lists)
        stored = self._to_stored(query)
        _, distances, rows = preassigned.range_search_preassigned(self._index, stored, faiss_radius, probed_lists)
        return Hits.from_integers(rows[None], distances[None].astype(np.int32))

    def empty(self) -> Self:
        return type(self)(self.bits, self.lists)

    def _check(self, vectors: np.ndarray) -> None:
        check_codes(vectors, self.bits)

    def _to_stored(self, vectors: np.ndarray) -> np.ndarray:
        return _pad_codes(vectors, self._index.code_size)

    def _from_stored(self, vectors: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(vectors[:, : width(self.bits)])

    def _search(self, queries: np.ndarray, probed_lists: np.ndarray, k: int) -> Hits:
        distances, rows = preassigned.search_preassigned(self._index, queries, k, probed_lists)
        return Hits.from_integers(rows, distances)

    @classmethod
    def _from_faiss(cls, index: Any) -> Self:
        placeholder = np.asarray(faiss.downcast_IndexBinary(index.quantizer).reconstruct(0))
        bits = int(np.bitwise_count(placeholder).sum())
        if not bits or not np.array_equal(placeholder, _pad_codes(pack(np.ones((1, bits))), len(placeholder))[0]):
            raise ValueError("the quantiser's placeholder vectors do not encode a number of bits")
        return cls(bits, index.nlist)


def _pad_codes(codes: np.ndarray, size: int) -> np.ndarray:
    """Zero-pad codes.  (n, W) uint8 -> (n, size) uint8, contiguous."""
    padded = np.zeros((len(codes), size), dtype=np.uint8)
    padded[:, : codes.shape[1]] = codes
    return padded


class FloatIndex(InvertedListIndex):
    """Index of embeddings.  Vectors: (n, D) float32, finite; distances: Euclidean.

    Args:
        dimensions: D.
        lists: number of inverted lists, one per category.
    """

    dtype = np.float32
    _faiss_class = faiss.IndexIVFFlat
    _read, _write = staticmethod(faiss.read_index), staticmethod(faiss.write_index)

    def __init__(self, dimensions: int, lists: int) -> None:
        self.dimensions = dimensions
        check_positive(dimensions=dimensions, lists=lists)
        quantiser = faiss.IndexFlatL2(dimensions)
        quantiser.add(np.zeros((lists, dimensions), dtype=np.float32))
        self._set_faiss_index(faiss.IndexIVFFlat(quantiser, dimensions, lists, faiss.METRIC_L2))

    def empty(self) -> Self:
        return type(self)(self.dimensions, self.lists)

    def _check(self, vectors: np.ndarray) -> None:
        check_embeddings(vectors, self.dimensions)

    def _search(self, queries: np.ndarray, probed_lists: np.ndarray, k: int) -> Hits:
        squares, rows = preassigned.search_preassigned(self._index, queries, k, probed_lists)
        return Hits.nearest(rows, np.sqrt(squares), k)

    @classmethod
    def _from_faiss(cls, index: Any) -> Self:
        return cls(index.d, index.nlist)
