"""Store embeddings for re-ranking as float16 vectors in append-only segments."""

from collections.abc import Iterator, Sequence

import numpy as np

from fashion_lsh.index.validation import check_embeddings

BLOCK = 1 << 16  # maximum number of rows copied at once


class Embeddings:
    """Embeddings, (N, D) float16, stored as a sequence of segments.

    Segments are immutable, so they can be memory-mapped, and a saved segment is never written again. Rounding to
    float16 changes the distance of two vectors of norm 1 by less than 0.001, which is precise enough for re-ranking.
    FloatIndex, which searches many rows, stores float32.

    Args:
        segments: at least one (n, D) float16 array.

    Raises:
        ValueError: a segment is not float16, or the segments differ in D.
    """

    dtype = np.dtype(np.float16)

    def __init__(self, segments: Sequence[np.ndarray]) -> None:
        self.segments = list(segments)
        shapes = {(segment.ndim, segment.shape[-1], segment.dtype) for segment in self.segments}
        if len(shapes) != 1 or not shapes <= {(2, self.segments[0].shape[-1], self.dtype)}:
            raise ValueError(
                f"segments has (ndim, D, dtype) {sorted(map(str, shapes))}; pass (n, D) float16 of the same D"
            )
        self._starts = np.cumsum([0, *(len(segment) for segment in self.segments)])

    @classmethod
    def from_array(cls, embeddings: np.ndarray) -> "Embeddings":
        """Create one segment from (N, D) float32 embeddings.

        Raises:
            ValueError: wrong dtype or shape, or a value that is not finite or exceeds the range of float16.
        """
        check_embeddings(embeddings, embeddings.shape[-1])
        with np.errstate(over="ignore"):
            rounded = embeddings.astype(np.float16)
        if not np.isfinite(rounded).all():
            raise ValueError(
                "embeddings contains values that exceed the range of float16; L2-normalise the embeddings first"
            )
        return cls([rounded])

    @property
    def shape(self) -> tuple[int, int]:
        return len(self), int(self.segments[0].shape[1])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Read rows.  rows: (...) int64, 0..N - 1 -> (..., D) float16.  Other rows are not read from disk."""
        if len(self.segments) == 1:
            return np.asarray(self.segments[0][rows])
        result = np.empty((*rows.shape, self.shape[1]), dtype=self.dtype)
        segment_ids = np.searchsorted(self._starts, rows, side="right") - 1
        for segment_id in np.unique(segment_ids):
            in_segment = segment_ids == segment_id
            result[in_segment] = self.segments[segment_id][rows[in_segment] - self._starts[segment_id]]
        return result

    def concatenate(self, other: "Embeddings") -> "Embeddings":
        """Return the embeddings of both stores, without copying segments.

        Raises:
            ValueError: the embeddings of `other` have another D.
        """
        return Embeddings([*self.segments, *other.segments])

    def take(self, rows: np.ndarray) -> "Embeddings":
        """Copy rows, (n,) int64, in the given order to one segment in memory."""
        selected = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        for start in range(0, len(rows), BLOCK):
            selected[start : start + BLOCK] = self[rows[start : start + BLOCK]]
        return Embeddings([selected])

    def blocks(self) -> Iterator[np.ndarray]:
        """Iterate over the rows in order, in blocks of shape (n, D) float32, n at most BLOCK."""
        for segment in self.segments:
            for start in range(0, len(segment), BLOCK):
                yield segment[start : start + BLOCK].astype(np.float32)
