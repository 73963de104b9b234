"""Exact search by Hamming and Euclidean distance combined."""

import numpy as np

from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import HashIndex
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.rerank import EmbeddingStore, tie_break, weighted


def search_combined(
    index: HashIndex,
    embeddings: EmbeddingStore,
    policy: SearchPolicy,
    codes: np.ndarray,
    queries: np.ndarray,
    probed_lists: np.ndarray,
    k: int,
) -> Hits:
    """Find the k nearest rows by the distance `tie_break` or `weighted`, with a range search of each query.

    Args:
        index: codes of the gallery.
        embeddings: (N, D) embeddings by index row.
        policy: policy with the distance and its weight.
        codes: (Q, W) uint8 codes of the queries.
        queries: (Q, D) float embeddings of the queries.
        probed_lists: (Q, C) int64, see `HashIndex.search`.
        k: hits per query.

    Returns:
        (Q, k) hits, index rows.
    """
    parts = [
        _search_one(index, embeddings, policy, code, query[None], lists, k)
        for code, query, lists in zip(codes, queries, probed_lists, strict=True)
    ]
    return Hits.concatenate(parts, k)


def _search_one(
    index: HashIndex, embeddings: EmbeddingStore, policy: SearchPolicy, code: np.ndarray, query: np.ndarray,
    probed_lists: np.ndarray, k: int,
) -> Hits:  # fmt: skip
    """Search with one query: code (W,), embedding (1, D), lists (C,) -> (1, k) hits."""
    first_hits = index.search(code[None], probed_lists[None], k)
    radius = min(index.bits, first_hits.distances[0, -1])  # the distance is inf if the lists have fewer than k rows
    if policy.distance == "tie_break":
        return tie_break(query, index.range_search(code, probed_lists, int(radius)), embeddings, k)
    alpha = policy.alpha
    kth_distance = weighted(query, first_hits, embeddings, k, alpha, index.bits).distances[0, -1]
    # Beyond max_distance, the Hamming term of the weighted sum exceeds the weighted distance of the k-th hit.
    max_distance = kth_distance * index.bits / alpha + 1 if alpha else np.inf
    hits = index.range_search(code, probed_lists, int(min(index.bits, max_distance)))
    return weighted(query, hits, embeddings, k, alpha, index.bits)
