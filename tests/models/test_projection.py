"""Principal axes, random hyperplanes and iterative quantisation equal numpy."""

import itertools
import math

import numpy as np
import pytest
import torch

from fashion_lsh.models.projection import fit_itq, principal_axes, random_hyperplanes


def random_features(rows: int = 60, dimensions: int = 9, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(rows, dimensions)) * np.arange(1, dimensions + 1)).float()


@pytest.mark.parametrize("num_axes", [1, 4, 9])
def test_principal_axes_are_singular_vectors(num_axes: int) -> None:
    data = random_features()
    centre, axes = principal_axes(data, num_axes)
    mean = data.double().numpy().mean(axis=0)
    _, _, vectors = np.linalg.svd(data.double().numpy() - mean)
    assert np.allclose(centre, mean, atol=1e-6)
    assert np.allclose(np.abs((axes.T.numpy() * vectors[:num_axes]).sum(axis=1)), 1, atol=1e-5)  # up to their signs
    assert torch.allclose(axes.T @ axes, torch.eye(num_axes), atol=1e-5)


def test_all_principal_axes_preserve_distances() -> None:
    data = random_features()
    centre, axes = principal_axes(data, 9)
    differences, projected = (values[:, None] - values[None] for values in (data, (data - centre) @ axes))
    assert torch.allclose(projected.norm(dim=2), differences.norm(dim=2), atol=1e-3)


def test_principal_axes_beyond_the_rank_are_orthonormal() -> None:
    _, axes = principal_axes(random_features(rows=3), 7)
    assert torch.allclose(axes.T @ axes, torch.eye(7), atol=1e-5)


@pytest.mark.parametrize("num_axes", [0, 10])
def test_more_axes_than_dimensions_are_rejected(num_axes: int) -> None:
    with pytest.raises(ValueError, match=rf"num_axes={num_axes}: "):
        principal_axes(random_features(), num_axes)


def test_non_finite_features_are_rejected() -> None:
    data = random_features()
    data[4, 2] = torch.nan
    with pytest.raises(ValueError, match=r"features of shape \(60, 9\)"):
        principal_axes(data, 2)


def test_hyperplanes_are_standard_normal_and_deterministic_given_the_seed() -> None:
    directions = random_hyperplanes(200, 300, seed=1)
    assert directions.shape == (200, 300)
    assert directions.dtype == torch.float32
    assert (directions.mean().item(), directions.std().item()) == pytest.approx((0, 1), abs=0.02)
    assert torch.equal(directions, random_hyperplanes(200, 300, seed=1))
    assert not torch.equal(directions, random_hyperplanes(200, 300, seed=2))


@pytest.mark.parametrize("angle", [0.3, 1.0, 2.5])
def test_hyperplanes_separate_in_proportion_to_the_angle(angle: float) -> None:
    pair = torch.tensor([[1.0, 0.0], [math.cos(angle), math.sin(angle)]])
    one, other = pair @ random_hyperplanes(2, 20_000, seed=0) > 0
    assert (one != other).float().mean().item() == pytest.approx(angle / math.pi, abs=0.02)


@pytest.mark.parametrize(("dimensions", "bits"), [(0, 4), (4, 0)])
def test_zero_dimensions_or_bits_are_rejected(dimensions: int, bits: int) -> None:
    with pytest.raises(ValueError, match=rf"dimensions={dimensions}, bits={bits}: "):
        random_hyperplanes(dimensions, bits, seed=0)


def quantisation_error(data: torch.Tensor, bits: int, num_iterations: int) -> float:
    """Mean squared difference between rotated features and their signs."""
    centre, directions = fit_itq(data, bits, num_iterations=num_iterations)
    projected = (data - centre) @ directions
    return float((projected - torch.where(projected > 0, 1.0, -1.0)).square().mean())


def test_itq_iterations_reduce_quantisation_error() -> None:
    data = random_features(rows=500)
    errors = [quantisation_error(data, 6, num_iterations) for num_iterations in range(8)]
    assert all(later <= before + 1e-5 for before, later in itertools.pairwise(errors))
    assert quantisation_error(data, 6, 50) < errors[0]


@pytest.mark.parametrize("bits", [1, 5, 9])
def test_itq_equals_an_implementation_in_numpy(bits: int) -> None:
    data = random_features(rows=200)
    centre, directions = fit_itq(data, bits, seed=3, num_iterations=4)
    _, axes = principal_axes(data, bits)
    projected = (data.double().numpy() - centre.double().numpy()) @ axes.double().numpy()
    rotation = np.linalg.qr(random_hyperplanes(bits, bits, seed=3).double().numpy())[0]
    for _ in range(4):
        left, _, right = np.linalg.svd(np.where(projected @ rotation > 0, 1, -1).T @ projected)
        rotation = right.T @ left.T
    assert np.allclose(directions, axes.double().numpy() @ rotation, atol=1e-4)
    assert torch.allclose(directions.T @ directions, torch.eye(bits), atol=1e-4)
    assert torch.allclose(centre, data.mean(dim=0), atol=1e-5)


def test_itq_recovers_hypercube_corners() -> None:
    rng = np.random.default_rng(5)
    hypercube_corners = np.where(rng.random((400, 4)) < 0.5, 1.0, -1.0)
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    data = torch.from_numpy(
        (hypercube_corners + 0.05 * rng.normal(size=hypercube_corners.shape)) @ rotation + 3
    ).float()
    centre, directions = fit_itq(data, 4)
    bits = ((data - centre) @ directions > 0).numpy()
    codes = {tuple(corner): tuple(row) for corner, row in zip(hypercube_corners.tolist(), bits.tolist(), strict=True)}
    assert len(set(codes.values())) == len(codes) == 16
    assert all(
        codes[tuple(corner)] == tuple(row)
        for corner, row in zip(hypercube_corners.tolist(), bits.tolist(), strict=True)
    )


def test_itq_is_deterministic_given_the_seed() -> None:
    data = random_features()
    assert torch.equal(fit_itq(data, 4, seed=1)[1], fit_itq(data, 4, seed=1)[1])
    assert not torch.equal(fit_itq(data, 4, seed=1, num_iterations=0)[1], fit_itq(data, 4, seed=2, num_iterations=0)[1])


def test_itq_rejects_more_bits_than_dimensions() -> None:
    with pytest.raises(ValueError, match=r"bits=10: .*\b9 bits"):
        fit_itq(random_features(), 10)
