"""Embeddings kept for re-ranking: short float16 vectors in segments, of which new ones are only ever added."""

from collections.abc import Iterator, Sequence

import numpy as np

from fashion_lsh.index.validation import check_embeddings

BLOCK = 1 << 16  # rows copied at once


class Embeddings:
    """(N, D) float16: row n is the n-th of all segments, one after the other.

    A segment never changes, so that it may be mapped from its file, and one that is saved is never written again.
    float16 serves re-ranking: it moves the distance of two vectors of length 1 by less than 0.001. A search through
    many rows takes float32 (see FloatIndex).

    Args:
        segments: (n, D) float16 each, at least one.

    Raises:
        ValueError: a segment is of another type or length.
    """

    dtype = np.dtype(np.float16)

    def __init__(self, segments: Sequence[np.ndarray]) -> None:
        self.segments = list(segments)
        shapes = {(part.ndim, part.shape[-1], part.dtype) for part in self.segments}
        if len(shapes) != 1 or not shapes <= {(2, self.segments[0].shape[-1], self.dtype)}:
            raise ValueError(f"segments are {sorted(map(str, shapes))}: give (n, D) float16, all of one D")
        self._starts = np.cumsum([0, *(len(part) for part in self.segments)])

    @classmethod
    def from_array(cls, embeddings: np.ndarray) -> "Embeddings":
        """One segment of (N, D) float32 vectors.

        Raises:
            ValueError: they are of another type or shape, not finite, or beyond float16.
        """
        check_embeddings(embeddings, embeddings.shape[-1])
        with np.errstate(over="ignore"):
            half = embeddings.astype(np.float16)
        if not np.isfinite(half).all():
            raise ValueError("embeddings reach beyond float16: normalise them first")
        return cls([half])

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), int(self.segments[0].shape[1])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Rows, any shape int64 from 0 -> (..., D) float16.  Only these are read from their files."""
        if len(self.segments) == 1:
            return np.asarray(self.segments[0][rows])
        result = np.empty((*rows.shape, self.shape[1]), dtype=self.dtype)
        segment_ids = np.searchsorted(self._starts, rows, side="right") - 1
        for segment_id in np.unique(segment_ids):
            mask = segment_ids == segment_id
            result[mask] = self.segments[segment_id][rows[mask] - self._starts[segment_id]]
        return result

    def concatenate(self, other: "Embeddings") -> "Embeddings":
        """These, then those of another store.

        Raises:
            ValueError: they are of another length.
        """
        return Embeddings([*self.segments, *other.segments])

    def take(self, rows: np.ndarray) -> "Embeddings":
        """One segment in memory of the given rows, (n,) int64, in their order."""
        selected = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        for start in range(0, len(rows), BLOCK):
            selected[start : start + BLOCK] = self[rows[start : start + BLOCK]]
        return Embeddings([selected])

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows in order, some at a time, as (n, D) float32."""
        for segment in self.segments:
            for start in range(0, len(segment), BLOCK):
                yield segment[start : start + BLOCK].astype(np.float32)
