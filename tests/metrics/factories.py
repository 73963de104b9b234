"""Random logits whose labels are drawn from their softmax."""

import torch
from torch import Tensor


def random_logits(seed: int, scale: float, count: int = 200, categories: int = 4) -> tuple[Tensor, Tensor]:
    """Logits that say `truth` times too much (or too little) of the labels."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(count, categories, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return scale * logits, labels
