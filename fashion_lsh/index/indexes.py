"""HashIndex and FloatIndex: inverted-file indexes of codes and of embeddings, with one list per category."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self

import faiss
import numpy as np
from faiss.contrib import ivf_tools

from fashion_lsh.index.codes import check_codes, code_bytes, pad_codes, stored_code_bytes
from fashion_lsh.index.exact_search import Block, hamming_distances, nearest_keys, split_blocks
from fashion_lsh.index.hits import NO_HIT, Hits, make_sort_keys
from fashion_lsh.index.inverted_lists import InvertedListIndex
from fashion_lsh.index.validation import (
    MAX_ROW,
    check_embeddings,
    check_integers,
    check_positive,
    check_probed_lists,
)

preassigned: Any = ivf_tools  # the module has no type annotations


@contextmanager
def faiss_threads(num_threads: int) -> Iterator[None]:
    """Set the number of FAISS threads within the block; hits do not depend on the number of threads."""
    previous_count = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(num_threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(previous_count)


class HashIndex(InvertedListIndex):
    """Index of packed codes.  Vectors are codes, (n, ⌈bits/8⌉) uint8; distances are Hamming distances in bits.

    `search` is exact by (distance, row): it compares each query once with each code of the probed lists, and its hits
    do not depend on the other queries of a batch. Codes are stored list after list, in `stored_code_bytes(bits)` bytes.

    Args:
        bits: code length.
        num_lists: number of inverted lists, one per category.
    """

    def __init__(self, bits: int, num_lists: int) -> None:
        check_positive(bits=bits, num_lists=num_lists)
        self.bits, self.num_lists = bits, num_lists
        self._bounds = [0] * (num_lists + 1)  # list i has the positions from bounds[i] to bounds[i + 1]
        self._rows = np.empty(0, dtype=np.int64)
        self._codes = np.empty((0, stored_code_bytes(bits)), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self._rows)

    def list_sizes(self) -> np.ndarray:
        return np.diff(self._bounds)

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
        query = np.asarray(query)[None]
        self._check(query)
        probed_lists = check_probed_lists(np.asarray(probed_lists)[None], 1, self.num_lists)
        stored = pad_codes(query, self._codes.shape[1])
        keys = [np.empty(0, dtype=np.int64)]
        for start, stop in split_blocks(self._slices(probed_lists[0].tolist())):
            distances = hamming_distances(stored, self._codes[start:stop])
            positions = np.flatnonzero(distances <= int(min(radius, self.bits)))
            keys.append(make_sort_keys(distances[positions], self._rows[start:stop][positions]))
        return Hits.from_keys(np.sort(np.concatenate(keys))[None])

    def empty(self) -> Self:
        return type(self)(self.bits, self.num_lists)

    def _check(self, vectors: np.ndarray) -> None:
        check_codes(vectors, self.bits)

    def _add(self, vectors: np.ndarray, list_ids: np.ndarray, rows: np.ndarray) -> None:
        order = np.argsort(list_ids, kind="stable")  # adjacent lists may end at the same position
        ends = np.array(self._bounds[1:])[list_ids[order]]
        self._codes = np.insert(self._codes, ends, pad_codes(vectors[order], self._codes.shape[1]), axis=0)
        self._rows = np.insert(self._rows, ends, rows[order])
        self._set_sizes(self.list_sizes() + np.bincount(list_ids, minlength=self.num_lists))

    def _remove(self, rows: np.ndarray) -> None:
        is_kept = ~np.isin(self._rows, rows)
        list_sizes = np.bincount(self._list_ids()[is_kept], minlength=self.num_lists)
        self._codes, self._rows = self._codes[is_kept], self._rows[is_kept]
        self._set_sizes(list_sizes)

    def _set_sizes(self, list_sizes: np.ndarray) -> None:
        self._bounds = [0, *np.cumsum(list_sizes).tolist()]

    def _list_ids(self) -> np.ndarray:
        """List id of each position: (N,) int64, ascending."""
        return np.repeat(np.arange(self.num_lists), self.list_sizes())

    def _search(self, queries: np.ndarray, probed_lists: np.ndarray, k: int) -> Hits:
        stored, keys = pad_codes(queries, self._codes.shape[1]), np.empty((len(queries), k), dtype=np.int64)
        for query, list_ids in enumerate(probed_lists.tolist()):
            nearest = nearest_keys(
                stored[query : query + 1], self._codes, self._rows, self._slices(list_ids), k, self.bits
            )
            keys[query, : len(nearest)] = nearest
            keys[query, len(nearest) :] = NO_HIT
        return Hits.from_keys(keys)

    def _slices(self, list_ids: list[int]) -> list[Block]:
        """Return the slices of lists; -1 is not a list."""
        slices = [(self._bounds[list_id], self._bounds[list_id + 1]) for list_id in list_ids if list_id >= 0]
        return slices if len(slices) < self.num_lists else [(0, len(self))]

    def _indexed_rows(self) -> np.ndarray:
        return self._rows

    def _vectors(self) -> np.ndarray:
        return np.ascontiguousarray(self._codes[:, : code_bytes(self.bits)])

    def _vector_bytes(self) -> int:
        return self._codes.shape[1]

    def _write(self, file: BinaryIO) -> None:
        for array in (np.array([self.bits, *self._bounds]), self._rows, self._codes):
            np.lib.format.write_array(file, array, allow_pickle=False)

    @classmethod
    def _read(cls, path: Path) -> Self:
        with path.open("rb") as file:
            header, rows, codes = (np.lib.format.read_array(file, allow_pickle=False) for _ in range(3))
            if file.read(1):
                raise ValueError("the file has trailing bytes")
        bits, *bounds = check_integers("header", header, (max(3, header.size),), 0, MAX_ROW).tolist()
        index = cls(bits, len(bounds) - 1)
        if bounds[0] or bounds != sorted(bounds):
            raise ValueError("the list sizes are negative")
        index._bounds, index._rows = bounds, check_integers("rows", rows, (bounds[-1],), 0, MAX_ROW)
        check_codes(codes, 8 * index._codes.shape[1])
        if len(codes) != len(rows) or len(np.unique(rows)) < len(rows) or codes[:, code_bytes(bits) :].any():
            raise ValueError("the codes do not have one row each, or are not padded with zeros")
        index._codes = np.ascontiguousarray(codes)
        check_codes(index._vectors(), bits)
        return index


class FloatIndex(InvertedListIndex):
    """Index of embeddings.  Vectors are finite, (n, D) float32; distances are Euclidean.

    The lists are those of a FAISS index, which receives the list of each row and the lists to probe of each query
    ("pre-assigned"). Its quantiser contains one placeholder vector per list and is never searched. FAISS checks few
    arguments, and a list id out of range ends the process, so all arguments are validated before FAISS is called. FAISS
    reads arrays by address, so every array passed to FAISS stays in a variable until the call returns.

    Args:
        dimensions: embedding dimension D.
        num_lists: number of inverted lists, one per category.
    """

    def __init__(self, dimensions: int, num_lists: int) -> None:
        self.dimensions = dimensions
        check_positive(dimensions=dimensions, num_lists=num_lists)
        quantiser = faiss.IndexFlatL2(dimensions)
        quantiser.add(np.zeros((num_lists, dimensions), dtype=np.float32))
        self._set_faiss_index(faiss.IndexIVFFlat(quantiser, dimensions, num_lists, faiss.METRIC_L2))

    def _set_faiss_index(self, index: Any) -> None:
        self._index, invlists, self.num_lists = index, index.invlists, index.nlist
        index.nprobe = index.nlist  # queries that probe fewer lists are padded with -1
        is_consistent = index.is_trained and (invlists.nlist, invlists.code_size) == (index.nlist, index.code_size)
        if not is_consistent or self.list_sizes().sum() != len(self):
            raise ValueError("the lists are inconsistent with the header")

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def list_sizes(self) -> np.ndarray:
        sizes = [self._index.invlists.list_size(list_id) for list_id in range(self.num_lists)]
        return np.array(sizes, dtype=np.int64)

    def empty(self) -> Self:
        return type(self)(self.dimensions, self.num_lists)

    def _check(self, vectors: np.ndarray) -> None:
        check_embeddings(vectors, self.dimensions)

    def _add(self, vectors: np.ndarray, list_ids: np.ndarray, rows: np.ndarray) -> None:
        contiguous = np.ascontiguousarray(vectors)
        preassigned.add_preassigned(self._index, contiguous, list_ids, rows)

    def _remove(self, rows: np.ndarray) -> None:
        selector = faiss.IDSelectorBatch(rows)
        self._index.remove_ids(selector)

    def _search(self, queries: np.ndarray, probed_lists: np.ndarray, k: int) -> Hits:
        contiguous = np.ascontiguousarray(queries)
        squares, rows = preassigned.search_preassigned(self._index, contiguous, k, probed_lists)
        return Hits.nearest(rows, np.sqrt(squares), k)

    def _indexed_rows(self) -> np.ndarray:
        return self._read_lists(self._index.invlists.get_ids, 1, np.int64)

    def _vectors(self) -> np.ndarray:
        invlists = self._index.invlists
        vector_bytes = self._read_lists(invlists.get_codes, invlists.code_size, np.uint8)
        return vector_bytes.view(np.float32).reshape(-1, self.dimensions)

    def _vector_bytes(self) -> int:
        return int(self._index.code_size)

    def _read_lists(
        self, get_pointer: Callable[[int], Any], values_per_row: int, dtype: type[np.generic]
    ) -> np.ndarray:
        """Copy the values of all FAISS lists, list after list: (N * values_per_row,)."""
        sizes = self.list_sizes().tolist()
        arrays = [
            faiss.rev_swig_ptr(get_pointer(list_id), size * values_per_row)
            for list_id, size in enumerate(sizes)
            if size
        ]
        return np.concatenate([np.empty(0, dtype), *arrays])

    def _write(self, file: BinaryIO) -> None:
        faiss.write_index(self._index, faiss.PyCallbackIOWriter(file.write))  # type: ignore[attr-defined]  # not in its stubs

    @classmethod
    def _read(cls, path: Path) -> Self:
        index = faiss.read_index(str(path))
        if type(index) is not faiss.IndexIVFFlat or index.metric_type != faiss.METRIC_L2:
            raise ValueError(f"the file contains a {type(index).__name__}")
        result = cls(index.d, index.nlist)
        result._set_faiss_index(index)
        return result
