"""Random logits with labels sampled from their softmax."""

import torch
from torch import Tensor


def random_logits(seed: int, scale: float, count: int = 200, categories: int = 4) -> tuple[Tensor, Tensor]:
    """Sample labels from the softmax of random logits; return the logits times `scale` (calibrated if `scale` is 1)."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, categories, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return scale * logits, labels
