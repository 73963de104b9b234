"""One temperature, found by search, against a grid; and what it does to the calibration error."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from fashion_lsh.models.calibration import calibration_error, fit_temperature


def drawn(seed: int, truth: float, count: int = 200, categories: int = 4) -> tuple[Tensor, Tensor]:
    """Logits that say `truth` times too much (or too little) of the labels."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, categories, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return truth * logits, labels


def loss(logits: Tensor, labels: Tensor, temperature: float) -> float:
    return float(functional.cross_entropy(logits.double() / temperature, labels))


def grid_temperature(logits: Tensor, labels: Tensor) -> float:
    """The slow way: try two thousand."""
    grid = np.geomspace(0.05, 20, 2000)  # 0.3 % apart
    return float(grid[np.argmin([loss(logits, labels, float(t)) for t in grid])])


def plain_error(logits: Tensor, labels: Tensor, bins: int) -> float:
    masses = logits.double().softmax(1).numpy()
    top, right = masses.max(1), masses.argmax(1) == labels.numpy()
    error = 0.0
    for number in range(bins):
        inside = (top > number / bins) & (top <= (number + 1) / bins)
        if inside.any():
            error += inside.mean() * abs(top[inside].mean() - right[inside].mean())
    return error


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000), st.floats(0.2, 5))
def test_the_temperature_is_that_of_a_fine_grid(seed: int, truth: float) -> None:
    logits, labels = drawn(seed, truth, count=60)
    assert fit_temperature(logits, labels) == pytest.approx(grid_temperature(logits, labels), rel=4e-3)


@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_the_temperature_never_raises_the_loss(seed: int, truth: float) -> None:
    logits, labels = drawn(seed, truth)
    assert loss(logits, labels, fit_temperature(logits, labels)) <= loss(logits, labels, 1.0) + 1e-6


@pytest.mark.parametrize("truth", [0.3, 1.0, 4.0])
def test_logits_that_were_scaled_are_scaled_back(truth: float) -> None:
    assert fit_temperature(*drawn(0, truth, count=20_000)) == pytest.approx(truth, rel=0.03)


def test_the_temperature_of_scaled_logits_is_scaled_alike() -> None:
    logits, labels = drawn(3, 1.0)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3 * fit_temperature(logits, labels), rel=2e-3)


def test_the_temperature_stays_in_its_bounds_where_no_loss_is_least() -> None:
    labels = torch.arange(4).repeat(5)
    right, wrong = functional.one_hot(labels, 4).float(), functional.one_hot((labels + 1) % 4, 4).float()
    assert fit_temperature(100 * right, labels) >= 0.05
    assert fit_temperature(0.01 * right, labels) == pytest.approx(0.05, rel=1e-3)
    assert fit_temperature(wrong, labels) == pytest.approx(20, rel=1e-3)


@pytest.mark.parametrize("bins", [5, 15])
@pytest.mark.parametrize("seed", range(3))
def test_the_calibration_error_is_that_of_its_definition(seed: int, bins: int) -> None:
    logits, labels = drawn(seed, 2.0)
    assert calibration_error(logits, labels, bins=bins) == pytest.approx(plain_error(logits, labels, bins), abs=1e-5)


def test_the_calibration_error_is_taken_at_the_temperature_it_is_given() -> None:
    logits, labels = drawn(1, 2.0)
    assert calibration_error(logits, labels, 2.5) == pytest.approx(calibration_error(logits / 2.5, labels), abs=1e-6)


@pytest.mark.parametrize("truth", [0.2, 5.0])
def test_the_fitted_temperature_takes_most_of_the_calibration_error_away(truth: float) -> None:
    logits, labels = drawn(0, truth, count=5000)
    before = calibration_error(logits, labels)
    after = calibration_error(logits, labels, fit_temperature(logits, labels))
    assert before > 0.1
    assert after < before / 4


def test_certain_and_right_is_no_error_certain_and_wrong_is_all() -> None:
    labels = torch.arange(3)
    certain = 1000 * functional.one_hot(labels, 3).float()
    assert calibration_error(certain, labels) == pytest.approx(0.0)
    assert calibration_error(certain, (labels + 1) % 3) == pytest.approx(1.0)
