"""Re-rank candidates by Euclidean distance, or by Hamming and Euclidean distance combined."""

from typing import Any, Protocol, runtime_checkable

import numpy as np

from fashion_lsh.index.distances import euclidean
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.validation import check_positive

BLOCK = 2**23  # number of float32 values compared at once, 32 MB per copy


class EmbeddingStore(Protocol):
    """Array or `Embeddings` object with (N, D) float16 or float32 embeddings."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __getitem__(self, rows: np.ndarray) -> np.ndarray: ...


@runtime_checkable
class Reranker(Protocol):
    """Interface of a user's own re-ranking of the candidates of `search=rerank`."""

    def rerank(self, queries: np.ndarray, candidates: Hits, embeddings: EmbeddingStore, k: int) -> Hits:
        """Select the k best candidates of each query; arguments and result as for the function `rerank`."""
        ...


def rerank(queries: np.ndarray, candidates: Hits, embeddings: EmbeddingStore, k: int) -> Hits:
    """Select the k nearest candidates of each query by (exact Euclidean distance, row); row -1 sorts last.

    Args:
        queries: (Q, D) float.
        candidates: (Q, S) rows of `embeddings`, in any order.
        embeddings: (N, D) embeddings, possibly memory-mapped; only the rows of candidates are read.
        k: hits per query, at least 1; padded with row -1 if k > S.

    Returns:
        (Q, k) hits.

    Raises:
        ValueError: the shapes do not match, a query is not finite, a row is outside `embeddings`, or k < 1.
    """
    return Hits.nearest(candidates.rows, euclidean_to_rows(queries, candidates.rows, embeddings), check_positive(k=k))


def tie_break(queries: np.ndarray, hits: Hits, embeddings: EmbeddingStore, k: int) -> Hits:
    """Select the k nearest hits by (Hamming distance, Euclidean distance, row).

    Arguments and errors as for `rerank`; `hits` has Hamming distances. The result is exact if `hits` contains all rows
    up to the Hamming distance of the k-th hit.

    Returns:
        (Q, k) hits with Hamming + Euclidean / 4 as distance; the second term is at most 1/2 for vectors of norm 1.
    """
    euclidean_distances = euclidean_to_rows(queries, hits.rows, embeddings)
    order = np.lexsort((hits.rows, euclidean_distances, hits.distances))[:, : check_positive(k=k)]
    distances = hits.distances + euclidean_distances / 4
    return Hits(*(np.take_along_axis(values, order, axis=1) for values in (hits.rows, distances))).pad(k)


def weighted(queries: np.ndarray, hits: Hits, embeddings: EmbeddingStore, k: int, alpha: float, bits: int) -> Hits:
    """Select the k nearest hits by (alpha * Hamming / bits + (1 - alpha) * Euclidean / 2, row).

    Arguments and errors as for `rerank`; `hits` has Hamming distances. The result is exact if `hits` contains all rows
    whose Hamming term is at most the weighted sum of the k-th hit.

    Returns:
        (Q, k) hits; distances are 0..1 for vectors of norm 1.
    """
    distances = hits.distances, euclidean_to_rows(queries, hits.rows, embeddings)
    # The distance of padding is inf, and inf * 0 would be NaN.
    hamming_distances, euclidean_distances = (np.where(hits.rows < 0, 0, values) for values in distances)
    weighted_sums = alpha / bits * hamming_distances.astype(np.float64) + (1 - alpha) / 2 * euclidean_distances
    return Hits.nearest(hits.rows, weighted_sums, check_positive(k=k))


def euclidean_to_rows(queries: np.ndarray, rows: np.ndarray, embeddings: EmbeddingStore) -> np.ndarray:
    """Euclidean distance of query i to rows[i].  queries (Q, D), rows (Q, S) int64 -> (Q, S) float32; inf at row -1."""
    _check(queries, rows, embeddings)
    distances = np.full(rows.shape, np.inf, dtype=np.float32)
    step = max(1, BLOCK // max(1, rows.shape[1] * queries.shape[1]))
    columns = max(1, BLOCK // queries.shape[1])  # the rows of a single query may exceed BLOCK
    for start in range(0, len(rows) if (rows >= 0).any() else 0, step):
        for first in range(0, rows.shape[1], columns):
            block = np.s_[start : start + step, first : first + columns]
            block_embeddings = np.asarray(embeddings[np.maximum(rows[block], 0)])  # (step, columns, D)
            distances[block] = euclidean(queries[block[0]], block_embeddings)
    distances[rows < 0] = np.inf
    return distances


def _check(queries: np.ndarray, rows: np.ndarray, embeddings: EmbeddingStore) -> None:
    if queries.ndim != 2 or len(embeddings.shape) != 2 or queries.shape[1] != embeddings.shape[1]:
        raise ValueError(
            f"queries has shape {queries.shape}, embeddings {embeddings.shape}; pass (Q, D) and (N, D) of the same D"
        )
    if embeddings.dtype not in (np.float16, np.float32):
        raise ValueError(f"embeddings has dtype {embeddings.dtype}; pass float16 or float32")
    is_invalid = ~np.isfinite(queries).all(axis=1)
    if is_invalid.any():
        raise ValueError(
            f"queries[{int(is_invalid.argmax())}] contains NaN or inf; remove it, or check the model's input"
        )
    if len(rows) != len(queries):
        raise ValueError(f"candidates has hits of {len(rows)} queries, but there are {len(queries)}; pass (Q, S) hits")
    if rows.size and rows.max() >= embeddings.shape[0]:
        raise ValueError(
            f"candidates contains row {rows.max()}, but there are {embeddings.shape[0]} embeddings; "
            "pass hits of the same gallery"
        )
