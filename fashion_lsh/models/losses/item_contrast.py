"""Contrastive loss between items (pure function)."""

import torch
from torch import Tensor
from torch.nn import functional


def supervised_contrastive_loss(vectors: Tensor, items: Tensor, temperature: float) -> Tensor:
    """Supervised contrastive loss with items as classes (P. Khosla et al., NeurIPS 2020, equation 2, L_out).

    L = mean_i mean_{p in P(i)} -log( exp(z_i z_p / T) / sum_{a != i} exp(z_i z_a / T) ),  z: (B, D) normalised vectors,
    P(i): the other images of the item of i. Images without positives are negatives only.

    Args:
        vectors: (B, D) float, of non-zero norm.
        items: (B,) int64 item of each image.
        temperature: T > 0; a smaller T gives near negatives more weight.

    Returns:
        The mean over all images with positives, a scalar; 0 if no image has any, or if all are of one item.
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
