"""Distances between embeddings, and a shortlist put in their order."""

import numpy as np

from fashion_lsh.retrieval.checks import at_least_one
from fashion_lsh.retrieval.hits import Hits

BLOCK = 2**23  # float32 values compared at once: 32 MB a copy


def euclidean(queries: np.ndarray, rows_embeddings: np.ndarray) -> np.ndarray:
    """Euclidean distance of each query to its own rows, 0..2 where all are L2-normalised.

    Differences are squared and summed in float32, never by dot products: equal vectors are at exactly 0.

    Args:
        queries: (Q, D) float.
        rows_embeddings: (Q, S, D) float.

    Returns:
        (Q, S) float32.

    Raises:
        ValueError: the shapes do not belong together.
    """
    if queries.ndim != 2 or rows_embeddings.ndim != 3 or queries.shape != rows_embeddings.shape[::2]:
        raise ValueError(
            f"queries are {queries.shape}, their rows' embeddings {rows_embeddings.shape}: give (Q, D) and (Q, S, D)"
        )
    apart = rows_embeddings.astype(np.float32) - queries.astype(np.float32)[:, None]
    squares: np.ndarray = np.einsum("qsd,qsd->qs", apart, apart)
    return np.asarray(np.sqrt(squares))


def rerank(queries: np.ndarray, shortlist: Hits, embeddings: np.ndarray, k: int) -> Hits:
    """The k best of each query's shortlist by exact Euclidean distance, then row; rows of -1 stay last.

    Args:
        queries: (Q, D) float.
        shortlist: (Q, S) rows of `embeddings`, in any order.
        embeddings: (N, D) float16 or float32, may be memory-mapped; only the rows asked for are read.
        k: hits a query, at least 1; beyond S the hits end in -1.

    Raises:
        ValueError: the shapes do not belong together, a query is not finite, a row lies beyond `embeddings`, k < 1.
    """
    rows = shortlist.rows
    _check_rerank(queries, rows, embeddings, k)
    distances = np.full(rows.shape, np.inf, dtype=np.float32)
    step = max(1, BLOCK // max(1, rows.shape[1] * queries.shape[1]))
    for start in range(0, len(rows) if (rows >= 0).any() else 0, step):
        block = slice(start, start + step)
        near = np.asarray(embeddings[np.maximum(rows[block], 0)])  # (step, S, D)
        distances[block] = euclidean(queries[block], near)
    return Hits.best(rows, distances, k)


def _check_rerank(queries: np.ndarray, rows: np.ndarray, embeddings: np.ndarray, k: int) -> None:
    at_least_one(k=k)
    if queries.ndim != 2 or embeddings.ndim != 2 or queries.shape[1] != embeddings.shape[1]:
        raise ValueError(f"queries are {queries.shape}, embeddings {embeddings.shape}: give (Q, D) and (N, D)")
    if embeddings.dtype not in (np.float16, np.float32):
        raise ValueError(f"embeddings are {embeddings.dtype}: give float16 or float32")
    bad = ~np.isfinite(queries).all(axis=1)
    if bad.any():
        raise ValueError(f"query {int(bad.argmax())} is not finite: no distance can be told from it")
    if len(rows) != len(queries):
        raise ValueError(f"the shortlist answers {len(rows)} queries, {len(queries)} are given: give one line each")
    if rows.size and rows.max() >= len(embeddings):
        raise ValueError(f"the shortlist names row {rows.max()}: there are {len(embeddings)} embeddings, from 0")
