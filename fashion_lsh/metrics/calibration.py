"""Calibration error of softmax probabilities."""

from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error


def calibration_error(logits: Tensor, labels: Tensor, temperature: float = 1.0, num_bins: int = 15) -> float:
    """Expected calibration error: mean |confidence - accuracy| over equal-width confidence bins, weighted by bin size.

    Args:
        logits: (N, C) float.
        labels: (N,) int64, 0..C - 1.
        temperature: divisor of the logits.
        num_bins: number of confidence bins.
    """
    probabilities = (logits / temperature).softmax(dim=1)
    return float(
        multiclass_calibration_error(probabilities, labels, num_classes=logits.shape[1], n_bins=num_bins, norm="l1")
    )
