"""Asymmetric distance: a query with float activations against the binary codes of the gallery."""

from functools import cached_property

import numpy as np

from fashion_lsh.index.codes import check_codes, code_bytes
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import HashIndex
from fashion_lsh.index.validation import check_positive, check_probed_lists

BLOCK = 2**14  # number of rows whose sums are computed at once, so that the sums stay in the cache


class QueryTables:
    """Asymmetric distance of one query to any codes, by one table lookup per byte of a code.

    d(w, b) = ‖w / ‖w‖ - s / √bits‖ = √(2 - 2 ⟨w, s⟩ / (‖w‖ √bits)), where w are the activations of the query minus the
    threshold, and s = 2 b - 1 in {-1, 1}^bits is the code of a row: the Euclidean distance between both vectors after
    normalisation to length 1, 0..2; √2 for w = 0. A table has the inner product of w with each of the 256 values of a
    byte. Sums are computed in float64 in a fixed order, so equal codes have equal distances in every batch.

    A. Gordo, F. Perronnin, Y. Gong, S. Lazebnik: Asymmetric Distances for Binary Embeddings, TPAMI 2014, section 3; the
    lookup tables are those of H. Jégou, M. Douze, C. Schmid: Product Quantization for Nearest Neighbor Search, TPAMI
    2011, section 3.2.

    Args:
        query: (bits,) float, activations minus the threshold.
    """

    def __init__(self, query: np.ndarray) -> None:
        weights = np.zeros((code_bytes(len(query)), 8))
        weights.ravel()[: len(query)] = query  # padding bits have the weight 0
        tables = np.zeros((len(weights), 1))
        for weight in weights.T[:, :, None]:  # bit i is bit i of the index
            tables = np.concatenate([tables - weight, tables + weight], axis=1)
        self.tables = tables  # (W, 256) float64
        norm = np.sqrt((weights**2).sum() * len(query))
        self.scale = 2 / norm if norm else 0.0

    def distances(self, columns: np.ndarray) -> np.ndarray:
        """Distance to n codes.  Bytes of the codes, (W, n) uint8, one contiguous row per byte -> (n,) float32."""
        distances = np.empty(columns.shape[1], dtype=np.float32)
        for start in range(0, columns.shape[1], BLOCK):
            block = columns[:, start : start + BLOCK]
            sums, terms = np.zeros((2, block.shape[1]))
            for table, column in zip(self.tables, block, strict=True):
                sums += table.take(column, out=terms, mode="clip")  # "clip" is faster, and no index is out of range
            distances[start : start + BLOCK] = np.sqrt(np.maximum(2 - self.scale * sums, 0))
        return distances


