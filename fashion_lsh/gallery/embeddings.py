"""Embeddings for re-ranking: float16 vectors in append-only segments."""

from collections.abc import Iterator, Sequence

import numpy as np

from fashion_lsh.index.validation import check_embeddings

BLOCK = 1 << 16  # rows copied at once


class Embeddings:
    """Embeddings, (N, D) float16: the concatenation of segments.

    Segments are immutable, so they can be memory-mapped, and a saved segment is never written again. float16 is precise
    enough for re-ranking: it changes the distance of two vectors of norm 1 by less than 0.001. Searching many rows
    uses float32 (see FloatIndex).

    Args:
        segments: (n, D) float16 each, at least one.

    Raises:
        ValueError: a segment has another dtype or D.
    """

    dtype = np.dtype(np.float16)

    def __init__(self, segments: Sequence[np.ndarray]) -> None:
        self.segments = list(segments)
        shapes = {(part.ndim, part.shape[-1], part.dtype) for part in self.segments}
        if len(shapes) != 1 or not shapes <= {(2, self.segments[0].shape[-1], self.dtype)}:
            raise ValueError(
                f"segments has (ndim, D, dtype) {sorted(map(str, shapes))}; pass (n, D) float16 of the same D"
            )
        self._starts = np.cumsum([0, *(len(part) for part in self.segments)])

    @classmethod
    def from_array(cls, embeddings: np.ndarray) -> "Embeddings":
        """Create one segment from (N, D) float32 embeddings.

        Raises:
            ValueError: wrong dtype or shape, values that are not finite or exceed float16.
        """
        check_embeddings(embeddings, embeddings.shape[-1])
        with np.errstate(over="ignore"):
            half = embeddings.astype(np.float16)
        if not np.isfinite(half).all():
            raise ValueError("embeddings contains values that exceed float16; L2-normalise the embeddings first")
        return cls([half])

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), int(self.segments[0].shape[1])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Read rows.  (...) int64, 0..N - 1 -> (..., D) float16.  Only these rows are read from the files."""
        if len(self.segments) == 1:
            return np.asarray(self.segments[0][rows])
        result = np.empty((*rows.shape, self.shape[1]), dtype=self.dtype)
        segment_ids = np.searchsorted(self._starts, rows, side="right") - 1
        for segment_id in np.unique(segment_ids):
            mask = segment_ids == segment_id
            result[mask] = self.segments[segment_id][rows[mask] - self._starts[segment_id]]
        return result

    def concatenate(self, other: "Embeddings") -> "Embeddings":
        """Append the segments of another store; nothing is copied.

        Raises:
            ValueError: the other embeddings have another D.
        """
        return Embeddings([*self.segments, *other.segments])

    def take(self, rows: np.ndarray) -> "Embeddings":
        """Copy rows, (n,) int64, in this order to one segment in memory."""
        selected = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        for start in range(0, len(rows), BLOCK):
            selected[start : start + BLOCK] = self[rows[start : start + BLOCK]]
        return Embeddings([selected])

    def blocks(self) -> Iterator[np.ndarray]:
        """Iterate over all rows in order, in blocks of (n, D) float32."""
        for segment in self.segments:
            for start in range(0, len(segment), BLOCK):
                yield segment[start : start + BLOCK].astype(np.float32)
