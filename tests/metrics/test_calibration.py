"""Calibration error against its definition, torchmetrics, and values worked out by hand."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics.functional.classification import multiclass_calibration_error

from fashion_lsh.metrics.calibration import calibration_error
from tests.metrics.factories import random_logits


def reference_error(logits: Tensor, labels: Tensor, num_bins: int) -> float:
    probabilities = logits.double().softmax(1).numpy()
    edges = [index / num_bins for index in range(num_bins)] + [math.inf]  # the last bin contains 1
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels.numpy()
    error = 0.0
    for index in range(num_bins):
        in_bin = (confidence >= edges[index]) & (confidence < edges[index + 1])
        if in_bin.any():
            error += in_bin.mean() * abs(confidence[in_bin].mean() - correct[in_bin].mean())
    return error


@pytest.mark.parametrize("num_bins", [5, 15])
@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_matches_the_definition(seed: int, num_bins: int) -> None:
    logits, labels = random_logits(seed, 2.0)
    expected = reference_error(logits, labels, num_bins)
    assert calibration_error(logits, labels, num_bins=num_bins) == pytest.approx(expected, abs=1e-9)
    other = multiclass_calibration_error(logits.double().softmax(1), labels, logits.shape[1], num_bins, norm="l1")
    assert calibration_error(logits, labels, num_bins=num_bins) == pytest.approx(float(other), abs=1e-6)


def test_calibration_error_uses_the_given_temperature() -> None:
    logits, labels = random_logits(1, 2.0)
    assert calibration_error(logits, labels, 2.5) == pytest.approx(calibration_error(logits / 2.5, labels), abs=1e-6)


def test_calibration_error_of_certain_predictions() -> None:
    labels = torch.arange(3)
    certain = 1000 * functional.one_hot(labels, 3).float()
    assert calibration_error(certain, labels) == pytest.approx(0.0)
    assert calibration_error(certain, (labels + 1) % 3) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("is_correct", "expected"), [((0, 1), 0.475), ((1, 0), 0.475), ((1, 1), 0.025), ((0, 0), 0.975)]
)
def test_a_confidence_of_exactly_1_is_in_the_last_bin(is_correct: tuple[int, int], expected: float) -> None:
    """Confidences 1 and 0.95 share the bin 0.9 to 1: |1.95 - number of correct predictions| / 2."""
    logits = torch.tensor([[1000.0, 0.0], [math.log(19), 0.0]], dtype=torch.float64)
    assert logits.softmax(1)[0, 0] == 1
    labels = 1 - torch.tensor(is_correct)
    assert calibration_error(logits, labels, num_bins=10) == pytest.approx(expected, abs=1e-12)
