"""Base class of the inverted-file indexes, which have one inverted list per category.

The classifier replaces the coarse quantiser: FAISS receives the list of each row and the lists to probe of each query
("pre-assigned"). The quantiser of the FAISS index contains one placeholder vector per list and is never searched.
FAISS checks few arguments, and a list id out of range ends the process, so all arguments are validated before FAISS
is called. FAISS reads arrays by address, so every array passed to FAISS stays in a variable until the call returns.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import faiss
import numpy as np
from faiss.contrib import ivf_tools

from fashion_lsh.index.hits import Hits
from fashion_lsh.index.validation import (
    MAX_ROW,
    check_indexed,
    check_integers,
    check_not_indexed,
    check_positive,
    check_probed_lists,
)
from fashion_lsh.io.files import atomic_write

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


class IndexStats(NamedTuple):
    """Size of an index.

    Attributes:
        rows: number of rows.
        vector_bytes: size of all stored vectors in bytes.
        row_bytes: size of all stored rows in bytes; FAISS stores a row as an int64 id.
        list_sizes: number of rows in each list.
    """

    rows: int
    vector_bytes: int
    row_bytes: int
    list_sizes: list[int]


class InvertedListIndex(ABC):
    """Base class of HashIndex and FloatIndex: add, remove and search rows in inverted lists; save to one file."""

    dtype: type[np.generic]
    _faiss_class: type[Any]
    _read: Callable[[str], Any]  # FAISS function that reads an index from a file
    _write: Callable[[Any, Any], None]  # FAISS function that writes an index to a file

    def _set_faiss_index(self, index: Any) -> None:
        self._index, invlists = index, index.invlists
        index.nprobe = index.nlist  # queries that probe fewer lists are padded with -1
        is_consistent = index.is_trained and (invlists.nlist, invlists.code_size) == (index.nlist, index.code_size)
        if not is_consistent or self.list_sizes().sum() != len(self):
            raise ValueError("the lists are inconsistent with the header")

    @property
    def num_lists(self) -> int:
        """Number of lists, including empty ones."""
        return int(self._index.nlist)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def list_sizes(self) -> np.ndarray:
        """Number of rows in each list: (num_lists,) int64."""
        sizes = [self._index.invlists.list_size(list_id) for list_id in range(self.num_lists)]
        return np.array(sizes, dtype=np.int64)

    def add(self, vectors: np.ndarray, list_ids: np.ndarray, rows: np.ndarray) -> None:
        """Add rows to the index.

        Args:
            vectors: (n, W) uint8 codes for HashIndex, (n, D) float32 embeddings for FloatIndex; n may be 0.
            list_ids: (n,) int64, the list (category) of each row.
            rows: (n,) int64, unique, 0 or more, not in the index yet.

        Raises:
            ValueError: wrong dtype, shape or range, or a row is repeated or already indexed. The index is unchanged.
        """
        vectors = np.asarray(vectors)
        self._check(vectors)
        list_ids = check_integers("list_ids", list_ids, (len(vectors),), 0, self.num_lists - 1)
        rows = check_integers("rows", rows, (len(vectors),), 0, MAX_ROW)
        check_not_indexed(rows, self._indexed_rows())
        if len(rows):
            stored = self._to_stored(vectors)
            preassigned.add_preassigned(self._index, stored, list_ids, rows)

    def remove(self, rows: np.ndarray) -> None:
        """Remove rows from the index.  rows: (n,) int64, unique and present; n may be 0.

        Raises:
            ValueError: wrong dtype or shape, or a row is repeated or not in the index. The index is unchanged.
        """
        rows = check_integers("rows", rows, (np.size(rows),), 0, MAX_ROW)
        check_indexed(rows, self._indexed_rows())
        if len(rows):
            selector = faiss.IDSelectorBatch(rows)
            self._index.remove_ids(selector)

    def stats(self) -> IndexStats:
        """Return the size of the index."""
        return IndexStats(len(self), len(self) * self._index.code_size, 8 * len(self), self.list_sizes().tolist())

    def search(self, queries: np.ndarray, probed_lists: np.ndarray, k: int) -> Hits:
        """Find the k nearest rows in the probed lists of each query.

        Args:
            queries: (Q, W) uint8 codes for HashIndex, (Q, D) float32 embeddings for FloatIndex; Q may be 0.
            probed_lists: (Q, num_lists) int64, the lists to probe, without repetition, padded with -1.
            k: hits per query, at least 1; padded with row -1 if the probed lists have fewer rows.

        Returns:
            (Q, k) hits by (distance, row). All rows nearer than the last hit are included. It is unspecified which of
            the rows tied with the last hit are returned.

        Raises:
            ValueError: wrong dtype, shape or range, or a query repeats a list.
        """
        check_positive(k=k)
        queries = np.asarray(queries)
        self._check(queries)
        probed_lists = check_probed_lists(probed_lists, len(queries), self.num_lists)
        return self._search(self._to_stored(queries), probed_lists, min(k, max(1, len(self)))).pad(k)

    def contents(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return rows (N,) int64, ascending, their list ids (N,) int64, and vectors (N, W) uint8 or (N, D) float32."""
        rows, list_ids = self._indexed_rows(), np.repeat(np.arange(self.num_lists), self.list_sizes())
        invlists, order = self._index.invlists, np.argsort(rows)
        vectors = self._read_lists(invlists.get_codes, invlists.code_size, np.uint8).reshape(
            len(rows), invlists.code_size
        )
        return rows[order], list_ids[order], self._from_stored(vectors[order].view(self.dtype))

    def save(self, path: str | Path) -> None:
        """Save to one file, which `open` reads.

        Raises:
            OSError: the file could not be written; an existing file at `path` is unchanged.
        """
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            self._write(self._index, faiss.PyCallbackIOWriter(file.write))  # type: ignore[attr-defined]  # not in its stubs

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Read a file written by `save`. Corrupted values are not detected; compare the checksum of the file.

        Raises:
            FileNotFoundError: the file is missing.
            ValueError: the file does not contain an index of this class.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such index file; pass a file written by {cls.__name__}.save")
        try:
            index = cls._read(str(path))
            if type(index) is not cls._faiss_class or index.metric_type != faiss.METRIC_L2:
                raise ValueError(f"the file contains a {type(index).__name__}")
            result = cls._from_faiss(index)
            result._set_faiss_index(index)
            return result
        except (RuntimeError, MemoryError, ValueError) as error:  # FAISS raises RuntimeError for every error
            name = cls.__name__
            raise ValueError(f"{path}: not a {name} file, or damaged; pass a file written by {name}.save") from error

    @abstractmethod
    def empty(self) -> Self:
        """Return an empty index of the same dimensions and number of lists."""

    @abstractmethod
    def _check(self, vectors: np.ndarray) -> None:
        """Raise ValueError if `vectors` is not a batch of this index's vectors."""

    @classmethod
    @abstractmethod
    def _from_faiss(cls, index: Any) -> Self:
        """Return an empty index with the dimension and number of lists of a FAISS index.

        Raises:
            ValueError: the FAISS index was not written by this class.
        """

    @abstractmethod
    def _search(self, queries: np.ndarray, probed_lists: np.ndarray, k: int) -> Hits:
        """Search with validated arguments, 1 <= k <= max(1, number of rows)."""

    def _to_stored(self, vectors: np.ndarray) -> np.ndarray:
        """Convert (n, ...) vectors to FAISS's storage format, contiguous."""
        return np.ascontiguousarray(vectors)

    def _from_stored(self, vectors: np.ndarray) -> np.ndarray:
        """Convert vectors from FAISS's storage format."""
        return vectors

    def _indexed_rows(self) -> np.ndarray:
        """Return all rows in the index, list after list: (N,) int64."""
        return self._read_lists(self._index.invlists.get_ids, 1, np.int64)

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