class CodeLists:
    """Codes of a gallery in memory, list after list, for search by asymmetric distance (see QueryTables).

    Args:
        rows: (N,) int64, unique index rows, ascending.
        list_ids: (N,) int64, list of each row.
        codes: (N, ⌈bits/8⌉) uint8, code of each row.
        bits: code length.
        num_lists: number of lists, including empty ones.

    Raises:
        ValueError: the codes are not valid codes of `bits` bits.
    """

    def __init__(self, rows: np.ndarray, list_ids: np.ndarray, codes: np.ndarray, bits: int, num_lists: int) -> None:
        check_codes(codes, bits)
        order = np.argsort(list_ids, kind="stable")
        self.bits, self.num_lists, self.rows = bits, num_lists, rows[order]
        self.columns = np.ascontiguousarray(codes[order].T)  # (W, N)
        self._ends = np.cumsum(np.bincount(list_ids, minlength=num_lists))

    @classmethod
    def from_index(cls, index: HashIndex) -> "CodeLists":
        """Copy the codes of an index."""
        return cls(*index.contents(), index.bits, index.num_lists)

    def search(self, queries: np.ndarray, probed_lists: np.ndarray, k: int) -> Hits:
        """Find the k nearest rows in the probed lists of each query by (asymmetric distance, row).

        Args:
            queries: (Q, bits) float, activations minus the threshold; Q may be 0.
            probed_lists: (Q, num_lists) int64, the lists to probe, without repetition, padded with -1.
            k: hits per query, at least 1; padded with row -1 if the probed lists have fewer rows.

        Returns:
            (Q, k) hits, which do not depend on the other queries.

        Raises:
            ValueError: wrong dtype, shape or range, a query is not finite, or a query repeats a list.
        """
        check_positive(k=k)
        check_activations(queries, self.bits)
        probed_lists = check_probed_lists(probed_lists, len(queries), self.num_lists)
        return Hits.concatenate(
            [self._search(query, lists[lists >= 0], k) for query, lists in zip(queries, probed_lists, strict=True)], k
        )

    def rerank(self, queries: np.ndarray, candidates: Hits, k: int) -> Hits:
        """Select the k nearest candidates of each query by (asymmetric distance, row).

        Args:
            queries: (Q, bits) float, activations minus the threshold.
            candidates: (Q, S) index rows, in any order; row -1 is padding.
            k: hits per query, at least 1; padded with row -1 if k > S.

        Returns:
            (Q, k) hits.

        Raises:
            ValueError: wrong dtype or shape, a query is not finite, or a row is not in the index.
        """
        check_positive(k=k)
        check_activations(queries, self.bits)
        distances = np.full(candidates.rows.shape, np.inf, dtype=np.float32)
        for query, rows, row_distances in zip(queries, candidates.rows, distances, strict=True):
            is_row = rows >= 0
            row_distances[is_row] = QueryTables(query).distances(self.columns[:, self._positions(rows[is_row])])
        return Hits.nearest(candidates.rows, distances, k)

    def _search(self, query: np.ndarray, list_ids: np.ndarray, k: int) -> Hits:
        """Search one query, (bits,) float, in the given lists: (1, k) hits."""
        tables = QueryTables(query)
        starts = np.append(0, self._ends)
        slices = [slice(starts[list_id], starts[list_id + 1]) for list_id in list_ids]
        rows = np.concatenate([self.rows[:0], *(self.rows[part] for part in slices)])
        distances = np.concatenate(
            [np.empty(0, np.float32), *(tables.distances(self.columns[:, part]) for part in slices)]
        )
        if k < len(rows):
            is_near = distances <= np.partition(distances, k - 1)[k - 1]
            rows, distances = rows[is_near], distances[is_near]
        return Hits.nearest(rows[None], distances[None], k)

    def _positions(self, rows: np.ndarray) -> np.ndarray:
        """Position of index rows, (n,) int64, in `rows`."""
        ordered, order = self._ordered_rows
        found = np.minimum(np.searchsorted(ordered, rows), len(ordered) - 1)
        if len(rows) and (not len(ordered) or (ordered[found] != rows).any()):
            raise ValueError(f"candidates contains a row that is not among {len(ordered)}; pass hits of this index")
        return order[found]

    @cached_property
    def _ordered_rows(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.rows)
        return self.rows[order], order


def asymmetric(queries: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Asymmetric distance (see QueryTables).

    queries (Q, bits) float, activations minus the threshold; codes (N, ⌈bits/8⌉) uint8 -> (Q, N) float32, 0..2.

    Raises:
        ValueError: wrong dtype or shape, or a query is not finite.
    """
    check_activations(queries, queries.shape[-1])
    check_codes(codes, queries.shape[-1])
    columns = np.ascontiguousarray(codes.T)
    distances = np.empty((len(queries), len(codes)), dtype=np.float32)
    for query, row in zip(queries, distances, strict=True):
        row[:] = QueryTables(query).distances(columns)
    return distances


def check_activations(activations: np.ndarray, bits: int) -> None:
    """Validate activations of queries: (Q, bits) float, finite.  Raises ValueError."""
    if activations.ndim != 2 or activations.shape[1] != bits or not np.issubdtype(activations.dtype, np.floating):
        raise ValueError(
            f"activations has shape {activations.shape} and dtype {activations.dtype}; pass (Q, {bits}) floats"
        )
    is_invalid = ~np.isfinite(activations).all(axis=1)
    if is_invalid.any():
        raise ValueError(
            f"activations[{int(is_invalid.argmax())}] contains NaN or inf; check the model's input and weights"
        )
