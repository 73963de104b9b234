"""Hits: what a search returns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fashion_lsh.index.validation import MAX_ROW, ROW_BITS


@dataclass(frozen=True, eq=False)
class Hits:
    """The rows found for each query, nearest first; row -1 at distance inf where fewer than K exist."""

    rows: np.ndarray  # (Q, K) int64
    distances: np.ndarray  # (Q, K) float32, ascending

    @classmethod
    def nearest(cls, rows: np.ndarray, distances: np.ndarray, k: int) -> "Hits":
        """The k nearest of what was found, by (distance, row).  (Q, S) and (Q, S) in any order -> (Q, k).

        Whatever stands at a row of -1 counts as not found.
        """
        distances = np.where(rows < 0, np.inf, distances).astype(np.float32)
        order = np.lexsort((rows, distances))[:, :k]
        return cls(np.take_along_axis(rows, order, axis=1), np.take_along_axis(distances, order, axis=1)).pad(k)

    @classmethod
    def from_integers(cls, rows: np.ndarray, distances: np.ndarray) -> "Hits":
        """What was found, by (distance, row).  (Q, K) int64 and (Q, K) int32 in any order -> (Q, K).

        Quicker than `nearest`: distance and row are sorted as one number. Rows lie below 2^40.
        """
        keys = distances.astype(np.int64)
        keys <<= ROW_BITS
        keys |= rows  # a row of -1 makes it -1, too ...
        keys = keys.view(np.uint64)  # ... which comes last, so read
        keys.sort(axis=1)
        signed_keys = keys.view(np.int64)
        distances = (signed_keys >> ROW_BITS).astype(np.float32)
        rows = signed_keys & MAX_ROW
        missing = signed_keys < 0
        if missing.any():
            rows[missing], distances[missing] = -1, np.inf
        return cls(rows, distances)

    @classmethod
    def concatenate(cls, parts: Sequence["Hits"], k: int) -> "Hits":
        """The hits of several batches, (q, k) each, one after the other."""
        rows = [np.empty((0, k), dtype=np.int64), *(part.rows for part in parts)]
        distances = [np.empty((0, k), dtype=np.float32), *(part.distances for part in parts)]
        return cls(np.concatenate(rows), np.concatenate(distances))

    def at(self, query: int) -> "Hits":
        """Those of one query: (1, K)."""
        return Hits(self.rows[[query]], self.distances[[query]])

    def top(self, k: int) -> "Hits":
        """The first k of each query: (Q, k), padded where there are fewer."""
        return Hits(self.rows[:, :k], self.distances[:, :k]).pad(k)

    def pad(self, k: int) -> "Hits":
        """With rows of -1 behind, up to k a query."""
        pad_width = ((0, 0), (0, k - self.rows.shape[1]))
        if pad_width[1][1] <= 0:
            return self
        rows = np.pad(self.rows, pad_width, constant_values=-1)
        return Hits(rows, np.pad(self.distances, pad_width, constant_values=np.inf))

    def check(self) -> None:
        """Hold the hits to their contract.

        Raises:
            ValueError: types or shapes are wrong, distances do not ascend, a row stands twice, or -1 and inf do not
                stand together at the end.
        """
        rows, distances = self.rows, self.distances
        if rows.dtype != np.int64 or distances.dtype != np.float32 or rows.ndim != 2 or rows.shape != distances.shape:
            raise ValueError(
                f"hits are rows {rows.shape} {rows.dtype}, distances {distances.shape} {distances.dtype}: "
                "give (Q, K) int64 and (Q, K) float32"
            )
        _raise_where(np.isnan(distances), "a distance that is NaN")
        _raise_where(distances[:, 1:] < distances[:, :-1], "distances that do not ascend")
        _raise_where(rows < -1, "a row below -1")
        _raise_where((rows == -1) != np.isinf(distances), "a row of -1 without distance inf, or the reverse")
        ordered = np.sort(rows, axis=1)
        _raise_where((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0), "a row that stands twice")


def _raise_where(bad: np.ndarray, problem: str) -> None:
    """Name the first query with a flag set in `bad`, (Q, ...) bool."""
    if bad.any():
        raise ValueError(
            f"the hits of query {int(bad.any(axis=1).argmax())} hold {problem}: they were not made by a search"
        )
