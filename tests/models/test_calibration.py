"""One temperature, found by search, against a grid; and what it does to the calibration error."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from fashion_lsh.metrics.calibration import calibration_error
from fashion_lsh.models.calibration import fit_temperature
from tests.metrics.factories import drawn


def loss(logits: Tensor, labels: Tensor, temperature: float) -> float:
    return float(functional.cross_entropy(logits.double() / temperature, labels))


def grid_temperature(logits: Tensor, labels: Tensor) -> float:
    """The slow way: try two thousand."""
    grid = np.geomspace(0.05, 20, 2000)  # 0.3 % apart
    return float(grid[np.argmin([loss(logits, labels, float(t)) for t in grid])])


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


@pytest.mark.parametrize("truth", [0.2, 5.0])
def test_the_fitted_temperature_takes_most_of_the_calibration_error_away(truth: float) -> None:
    logits, labels = drawn(0, truth, count=5000)
    before = calibration_error(logits, labels)
    after = calibration_error(logits, labels, fit_temperature(logits, labels))
    assert before > 0.1
    assert after < before / 4
