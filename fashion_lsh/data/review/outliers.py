"""Outliers: images whose embedding is far from its nearest neighbours."""

import math

import numpy as np

NUM_NEIGHBOURS = 10
RATIO = 0.01  # ratio of rows listed as outliers
BLOCK = 2**24  # distances computed at once, which take 64 MB


def neighbour_distances(embeddings: np.ndarray, num_neighbours: int = NUM_NEIGHBOURS) -> np.ndarray:
    """Mean Euclidean distance of each row to its nearest other rows.  (N, D) float -> (N,) float32.

    With at most `num_neighbours` other rows, the mean is over all of them; a single row has distance 0.

    Args:
        embeddings: N embeddings.
        num_neighbours: number of neighbours, at least 1.

    Raises:
        ValueError: `num_neighbours` is below 1.
    """
    if num_neighbours < 1:
        raise ValueError(f"{num_neighbours=}: pass at least 1")
    vectors = embeddings.astype(np.float32)
    squares, count = np.einsum("nd,nd->n", vectors, vectors), min(num_neighbours, len(vectors) - 1)
    means = np.zeros(len(vectors), dtype=np.float32)
    if count < 1:
        return means
    step = max(1, BLOCK // len(vectors))
    for start in range(0, len(vectors), step):
        block = vectors[start : start + step]
        distances = squares[start : start + step, None] + squares - 2 * block @ vectors.T
        distances[np.arange(len(block)), np.arange(start, start + len(block))] = np.inf  # the row itself
        nearest = np.partition(distances, count - 1, axis=1)[:, :count]
        means[start : start + step] = np.sqrt(np.maximum(nearest, 0)).mean(axis=1)
    return means


def find_outliers(distances: np.ndarray, ratio: float = RATIO) -> np.ndarray:
    """Select the `ratio` of rows with the largest distances, rounded up, farthest first.  (N,) -> (n,) int64.

    Distances of L2-normalised embeddings have no long tail, so a fence by quartiles would select nothing.
    """
    return np.argsort(-distances, kind="stable")[: math.ceil(ratio * len(distances))]
