"""Base class of the inverted-file indexes, which have one inverted list per category.

The classifier replaces the coarse quantiser: callers pass the list of each row and the lists to probe of each query.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from tokenize import TokenError
from typing import BinaryIO, NamedTuple, Self

import numpy as np

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


class IndexStats(NamedTuple):
    """Size of an index.

    Attributes:
        rows: number of rows.
        vector_bytes: size of all stored vectors in bytes.
        row_bytes: size of all stored rows in bytes; a row is stored as an int64.
        list_sizes: number of rows in each list.
    """

    rows: int
    vector_bytes: int
    row_bytes: int
    list_sizes: list[int]


class InvertedListIndex(ABC):
    """Base class of HashIndex and FloatIndex: add, remove and search rows in inverted lists; save to one file."""

    num_lists: int  # including empty lists

    def __len__(self) -> int:
        return int(self.list_sizes().sum())

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
            self._add(vectors, list_ids, rows)

    def remove(self, rows: np.ndarray) -> None:
        """Remove rows from the index.  rows: (n,) int64, unique and present; n may be 0.

        Raises:
            ValueError: wrong dtype or shape, or a row is repeated or not in the index. The index is unchanged.
        """
        rows = check_integers("rows", rows, (np.size(rows),), 0, MAX_ROW)
        check_indexed(rows, self._indexed_rows())
        if len(rows):
            self._remove(rows)

    def search(self, queries: np.ndarray, probed_lists: np.ndarray, k: int) -> Hits:
        """Find the k nearest rows in the probed lists of each query.

        Args:
            queries: (Q, W) uint8 codes for HashIndex, (Q, D) float32 embeddings for FloatIndex; Q may be 0.
            probed_lists: (Q, num_lists) int64, the lists to probe, without repetition, padded with -1.
            k: hits per query, at least 1; padded with row -1 if the probed lists have fewer rows.

        Returns:
            (Q, k) hits by (distance, row). All rows nearer than the last hit are included. Of the rows tied with the
            last hit, HashIndex returns the lowest; for FloatIndex it is unspecified which are returned.

        Raises:
            ValueError: wrong dtype, shape or range, or a query repeats a list.
        """
        check_positive(k=k)
        queries = np.asarray(queries)
        self._check(queries)
        probed_lists = check_probed_lists(probed_lists, len(queries), self.num_lists)
        return self._search(queries, probed_lists, min(k, max(1, len(self)))).pad(k)

    def contents(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return rows (N,) int64, ascending, their list ids (N,) int64, and vectors (N, W) uint8 or (N, D) float32."""
        rows, list_ids = self._indexed_rows(), np.repeat(np.arange(self.num_lists), self.list_sizes())
        order = np.argsort(rows)
        return rows[order], list_ids[order], self._vectors()[order]

    def stats(self) -> IndexStats:
        """Return the size of the index."""
        return IndexStats(len(self), len(self) * self._vector_bytes(), 8 * len(self), self.list_sizes().tolist())

    def save(self, path: str | Path) -> None:
        """Save to one file, which `open` reads.

        Raises:
            OSError: the file could not be written; an existing file at `path` is unchanged.
        """
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            self._write(file)

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
            return cls._read(path)
        # numpy raises SyntaxError or TokenError for damaged headers, FAISS RuntimeError for every error
        except (RuntimeError, MemoryError, ValueError, SyntaxError, TokenError) as error:
            name = cls.__name__
            raise ValueError(f"{path}: not a {name} file, or damaged; pass a file written by {name}.save") from error

    @abstractmethod
    def list_sizes(self) -> np.ndarray:
        """Number of rows in each list: (num_lists,) int64."""

    @abstractmethod
    def empty(self) -> Self:
        """Return an empty index of the same dimensions and number of lists."""

    @abstractmethod
    def _check(self, vectors: np.ndarray) -> None:
        """Raise ValueError if `vectors` is not a batch of this index's vectors."""

    @abstractmethod
    def _add(self, vectors: np.ndarray, list_ids: np.ndarray, rows: np.ndarray) -> None:
        """Add rows with validated arguments, at least one."""

    @abstractmethod
    def _remove(self, rows: np.ndarray) -> None:
        """Remove validated rows, at least one."""

    @abstractmethod
    def _search(self, queries: np.ndarray, probed_lists: np.ndarray, k: int) -> Hits:
        """Search with validated arguments, 1 <= k <= max(1, number of rows)."""

    @abstractmethod
    def _indexed_rows(self) -> np.ndarray:
        """Return all rows in the index, list after list: (N,) int64."""

    @abstractmethod
    def _vectors(self) -> np.ndarray:
        """Return a copy of all vectors in the order of `_indexed_rows`: (N, W) uint8 or (N, D) float32."""

    @abstractmethod
    def _vector_bytes(self) -> int:
        """Size of a stored vector in bytes."""

    @abstractmethod
    def _write(self, file: BinaryIO) -> None:
        """Write the index to an open file."""

    @classmethod
    @abstractmethod
    def _read(cls, path: Path) -> Self:
        """Read an index.

        Raises:
            ValueError, RuntimeError, MemoryError, SyntaxError, TokenError: the file was not written by this class.
        """
