"""Hits: what a search returns."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Hits:
    """The rows found for each query, nearest first; row -1 at distance inf where fewer than K exist."""

    rows: np.ndarray  # (Q, K) int64
    distances: np.ndarray  # (Q, K) float32, ascending

    @classmethod
    def best(cls, rows: np.ndarray, distances: np.ndarray, k: int) -> "Hits":
        """The k nearest of what was found, by (distance, row).  (Q, S) and (Q, S) in any order -> (Q, k).

        Whatever stands at a row of -1 counts as not found.
        """
        distances = np.where(rows < 0, np.inf, distances).astype(np.float32)
        order = np.lexsort((rows, distances))[:, :k]
        rows, distances = np.take_along_axis(rows, order, axis=1), np.take_along_axis(distances, order, axis=1)
        missing = ((0, 0), (0, k - order.shape[1]))
        if order.shape[1] < k:
            rows, distances = (
                np.pad(rows, missing, constant_values=-1),
                np.pad(distances, missing, constant_values=np.inf),
            )
        return cls(rows, distances)

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
        _refuse(np.isnan(distances), "a distance that is NaN")
        _refuse(distances[:, 1:] < distances[:, :-1], "distances that do not ascend")
        _refuse(rows < -1, "a row below -1")
        _refuse((rows == -1) != np.isinf(distances), "a row of -1 without distance inf, or the reverse")
        ordered = np.sort(rows, axis=1)
        _refuse((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0), "a row that stands twice")


def _refuse(bad: np.ndarray, what: str) -> None:
    """Name the first query with a flag set in `bad`, (Q, ...) bool."""
    if bad.any():
        raise ValueError(
            f"the hits of query {int(bad.any(axis=1).argmax())} hold {what}: they were not made by a search"
        )
