"""Hits: the rows and distances that a search returns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fashion_lsh.index.validation import MAX_ROW, ROW_BITS

NO_HIT = np.int64(2**63 - 1)  # sort key that pads `Hits.from_keys`; it is sorted last


@dataclass(frozen=True, eq=False)
class Hits:
    """Nearest rows of each query, by ascending distance, padded with row -1 at distance inf.

    Attributes:
        rows: (Q, K) int64.
        distances: (Q, K) float32, ascending.
    """

    rows: np.ndarray
    distances: np.ndarray

    @classmethod
    def nearest(cls, rows: np.ndarray, distances: np.ndarray, k: int) -> "Hits":
        """Select the k nearest candidates by (distance, row).  rows and distances (Q, S) in any order -> (Q, k).

        Candidates with row -1 are padding, and the distances of padding are ignored.
        """
        distances = np.where(rows < 0, np.inf, distances).astype(np.float32)
        order = np.lexsort((rows, distances))[:, :k]
        return cls(np.take_along_axis(rows, order, axis=1), np.take_along_axis(distances, order, axis=1)).pad(k)

    @classmethod
    def from_keys(cls, keys: np.ndarray) -> "Hits":
        """Convert keys of `make_sort_keys`, ascending and padded with NO_HIT.  (Q, K) int64 -> (Q, K) hits."""
        rows, distances = keys & MAX_ROW, (keys >> ROW_BITS).astype(np.float32)
        if np.count_nonzero(keys[:, -1:] == NO_HIT):
            is_padding = keys == NO_HIT
            rows[is_padding], distances[is_padding] = -1, np.inf
        return cls(rows, distances)

    @classmethod
    def concatenate(cls, batches: Sequence["Hits"], k: int) -> "Hits":
        """Concatenate the hits of several batches, (q, k) each: (Q, k)."""
        rows = [np.empty((0, k), dtype=np.int64), *(batch.rows for batch in batches)]
        distances = [np.empty((0, k), dtype=np.float32), *(batch.distances for batch in batches)]
        return cls(np.concatenate(rows), np.concatenate(distances))

    def at(self, query: int) -> "Hits":
        """Return the hits of one query: (1, K)."""
        return Hits(self.rows[[query]], self.distances[[query]])

    def top(self, k: int) -> "Hits":
        """Return the first k hits of each query: (Q, k), padded for queries with fewer hits."""
        return Hits(self.rows[:, :k], self.distances[:, :k]).pad(k)

    def pad(self, k: int) -> "Hits":
        """Pad with row -1 to at least k hits per query."""
        pad_width = ((0, 0), (0, k - self.rows.shape[1]))
        if pad_width[1][1] <= 0:
            return self
        rows = np.pad(self.rows, pad_width, constant_values=-1)
        return Hits(rows, np.pad(self.distances, pad_width, constant_values=np.inf))

    def check(self) -> None:
        """Validate the hits.

        Raises:
            ValueError: wrong dtype or shape, distances that are NaN or not ascending, duplicate rows, row -1 without
                distance inf, or distance inf without row -1.
        """
        rows, distances = self.rows, self.distances
        if rows.dtype != np.int64 or distances.dtype != np.float32 or rows.ndim != 2 or rows.shape != distances.shape:
            raise ValueError(
                f"rows has shape {rows.shape} and dtype {rows.dtype}, distances {distances.shape} and "
                f"{distances.dtype}; pass (Q, K) int64 and (Q, K) float32"
            )
        _raise_where(np.isnan(distances), "a NaN distance")
        _raise_where(distances[:, 1:] < distances[:, :-1], "distances that are not ascending")
        _raise_where(rows < -1, "a row below -1")
        _raise_where((rows == -1) != np.isinf(distances), "row -1 without distance inf, or the reverse")
        ordered = np.sort(rows, axis=1)
        _raise_where((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0), "a duplicate row")


def make_sort_keys(distances: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Combine distances below 2^23 and rows into integers that sort by (distance, row).  (n,) int -> (n,) int64."""
    return distances.astype(np.int64) << ROW_BITS | rows


def _raise_where(is_invalid: np.ndarray, problem: str) -> None:
    """Raise ValueError for the first query with a true value in `is_invalid`, (Q, ...) bool."""
    if is_invalid.any():
        raise ValueError(
            f"hits of query {int(is_invalid.any(axis=1).argmax())} contain {problem}; pass hits returned by a search"
        )
