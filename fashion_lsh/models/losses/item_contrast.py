"""Pictures of one item together, all others apart (pure)."""

import torch
from torch import Tensor
from torch.nn import functional


def supervised_contrastive_loss(vectors: Tensor, items: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss: P. Khosla et al., NeurIPS 2020, equation 2 (L_out), among items.

    For each picture the mean, over the others of its item, of -log of the softmax over all other pictures of the
    cosines by the temperature.  Pictures whose item shows nowhere else in the batch only stand among the others.

    Args:
        vectors: (B, D) float, of any length above 0.
        items: (B,) int64, equal where two pictures show one item.
        temperature: above 0; the smaller, the more the nearest of the others count.

    Returns:
        The mean over all pictures that have a partner, a scalar; 0 where none has, or where there is but one item.
    """
    normalised = functional.normalize(vectors, dim=1)
    cosines = normalised @ normalised.T / temperature  # (B, B)
    self_mask = torch.eye(len(items), dtype=torch.bool, device=items.device)
    positive_mask = (items[:, None] == items) & ~self_mask
    has_positive = positive_mask.any(dim=1)
    if not has_positive.any() or bool((items == items[0]).all()):
        return vectors.sum() * 0
    log_probabilities = cosines - cosines.masked_fill(self_mask, -torch.inf).logsumexp(dim=1, keepdim=True)
    means = (
        log_probabilities.masked_fill(~positive_mask, 0).sum(dim=1)[has_positive]
        / positive_mask.sum(dim=1)[has_positive]
    )
    return -means.mean()
