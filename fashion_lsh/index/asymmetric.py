"""Asymmetric distance: a query with float activations against the binary codes of the gallery."""

from functools import cached_property

import numpy as np

from fashion_lsh.index.codes import check_codes, code_bytes
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import HashIndex
from fashion_lsh.index.validation import check_positive, check_probed_lists

BLOCK = 2**13  # number of rows whose sums are computed at once, so that the sums stay in the cache
ROUNDING = 1e-6  # two squared distances, 0..4, that differ by more are different float32 distances
# Bit i of a byte as -1 or 1: (256, 8) float64.
BYTE_SIGNS = 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1, bitorder="little") - 1


class QueryTables:
    """Asymmetric distance of one query to any codes, by one table lookup per byte of a code.

    d(w, b) = ‖w / ‖w‖ - s / √bits‖ = √(2 - 2 ⟨w, s⟩ / (‖w‖ √bits)), where w are the activations of the query minus the
    threshold, and s = 2 b - 1 in {-1, 1}^bits is the code of a row: the Euclidean distance between both vectors after
    normalisation to length 1, 0..2; √2 for w = 0. A table has the inner product of w with each of the 256 values of a
    byte. Sums are computed in float64 in a fixed order, so equal codes have equal distances in every batch.

    A. Gordo, F. Perronnin, Y. Gong, S. Lazebnik: Asymmetric Distances for Binary Embeddings, TPAMI 2014; the lookup
    tables are those of H. Jégou, M. Douze, C. Schmid: Product Quantization for Nearest Neighbor Search, TPAMI 2011.

    Args:
        query: (bits,) float, activations minus the threshold.
    """

    def __init__(self, query: np.ndarray) -> None:
        weights = np.zeros((code_bytes(len(query)), 8))
        weights.ravel()[: len(query)] = query  # padding bits have the weight 0
        self.tables = weights @ BYTE_SIGNS.T  # (W, 256) float64
        norm = np.sqrt((weights**2).sum() * len(query))
        self.scale = 2 / norm if norm else 0.0

    def products(self, columns: np.ndarray) -> np.ndarray:
        """Inner products ⟨w, s⟩ with n codes, given as W contiguous rows of bytes.  (W, n) uint8 -> (n,) float64."""
        products = np.zeros(columns.shape[1])
        for start in range(0, columns.shape[1], BLOCK):
            sums, block = products[start : start + BLOCK], columns[:, start : start + BLOCK]
            terms = np.empty_like(sums)
            for table, column in zip(self.tables, block, strict=True):
                sums += table.take(column, out=terms, mode="clip")  # "clip" is faster, and no index is out of range
        return products

    def distances(self, products: np.ndarray) -> np.ndarray:
        """Distances of inner products.  (n,) float64 -> (n,) float32."""
        return np.sqrt(np.maximum(2 - self.scale * products, 0)).astype(np.float32)

    def min_product(self, products: np.ndarray, k: int) -> float:
        """Lower bound of the inner products of the k smallest distances, ties included.  (n,) float64, k at most n."""
        kth_product = np.partition(products, len(products) - k)[len(products) - k]
        return float(kth_product - ROUNDING / self.scale) if self.scale else -np.inf


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
            tables, columns = QueryTables(query), self.columns[:, self._positions(rows[is_row])]
            row_distances[is_row] = tables.distances(tables.products(columns))
        return Hits.nearest(candidates.rows, distances, k)

    def _search(self, query: np.ndarray, list_ids: np.ndarray, k: int) -> Hits:
        """Search one query, (bits,) float, in the given lists: (1, k) hits."""
        tables, starts = QueryTables(query), np.append(0, self._ends)
        rows, products, min_product = self.rows[:0], np.empty(0), -np.inf
        for start, end in zip(starts[list_ids], self._ends[list_ids], strict=True):
            for first in range(start, end, BLOCK):
                part = slice(first, min(first + BLOCK, end))
                part_products = tables.products(self.columns[:, part])
                is_near = part_products >= min_product
                rows = np.concatenate([rows, self.rows[part][is_near]])
                products = np.concatenate([products, part_products[is_near]])
                if len(rows) > k:
                    min_product = tables.min_product(products, k)
                    is_near = products >= min_product
                    rows, products = rows[is_near], products[is_near]
        return Hits.nearest(rows[None], tables.distances(products)[None], k)

    def _positions(self, rows: np.ndarray) -> np.ndarray:
        """Position of index rows, (n,) int64, in `rows`."""
        ordered, order = self._ordered_rows
        found = np.minimum(np.searchsorted(ordered, rows), len(ordered) - 1)
        if len(rows) and (not len(ordered) or (ordered[found] != rows).any()):
            raise ValueError(
                f"candidates contains a row that is not among the {len(ordered)} indexed rows; pass hits of this index"
            )
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
        tables = QueryTables(query)
        row[:] = tables.distances(tables.products(columns))
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
