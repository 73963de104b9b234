"""Principal axes, random hyperplanes and iterative quantisation against numpy."""

import itertools
import math

import numpy as np
import pytest
import torch

from fashion_lsh.models.projection import hyperplanes, itq, principal_axes


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


def test_hyperplanes_are_standard_normal_and_the_seeds_own() -> None:
    planes = hyperplanes(200, 300, seed=1)
    assert planes.shape == (200, 300)
    assert planes.dtype == torch.float32
    assert (planes.mean().item(), planes.std().item()) == pytest.approx((0, 1), abs=0.02)
    assert torch.equal(planes, hyperplanes(200, 300, seed=1))
    assert not torch.equal(planes, hyperplanes(200, 300, seed=2))


@pytest.mark.parametrize("angle", [0.3, 1.0, 2.5])
def test_features_lie_on_one_side_as_often_as_their_angle_says(angle: float) -> None:
    pair = torch.tensor([[1.0, 0.0], [math.cos(angle), math.sin(angle)]])
    one, other = pair @ hyperplanes(2, 20_000, seed=0) > 0
    assert (one != other).float().mean().item() == pytest.approx(angle / math.pi, abs=0.02)


@pytest.mark.parametrize(("dimensions", "bits"), [(0, 4), (4, 0)])
def test_there_is_no_plane_of_nothing(dimensions: int, bits: int) -> None:
    with pytest.raises(ValueError, match=rf"dimensions={dimensions}, bits={bits}: give at least 1"):
        hyperplanes(dimensions, bits, seed=0)


def far_from_signs(given: torch.Tensor, bits: int, rounds: int) -> float:
    """Squared distance between turned features and their signs, mean over all."""
    centre, planes = itq(given, bits, rounds=rounds)
    turned = (given - centre) @ planes
    return float((turned - torch.where(turned > 0, 1.0, -1.0)).square().mean())


def test_rounds_bring_features_nearer_to_their_signs() -> None:
    given = features(rows=500)
    errors = [far_from_signs(given, 6, rounds) for rounds in range(8)]
    assert all(later <= before + 1e-5 for before, later in itertools.pairwise(errors))
    assert far_from_signs(given, 6, 50) < errors[0]


@pytest.mark.parametrize("bits", [1, 5, 9])
def test_itq_against_numpy_round_by_round(bits: int) -> None:
    given = features(rows=200)
    centre, planes = itq(given, bits, seed=3, rounds=4)
    _, axes = principal_axes(given, bits)
    short = (given.double().numpy() - centre.double().numpy()) @ axes.double().numpy()
    turn = np.linalg.qr(hyperplanes(bits, bits, seed=3).double().numpy())[0]
    for _ in range(4):
        left, _, right = np.linalg.svd(np.where(short @ turn > 0, 1, -1).T @ short)
        turn = right.T @ left.T
    assert np.allclose(planes, axes.double().numpy() @ turn, atol=1e-4)
    assert torch.allclose(planes.T @ planes, torch.eye(bits), atol=1e-4)
    assert torch.allclose(centre, given.mean(dim=0), atol=1e-5)


def test_itq_finds_the_corners_that_features_lie_at() -> None:
    rng = np.random.default_rng(5)
    corners = np.where(rng.random((400, 4)) < 0.5, 1.0, -1.0)
    turn = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    given = torch.from_numpy((corners + 0.05 * rng.normal(size=corners.shape)) @ turn + 3).float()
    centre, planes = itq(given, 4)
    bits = ((given - centre) @ planes > 0).numpy()
    codes = {tuple(corner): tuple(row) for corner, row in zip(corners.tolist(), bits.tolist(), strict=True)}
    assert len(set(codes.values())) == len(codes) == 16
    assert all(codes[tuple(corner)] == tuple(row) for corner, row in zip(corners.tolist(), bits.tolist(), strict=True))


def test_one_seed_gives_one_rotation() -> None:
    given = features()
    assert torch.equal(itq(given, 4, seed=1)[1], itq(given, 4, seed=1)[1])
    assert not torch.equal(itq(given, 4, seed=1, rounds=0)[1], itq(given, 4, seed=2, rounds=0)[1])


def test_more_bits_than_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"bits=10 of features of length 9: .* give up to 9 bits"):
        itq(features(), 10)
