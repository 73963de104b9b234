"""Vectors filed in lists, one a category, and searched in the lists a query names: what every index does.

An index is an inverted file whose coarse quantiser is the classifier: FAISS is told the list of every row and the lists
of every query ("pre-assigned"), and its own quantiser, one placeholder a list, is never asked. FAISS itself checks
little (a list beyond the last ends the process), so everything is checked here before it is called; and it reads
arrays by address, so each array it is given stays in a variable until it returns.
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

preassigned: Any = ivf_tools  # carries no types


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Search with so many threads inside the block; what is found does not depend on it."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


class Stats(NamedTuple):
    """How large an index is: rows, bytes of their vectors, bytes of their row numbers, rows in each list."""

    rows: int
    vector_bytes: int
    row_bytes: int
    list_sizes: list[int]


class InvertedListIndex(ABC):
    """What HashIndex and FloatIndex share: rows filed by list, searched by list, kept in one file."""

    dtype: type[np.generic]
    _faiss_class: type[Any]  # FAISS's class, and its functions that read and write one
    _read: Callable[[str], Any]
    _write: Callable[[Any, Any], None]

    def _set_faiss_index(self, index: Any) -> None:
        self._index, invlists = index, index.invlists
        index.nprobe = index.nlist  # never changed: a query that searches fewer lists pads its own with -1
        consistent = index.is_trained and (invlists.nlist, invlists.code_size) == (index.nlist, index.code_size)
        if not consistent or self.list_sizes().sum() != len(self):
            raise ValueError("its lists and its header do not belong together")

    @property
    def lists(self) -> int:
        """How many lists there are, empty ones included."""
        return int(self._index.nlist)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def list_sizes(self) -> np.ndarray:
        """(lists,) int64: rows filed in each list."""
        return np.array([self._index.invlists.list_size(number) for number in range(self.lists)], dtype=np.int64)

    def add(self, vectors: np.ndarray, lists: np.ndarray, rows: np.ndarray) -> None:
        """File rows.

        Args:
            vectors: (n, ...) codes or embeddings, as the index keeps them; n may be 0.
            lists: (n,) int64, the list (category) each row is filed under.
            rows: (n,) int64, each 0 or more and not in the index yet.

        Raises:
            ValueError: type, shape or range is wrong, or a row is filed twice. Nothing was added then.
        """
        vectors = np.asarray(vectors)
        self._check(vectors)
        lists = check_integers("lists", lists, (len(vectors),), 0, self.lists - 1)
        rows = check_integers("rows", rows, (len(vectors),), 0, MAX_ROW)
        check_not_indexed(rows, self._indexed_rows())
        if len(rows):
            stored = self._to_stored(vectors)
            preassigned.add_preassigned(self._index, stored, lists, rows)

    def remove(self, rows: np.ndarray) -> None:
        """Take rows out.  (n,) int64, each filed and named once; n may be 0.

        Raises:
            ValueError: type or shape is wrong, or a row is not filed. Nothing was removed then.
        """
        rows = check_integers("rows", rows, (np.size(rows),), 0, MAX_ROW)
        check_indexed(rows, self._indexed_rows())
        if len(rows):
            selector = faiss.IDSelectorBatch(rows)
            self._index.remove_ids(selector)

    def stats(self) -> Stats:
        """How large it is."""
        return Stats(len(self), len(self) * self._index.code_size, 8 * len(self), self.list_sizes().tolist())

    def search(self, queries: np.ndarray, probed_lists: np.ndarray, k: int) -> Hits:
        """The k nearest rows of the lists each query names.

        Args:
            queries: (Q, ...) codes or embeddings, as the index keeps them; Q may be 0.
            probed_lists: (Q, lists) int64, the lists to search, each once, padded with -1.
            k: hits a query, at least 1; beyond the rows that exist the hits end in -1.

        Returns:
            (Q, k) hits by (distance, row). Which of several rows at the last hit's distance are among them is left to
            FAISS; all nearer ones are.

        Raises:
            ValueError: type, shape or range is wrong, or a query names a list twice.
        """
        check_positive(k=k)
        queries = np.asarray(queries)
        self._check(queries)
        probed_lists = check_probed_lists(probed_lists, len(queries), self.lists)
        return self._search(self._to_stored(queries), probed_lists, min(k, max(1, len(self)))).pad(k)

    def contents(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All that is filed, by row: rows (N,) int64 ascending, their lists (N,) int64, their vectors (N, ...)."""
        rows, lists = self._indexed_rows(), np.repeat(np.arange(self.lists), self.list_sizes())
        invlists, order = self._index.invlists, np.argsort(rows)
        vectors = self._read_lists(invlists.get_codes, invlists.code_size, np.uint8).reshape(
            len(rows), invlists.code_size
        )
        return rows[order], lists[order], self._from_stored(vectors[order].view(self.dtype))

    def save(self, path: str | Path) -> None:
        """Write one file; `open` reads it back.

        Raises:
            OSError: it could not be written; whatever stood at `path` is left as it was.
        """
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            self._write(self._index, faiss.PyCallbackIOWriter(file.write))  # type: ignore[attr-defined]  # not in its stubs

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Read what `save` wrote. Damage that leaves the form whole is not seen: keep a checksum beside the file.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no file of this kind of index.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"no index at {path}: give a file that {cls.__name__}.save wrote")
        try:
            index = cls._read(str(path))
            if type(index) is not cls._faiss_class or index.metric_type != faiss.METRIC_L2:
                raise ValueError(f"it holds a {type(index).__name__}")
            opened = cls._from_faiss(index)
            opened._set_faiss_index(index)
            return opened
        except (RuntimeError, MemoryError, ValueError) as error:  # RuntimeError is all that FAISS raises
            raise ValueError(f"{path} is no {cls.__name__}: give a file that {cls.__name__}.save wrote") from error

    @abstractmethod
    def empty(self) -> Self:
        """One of the same sizes with nothing filed."""

    @abstractmethod
    def _check(self, vectors: np.ndarray) -> None:
        """Refuse what is not a batch of this index's vectors."""

    @classmethod
    @abstractmethod
    def _from_faiss(cls, index: Any) -> Self:
        """An empty index of the sizes that FAISS read; refuse what this class did not write."""

    @abstractmethod
    def _search(self, queries: np.ndarray, probed_lists: np.ndarray, k: int) -> Hits:
        """Search checked arguments, k at most the rows there are."""

    def _to_stored(self, vectors: np.ndarray) -> np.ndarray:
        """(n, ...) vectors as FAISS keeps them, one after the other."""
        return np.ascontiguousarray(vectors)

    def _from_stored(self, vectors: np.ndarray) -> np.ndarray:
        """What `_to_stored` was given."""
        return vectors

    def _indexed_rows(self) -> np.ndarray:
        """(N,) int64: every row in the index."""
        return self._read_lists(self._index.invlists.get_ids, 1, np.int64)

    def _read_lists(self, address: Callable[[int], Any], values_per_row: int, dtype: type[np.generic]) -> np.ndarray:
        """(N * each,) values that FAISS holds at the addresses of its lists, list after list."""
        sizes = self.list_sizes().tolist()
        arrays = [
            faiss.rev_swig_ptr(address(number), size * values_per_row) for number, size in enumerate(sizes) if size
        ]
        return np.concatenate([np.empty(0, dtype), *arrays])
