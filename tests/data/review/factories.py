"""Embeddings with made-up label noise."""

import numpy as np


def noisy_embeddings(
    num_labels: int = 5, count: int = 60, noise: float = 0.1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overlapping clusters on a sphere: embeddings (N, 16), labels with noise (N,), and which are wrong (N,) bool."""
    rng = np.random.default_rng(seed)
    true_labels = np.repeat(np.arange(num_labels), count)
    embeddings = rng.normal(size=(num_labels, 16))[true_labels] + rng.normal(size=(len(true_labels), 16))
    is_wrong = rng.random(len(true_labels)) < noise
    labels = np.where(is_wrong, (true_labels + rng.integers(1, num_labels, len(true_labels))) % num_labels, true_labels)
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), labels, is_wrong
