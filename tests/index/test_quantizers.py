"""Quantised vectors against the formulas of their distance estimates."""

from typing import Any

import numpy as np
import pytest

from fashion_lsh.index.quantizers import QuantizedVectors


def random_vectors(seed: int, count: int, dimensions: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimensions)).astype(np.float32)


TRAIN, VECTORS, QUERIES = random_vectors(0, 200), random_vectors(1, 60), random_vectors(2, 5)


def rabitq_estimates(query: np.ndarray) -> list[float]:
    """Estimates of the squared distance as in the paper of RaBitQ, vector by vector."""
    mean, estimates = TRAIN.mean(axis=0), []
    for vector in VECTORS:
        residual, query_residual = vector - mean, query - mean
        norm = np.linalg.norm(residual)
        code = np.where(residual > 0, 1, -1) / np.sqrt(len(residual))
        cosine = (code @ query_residual) / (code @ residual / norm)
        estimates.append(float(norm**2 + query_residual @ query_residual - 2 * norm * cosine))
    return estimates


def test_rabitq_estimates_distances_by_the_formula_of_the_paper() -> None:
    quantized = QuantizedVectors("rabitq", TRAIN, VECTORS)
    assert (len(quantized), quantized.vector_bytes) == (60, 24 // 8 + 8)
    distances = quantized.squared_distances(QUERIES)
    np.testing.assert_allclose(distances, [rabitq_estimates(query) for query in QUERIES], rtol=1e-4)
    exact = ((QUERIES[:, None] - VECTORS) ** 2).sum(axis=2)
    assert abs((distances - exact).mean()) < 1  # unbiased; squared distances are about 48


def test_int8_distances_are_those_of_rounded_vectors() -> None:
    quantized = QuantizedVectors("int8", TRAIN, VECTORS)
    assert quantized.vector_bytes == 24
    low, step = TRAIN.min(axis=0), np.ptp(TRAIN, axis=0) / 255
    rounded = low + (np.floor((VECTORS - low) / step).clip(0, 255) + 0.5) * step
    expected = ((QUERIES[:, None] - rounded) ** 2).sum(axis=2)
    np.testing.assert_allclose(quantized.squared_distances(QUERIES), expected, rtol=2e-3)


@pytest.mark.parametrize("method", ["rabitq", "int8"])
def test_search_finds_the_vectors_of_the_smallest_estimates(method: Any) -> None:
    quantized = QuantizedVectors(method, TRAIN, VECTORS)
    distances = quantized.squared_distances(QUERIES)
    hits = quantized.search(QUERIES, 9)
    hits.check()
    assert np.array_equal(hits.rows, distances.argsort(axis=1, kind="stable")[:, :9])
    np.testing.assert_allclose(hits.distances, np.sort(distances, axis=1)[:, :9], rtol=1e-4)
    for row in range(5):
        assert np.array_equal(quantized.squared_distances(QUERIES[row : row + 1])[0], distances[row])
    assert quantized.search(QUERIES, 61).rows[:, 60].tolist() == [-1] * 5


@pytest.mark.parametrize("method", ["rabitq", "int8"])
def test_vectors_equal_to_the_mean_and_empty_arrays_have_finite_distances(method: Any) -> None:
    mean = TRAIN.mean(axis=0, keepdims=True)
    assert np.isfinite(QuantizedVectors(method, TRAIN, mean).squared_distances(QUERIES)).all()
    assert QuantizedVectors(method, TRAIN, VECTORS[:0]).squared_distances(QUERIES).shape == (5, 0)
    assert QuantizedVectors(method, TRAIN, VECTORS).squared_distances(QUERIES[:0]).shape == (0, 60)


def test_invalid_vectors_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"train has shape \(0, 24\)"):
        QuantizedVectors("int8", TRAIN[:0], VECTORS)
    with pytest.raises(ValueError, match=r"embeddings has shape \(60, 23\)"):
        QuantizedVectors("int8", TRAIN, VECTORS[:, 1:])
    with pytest.raises(ValueError, match=r"embeddings\[0\] .*NaN"):
        QuantizedVectors("rabitq", TRAIN, VECTORS).search(QUERIES * np.float32(np.nan), 3)
