"""The calibration error against its definition, bin by bin."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fashion_lsh.metrics.calibration import calibration_error
from tests.metrics.factories import drawn


def plain_error(logits: Tensor, labels: Tensor, bins: int) -> float:
    masses = logits.double().softmax(1).numpy()
    top, right = masses.max(1), masses.argmax(1) == labels.numpy()
    error = 0.0
    for number in range(bins):
        inside = (top > number / bins) & (top <= (number + 1) / bins)
        if inside.any():
            error += inside.mean() * abs(top[inside].mean() - right[inside].mean())
    return error


@pytest.mark.parametrize("bins", [5, 15])
@pytest.mark.parametrize("seed", range(3))
def test_the_calibration_error_is_that_of_its_definition(seed: int, bins: int) -> None:
    logits, labels = drawn(seed, 2.0)
    assert calibration_error(logits, labels, bins=bins) == pytest.approx(plain_error(logits, labels, bins), abs=1e-5)


def test_the_calibration_error_is_taken_at_the_temperature_it_is_given() -> None:
    logits, labels = drawn(1, 2.0)
    assert calibration_error(logits, labels, 2.5) == pytest.approx(calibration_error(logits / 2.5, labels), abs=1e-6)


def test_certain_and_right_is_no_error_certain_and_wrong_is_all() -> None:
    labels = torch.arange(3)
    certain = 1000 * functional.one_hot(labels, 3).float()
    assert calibration_error(certain, labels) == pytest.approx(0.0)
    assert calibration_error(certain, (labels + 1) % 3) == pytest.approx(1.0)
