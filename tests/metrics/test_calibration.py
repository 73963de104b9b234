"""Calibration error against its definition."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fashion_lsh.metrics.calibration import calibration_error
from tests.metrics.factories import random_logits


def reference_error(logits: Tensor, labels: Tensor, num_bins: int) -> float:
    probabilities = logits.double().softmax(1).numpy()
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels.numpy()
    error = 0.0
    for index in range(num_bins):
        in_bin = (confidence > index / num_bins) & (confidence <= (index + 1) / num_bins)
        if in_bin.any():
            error += in_bin.mean() * abs(confidence[in_bin].mean() - correct[in_bin].mean())
    return error


@pytest.mark.parametrize("num_bins", [5, 15])
@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_matches_the_definition(seed: int, num_bins: int) -> None:
    logits, labels = random_logits(seed, 2.0)
    expected = reference_error(logits, labels, num_bins)
    assert calibration_error(logits, labels, num_bins=num_bins) == pytest.approx(expected, abs=1e-5)


def test_calibration_error_uses_the_given_temperature() -> None:
    logits, labels = random_logits(1, 2.0)
    assert calibration_error(logits, labels, 2.5) == pytest.approx(calibration_error(logits / 2.5, labels), abs=1e-6)


def test_calibration_error_of_certain_predictions() -> None:
    labels = torch.arange(3)
    certain = 1000 * functional.one_hot(labels, 3).float()
    assert calibration_error(certain, labels) == pytest.approx(0.0)
    assert calibration_error(certain, (labels + 1) % 3) == pytest.approx(1.0)
