"""Calibration error of softmax probabilities."""

from torch import Tensor


def calibration_error(logits: Tensor, labels: Tensor, temperature: float = 1.0, num_bins: int = 15) -> float:
    """Expected calibration error: mean |confidence - accuracy| over equal-width confidence bins, weighted by bin size.

    Bin i of n is [i/n, (i + 1)/n); the last bin contains 1.
    C. Guo et al.: On Calibration of Modern Neural Networks, ICML 2017, equation 3.

    Args:
        logits: (N, C) float, N at least 1.
        labels: (N,) int64, 0..C - 1.
        temperature: divisor of the logits.
        num_bins: number of confidence bins.
    """
    confidence, predicted = (logits.double() / temperature).softmax(dim=1).max(dim=1)
    bins = (confidence * num_bins).long().clamp(max=num_bins - 1)
    gaps = confidence.new_zeros(num_bins).index_add(0, bins, confidence - (predicted == labels).double())
    return float(gaps.abs().sum() / len(labels))
