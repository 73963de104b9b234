"""Principal axes against numpy's singular vectors."""

import numpy as np
import pytest
import torch

from fashion_lsh.stages.projection import principal_axes


def features(rows: int = 60, dimensions: int = 9, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(rows, dimensions)) * np.arange(1, dimensions + 1)).float()


@pytest.mark.parametrize("count", [1, 4, 9])
def test_axes_are_the_singular_vectors(count: int) -> None:
    given = features()
    centre, axes = principal_axes(given, count)
    mean = given.double().numpy().mean(axis=0)
    _, _, vectors = np.linalg.svd(given.double().numpy() - mean)
    assert np.allclose(centre, mean, atol=1e-6)
    assert np.allclose(np.abs((axes.T.numpy() * vectors[:count]).sum(axis=1)), 1, atol=1e-5)  # up to their signs
    assert torch.allclose(axes.T @ axes, torch.eye(count), atol=1e-5)


def test_all_axes_keep_all_distances() -> None:
    given = features()
    centre, axes = principal_axes(given, 9)
    apart, turned = (values[:, None] - values[None] for values in (given, (given - centre) @ axes))
    assert torch.allclose(turned.norm(dim=2), apart.norm(dim=2), atol=1e-3)


def test_fewer_features_than_axes_still_give_orthonormal_ones() -> None:
    _, axes = principal_axes(features(rows=3), 7)
    assert torch.allclose(axes.T @ axes, torch.eye(7), atol=1e-5)


@pytest.mark.parametrize("count", [0, 10])
def test_as_many_axes_as_dimensions_at_most(count: int) -> None:
    with pytest.raises(ValueError, match="1 to D axes"):
        principal_axes(features(), count)


def test_what_is_not_finite_is_refused() -> None:
    given = features()
    given[4, 2] = torch.nan
    with pytest.raises(ValueError, match="finite"):
        principal_axes(given, 2)
