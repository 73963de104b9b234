"""HashIndex and FloatIndex: inverted-file indexes of codes and of embeddings, with one list per category."""

from typing import Any, Self

import faiss
import numpy as np

from fashion_lsh.index.codes import check_codes, code_bytes, pack
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.inverted_lists import InvertedListIndex, preassigned
from fashion_lsh.index.validation import check_embeddings, check_positive, check_probed_lists

# Code sizes in bytes with a specialised FAISS loop, which is 3 to 4 times as fast as the generic loop.
FAST_CODE_SIZES = (4, 8, 16, 20, 32)


def stored_code_bytes(bits: int) -> int:
    """Size of a stored, zero-padded code in bytes: the next of FAST_CODE_SIZES, or above 32 bytes a multiple of 8."""
    return next((size for size in FAST_CODE_SIZES if code_bytes(bits) <= size), -(-bits // 64) * 8)


class HashIndex(InvertedListIndex):
    """Index of packed codes.  Vectors are codes, (n, ⌈bits/8⌉) uint8; distances are Hamming distances in bits.

    A new index stores codes of `stored_code_bytes(bits)` bytes. An opened index uses the code size of its file.

    Args:
        bits: code length.
        num_lists: number of inverted lists, one per category.
    """

    dtype = np.uint8
    _faiss_class = faiss.IndexBinaryIVF
    _read, _write = staticmethod(faiss.read_index_binary), staticmethod(faiss.write_index_binary)

    def __init__(self, bits: int, num_lists: int) -> None:
        self.bits = bits
        check_positive(bits=bits, num_lists=num_lists)
        quantiser = faiss.IndexBinaryFlat(8 * stored_code_bytes(bits))
        placeholders = _pad_codes(pack(np.ones((num_lists, bits))), stored_code_bytes(bits))
        quantiser.add(placeholders)  # all code bits are 1, so that `bits` can be read from the file
        self._set_faiss_index(faiss.IndexBinaryIVF(quantiser, quantiser.d, num_lists))

    def search_exact(self, queries: np.ndarray, probed_lists: np.ndarray, k: int) -> Hits:
        """Search like `search`, and break all ties by the lowest row, including ties with the k-th hit.

        queries (Q, ⌈bits/8⌉) uint8, probed_lists (Q, num_lists) int64 -> (Q, k) hits. Queries with further rows
        tied with the k-th hit are searched a second time.
        """
        candidates = self.search(queries, probed_lists, check_positive(k=k) + 1 + k // 4)
        hits = Hits(candidates.rows[:, :k].copy(), candidates.distances[:, :k].copy())
        kth_distances = hits.distances[:, -1]
        is_tied = (kth_distances == candidates.distances[:, -1]) & np.isfinite(kth_distances)
        for query in np.flatnonzero(is_tied):
            top = self.range_search(queries[query], probed_lists[query], int(kth_distances[query])).top(k)
            hits.rows[query], hits.distances[query] = top.rows[0], top.distances[0]
        return hits

    def range_search(self, query: np.ndarray, probed_lists: np.ndarray, radius: int) -> Hits:
        """Find all rows within a Hamming distance.

        Args:
            query: (⌈bits/8⌉,) uint8.
            probed_lists: (num_lists,) int64, as in `search`.
            radius: largest Hamming distance in bits, 0 or more.

        Returns:
            (1, n) hits by (distance, row), where n is the number of rows within the radius.

        Raises:
            ValueError: wrong dtype, shape or range, or a list is repeated.
        """
        if radius < 0:
            raise ValueError(f"{radius=}: must not be negative; pass 0 or more bits")
        faiss_radius = int(min(radius, self.bits)) + 1  # FAISS excludes rows at the radius
        query = np.asarray(query)[None]
        self._check(query)
        probed_lists = check_probed_lists(np.asarray(probed_lists)[None], 1, self.num_lists)
        stored = self._to_stored(query)
        _, distances, rows = preassigned.range_search_preassigned(self._index, stored, faiss_radius, probed_lists)
        return Hits.from_integers(rows[None], distances[None].astype(np.int32))

    def empty(self) -> Self:
        return type(self)(self.bits, self.num_lists)

    def _check(self, vectors: np.ndarray) -> None:
        check_codes(vectors, self.bits)

    def _to_stored(self, vectors: np.ndarray) -> np.ndarray:
        return _pad_codes(vectors, self._index.code_size)

    def _from_stored(self, vectors: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(vectors[:, : code_bytes(self.bits)])

    def _search(self, queries: np.ndarray, probed_lists: np.ndarray, k: int) -> Hits:
        distances, rows = preassigned.search_preassigned(self._index, queries, k, probed_lists)
        return Hits.from_integers(rows, distances)

    @classmethod
    def _from_faiss(cls, index: Any) -> Self:
        placeholder = np.asarray(faiss.downcast_IndexBinary(index.quantizer).reconstruct(0))
        bits = int(np.bitwise_count(placeholder).sum())
        if not bits or not np.array_equal(placeholder, _pad_codes(pack(np.ones((1, bits))), len(placeholder))[0]):
            raise ValueError("the quantiser's placeholder vectors do not encode the code length")
        return cls(bits, index.nlist)


def _pad_codes(codes: np.ndarray, size: int) -> np.ndarray:
    """Zero-pad codes.  codes (n, W) uint8 -> (n, size) uint8, contiguous."""
    padded = np.zeros((len(codes), size), dtype=np.uint8)
    padded[:, : codes.shape[1]] = codes
    return padded


class FloatIndex(InvertedListIndex):
    """Index of embeddings.  Vectors are finite, (n, D) float32; distances are Euclidean.

    Args:
        dimensions: embedding dimension D.
        num_lists: number of inverted lists, one per category.
    """

    dtype = np.float32
    _faiss_class = faiss.IndexIVFFlat
    _read, _write = staticmethod(faiss.read_index), staticmethod(faiss.write_index)

    def __init__(self, dimensions: int, num_lists: int) -> None:
        self.dimensions = dimensions
        check_positive(dimensions=dimensions, num_lists=num_lists)
        quantiser = faiss.IndexFlatL2(dimensions)
        quantiser.add(np.zeros((num_lists, dimensions), dtype=np.float32))
        self._set_faiss_index(faiss.IndexIVFFlat(quantiser, dimensions, num_lists, faiss.METRIC_L2))

    def empty(self) -> Self:
        return type(self)(self.dimensions, self.num_lists)

    def _check(self, vectors: np.ndarray) -> None:
        check_embeddings(vectors, self.dimensions)

    def _search(self, queries: np.ndarray, probed_lists: np.ndarray, k: int) -> Hits:
        squares, rows = preassigned.search_preassigned(self._index, queries, k, probed_lists)
        return Hits.nearest(rows, np.sqrt(squares), k)

    @classmethod
    def _from_faiss(cls, index: Any) -> Self:
        return cls(index.d, index.nlist)
