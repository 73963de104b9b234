"""Temperature scaling, fitted on the validation split."""

import torch
from torch import Tensor
from torch.nn import functional

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0  # limits of the search


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Temperature T > 0 that minimises the cross-entropy of softmax(logits / T) (Guo et al., ICML 2017, section 4.2).

    Args:
        logits: (N, C) float.
        labels: (N,) int64.

    Returns:
        T in 0.05..20 with a precision of 0.1 %, by golden-section search: the loss has a single minimum in log T.
    """
    low, high = torch.tensor(MIN_TEMPERATURE).log(), torch.tensor(MAX_TEMPERATURE).log()
    golden = (5**0.5 - 1) / 2
    while high - low > 1e-3:
        left, right = high - golden * (high - low), low + golden * (high - low)
        if _loss(logits, labels, left) < _loss(logits, labels, right):
            high = right
        else:
            low = left
    return float(((low + high) / 2).exp())


def _loss(logits: Tensor, labels: Tensor, log_temperature: Tensor) -> Tensor:
    return functional.cross_entropy(logits.double() / log_temperature.double().exp(), labels)
