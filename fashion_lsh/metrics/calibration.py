"""Calibration error of softmax probabilities."""

from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error


def calibration_error(logits: Tensor, labels: Tensor, temperature: float = 1.0, bins: int = 15) -> float:
    """ECE: |confidence - accuracy| of `bins` equal-width bins of the top mass, weighted by their share of N.

    logits: (N, C) float; labels: (N,) int64, 0..C - 1.
    """
    probabilities = (logits / temperature).softmax(dim=1)
    return float(
        multiclass_calibration_error(probabilities, labels, num_classes=logits.shape[1], n_bins=bins, norm="l1")
    )
