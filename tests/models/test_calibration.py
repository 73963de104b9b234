"""Temperature scaling equals a grid search, and reduces the calibration error."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from fashion_lsh.metrics.calibration import calibration_error
from fashion_lsh.models.calibration import fit_temperature
from tests.metrics.factories import random_logits


def cross_entropy(logits: Tensor, labels: Tensor, temperature: float) -> float:
    return float(functional.cross_entropy(logits.double() / temperature, labels))


def grid_temperature(logits: Tensor, labels: Tensor) -> float:
    """Temperature with the lowest loss on a grid of 2,000 temperatures."""
    grid = np.geomspace(0.05, 20, 2000)  # neighbouring temperatures differ by 0.3 %
    return float(grid[np.argmin([cross_entropy(logits, labels, float(t)) for t in grid])])


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000), st.floats(0.2, 5))
def test_temperature_matches_grid_search(seed: int, scale: float) -> None:
    logits, labels = random_logits(seed, scale, count=60)
    assert fit_temperature(logits, labels) == pytest.approx(grid_temperature(logits, labels), rel=4e-3)


@given(st.integers(0, 1000), st.floats(0.1, 10))
def test_temperature_never_increases_the_loss(seed: int, scale: float) -> None:
    logits, labels = random_logits(seed, scale)
    assert cross_entropy(logits, labels, fit_temperature(logits, labels)) <= cross_entropy(logits, labels, 1.0) + 1e-6


@pytest.mark.parametrize("scale", [0.3, 1.0, 4.0])
def test_temperature_recovers_the_scale_of_logits(scale: float) -> None:
    assert fit_temperature(*random_logits(0, scale, count=20_000)) == pytest.approx(scale, rel=0.03)


def test_temperature_is_proportional_to_the_scale_of_logits() -> None:
    logits, labels = random_logits(3, 1.0)
    assert fit_temperature(3 * logits, labels) == pytest.approx(3 * fit_temperature(logits, labels), rel=2e-3)


def test_temperature_stays_within_bounds() -> None:
    labels = torch.arange(4).repeat(5)
    correct, wrong = functional.one_hot(labels, 4).float(), functional.one_hot((labels + 1) % 4, 4).float()
    assert fit_temperature(100 * correct, labels) >= 0.05
    assert fit_temperature(0.01 * correct, labels) == pytest.approx(0.05, rel=1e-3)
    assert fit_temperature(wrong, labels) == pytest.approx(20, rel=1e-3)


@pytest.mark.parametrize("scale", [0.2, 5.0])
def test_temperature_scaling_reduces_calibration_error(scale: float) -> None:
    logits, labels = random_logits(0, scale, count=5000)
    before = calibration_error(logits, labels)
    after = calibration_error(logits, labels, fit_temperature(logits, labels))
    assert before > 0.1
    assert after < before / 4
