"""Re-rank hits by the Euclidean distance of their embeddings, alone or combined with the Hamming distance."""

from typing import Any, Protocol

import numpy as np

from fashion_lsh.index.distances import euclidean
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.validation import check_positive

BLOCK = 2**23  # float32 values compared at once: 32 MB a copy


class EmbeddingStore(Protocol):
    """(N, D) float16 or float32: an array, or Embeddings."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __getitem__(self, rows: np.ndarray) -> np.ndarray: ...


def rerank(queries: np.ndarray, candidates: Hits, embeddings: EmbeddingStore, k: int) -> Hits:
    """The k best of each query's shortlist by exact Euclidean distance, then row; rows of -1 stay last.

    Args:
        queries: (Q, D) float.
        candidates: (Q, S) rows of `embeddings`, in any order.
        embeddings: (N, D), may be memory-mapped; only the rows asked for are read.
        k: hits a query, at least 1; beyond S the hits end in -1.

    Raises:
        ValueError: the shapes do not belong together, a query is not finite, a row lies beyond `embeddings`, k < 1.
    """
    return Hits.nearest(candidates.rows, euclidean_to_rows(queries, candidates.rows, embeddings), check_positive(k=k))


def tie_break(queries: np.ndarray, hits: Hits, embeddings: EmbeddingStore, k: int) -> Hits:
    """The k best by (Hamming, Euclid, row).  Args and errors as for `rerank`; `hits` carries Hamming distances.

    To be exact, `hits` must hold all rows up to the Hamming distance of its k-th.

    Returns:
        (Q, k); the whole part of a distance is Hamming, its fraction Euclid / 4, below 1 for vectors of length 1.
    """
    euclid = euclidean_to_rows(queries, hits.rows, embeddings)
    order = np.lexsort((hits.rows, euclid, hits.distances))[:, : check_positive(k=k)]
    ordered = (np.take_along_axis(values, order, axis=1) for values in (hits.rows, hits.distances + euclid / 4))
    return Hits(*ordered).pad(k)


def weighted(queries: np.ndarray, hits: Hits, embeddings: EmbeddingStore, k: int, alpha: float, bits: int) -> Hits:
    """The k best by alpha * Hamming / bits + (1 - alpha) * Euclid / 2, then row: 0..1 for vectors of length 1.

    Args and errors as for `rerank`; `hits` carries Hamming distances. To be exact, it must hold every row whose
    Hamming part alone is no greater than the k-th of these sums.
    """
    euclid = euclidean_to_rows(queries, hits.rows, embeddings)
    hamming, euclid = (np.where(hits.rows < 0, 0, values) for values in (hits.distances, euclid))  # inf times 0 is NaN
    weighted_sums = alpha / bits * hamming.astype(np.float64) + (1 - alpha) / 2 * euclid
    return Hits.nearest(hits.rows, weighted_sums, check_positive(k=k))


def euclidean_to_rows(queries: np.ndarray, rows: np.ndarray, embeddings: EmbeddingStore) -> np.ndarray:
    """Euclidean distance of each query to the rows found for it.  (Q, D) and (Q, S) -> (Q, S) float32; inf at -1."""
    _check(queries, rows, embeddings)
    distances = np.full(rows.shape, np.inf, dtype=np.float32)
    step = max(1, BLOCK // max(1, rows.shape[1] * queries.shape[1]))
    columns = max(1, BLOCK // queries.shape[1])  # one query alone may have too many rows
    for start in range(0, len(rows) if (rows >= 0).any() else 0, step):
        for first in range(0, rows.shape[1], columns):
            block = np.s_[start : start + step, first : first + columns]
            block_embeddings = np.asarray(embeddings[np.maximum(rows[block], 0)])  # (step, columns, D)
            distances[block] = euclidean(queries[block[0]], block_embeddings)
    distances[rows < 0] = np.inf
    return distances


def _check(queries: np.ndarray, rows: np.ndarray, embeddings: EmbeddingStore) -> None:
    if queries.ndim != 2 or len(embeddings.shape) != 2 or queries.shape[1] != embeddings.shape[1]:
        raise ValueError(f"queries are {queries.shape}, embeddings {embeddings.shape}: give (Q, D) and (N, D)")
    if embeddings.dtype not in (np.float16, np.float32):
        raise ValueError(f"embeddings are {embeddings.dtype}: give float16 or float32")
    bad = ~np.isfinite(queries).all(axis=1)
    if bad.any():
        raise ValueError(f"query {int(bad.argmax())} is not finite: no distance can be told from it")
    if len(rows) != len(queries):
        raise ValueError(f"candidates of {len(rows)} queries, {len(queries)} queries are given: give one line each")
    if rows.size and rows.max() >= embeddings.shape[0]:
        raise ValueError(f"the candidates name row {rows.max()}: there are {embeddings.shape[0]} embeddings, from 0")
