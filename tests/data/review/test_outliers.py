"""Outliers: distance to the nearest neighbours, and the rows above the upper fence."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.data.review import outliers
from fashion_lsh.data.review.outliers import find_outliers, neighbour_distances


def plain_distances(embeddings: np.ndarray, num_neighbours: int) -> list[float]:
    means = []
    for row, one in enumerate(embeddings):
        others = [float(np.linalg.norm(one - other)) for index, other in enumerate(embeddings) if index != row]
        nearest = sorted(others)[:num_neighbours]
        means.append(sum(nearest) / len(nearest) if nearest else 0.0)
    return means


@given(st.integers(1, 25), st.integers(1, 12), st.integers(0, 10**6))
def test_distances_equal_the_plain_definition(count: int, num_neighbours: int, seed: int) -> None:
    embeddings = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    distances = neighbour_distances(embeddings, num_neighbours)
    assert distances == pytest.approx(plain_distances(embeddings, num_neighbours), abs=2e-3)


def test_blocks_give_the_same_distances(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings = np.random.default_rng(0).normal(size=(23, 5))
    whole = neighbour_distances(embeddings)
    monkeypatch.setattr(outliers, "BLOCK", 50)
    assert neighbour_distances(embeddings) == pytest.approx(whole, abs=1e-6)
    with pytest.raises(ValueError, match="num_neighbours=0"):
        neighbour_distances(embeddings, 0)


def test_a_far_row_is_the_first_outlier() -> None:
    embeddings = np.random.default_rng(0).normal(size=(60, 5))
    embeddings[17] += 30
    assert find_outliers(neighbour_distances(embeddings))[0] == 17


def test_the_ratio_is_rounded_up_and_ties_are_in_order() -> None:
    distances = np.array([1, 3, 2, 3], dtype=np.float32)
    assert find_outliers(distances).tolist() == [1]
    assert find_outliers(distances, 0.6).tolist() == [1, 3, 2]
    assert not len(find_outliers(np.empty(0, np.float32)))
