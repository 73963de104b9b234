"""Vectors quantised by FAISS, RaBitQ or int8, with estimates of the Euclidean distance to float queries."""

from typing import Any, Literal

import faiss
import numpy as np

from fashion_lsh.index.hits import Hits
from fashion_lsh.index.validation import check_embeddings, check_positive


class QuantizedVectors:
    """Quantised vectors in one list; queries stay floats.

    `rabitq`: one bit per dimension, the sign of the vector minus the mean of the training vectors, and two float32
    factors per vector that make the estimate unbiased; pass vectors in a random rotation. J. Gao, C. Long: RaBitQ:
    Quantizing High-Dimensional Vectors with a Theoretical Error Bound for Approximate Nearest Neighbor Search, SIGMOD
    2024. `int8`: one byte per dimension, evenly spaced between the extremes of the training vectors.

    Args:
        method: `rabitq` or `int8`.
        train: (n, D) float32 training vectors, n at least 1.
        vectors: (N, D) float32 vectors to quantise.

    Attributes:
        vector_bytes: size of a quantised vector in bytes: ⌈D/8⌉ + 8 for `rabitq`, D for `int8`.

    Raises:
        ValueError: there are no training vectors, or a vector has another shape or dtype or is not finite.
    """

    def __init__(self, method: Literal["rabitq", "int8"], train: np.ndarray, vectors: np.ndarray) -> None:
        if not train.size:
            raise ValueError(f"train has shape {train.shape}; pass at least one vector")
        dimensions = train.shape[-1]
        for each in (train, vectors):
            check_embeddings(each, dimensions)
        self._index: Any
        if method == "rabitq":
            self._index = faiss.IndexRaBitQ(dimensions, faiss.METRIC_L2)
            self._index.qb = 0  # do not quantise queries
        else:
            self._index = faiss.IndexScalarQuantizer(dimensions, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_L2)
        self._index.train(np.ascontiguousarray(train))
        self._index.add(np.ascontiguousarray(vectors))
        self.vector_bytes = int(self._index.code_size)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def squared_distances(self, queries: np.ndarray) -> np.ndarray:
        """Estimates of the squared Euclidean distance.  queries (Q, D) float32 -> (Q, N) float32.

        Estimates of `rabitq` may be negative.

        Raises:
            ValueError: `queries` has another shape or dtype, or is not finite.
        """
        check_embeddings(queries, self._index.d)
        distances = np.full((len(queries), len(self)), np.inf, dtype=np.float32)
        if distances.size:
            limits, found, rows = self._index.range_search(np.ascontiguousarray(queries), np.inf)
            distances[np.repeat(np.arange(len(queries)), np.diff(limits.astype(np.int64))), rows] = found
        return distances

    def search(self, queries: np.ndarray, k: int) -> Hits:
        """Find the k nearest vectors by estimated distance.

        queries (Q, D) float32 -> (Q, k) hits with squared distances, padded with row -1 if k > N.

        Raises:
            ValueError: `queries` has another shape or dtype, or is not finite, or k < 1.
        """
        check_embeddings(queries, self._index.d)
        squares, rows = self._index.search(np.ascontiguousarray(queries), check_positive(k=k))
        return Hits.nearest(rows, squares, k)
