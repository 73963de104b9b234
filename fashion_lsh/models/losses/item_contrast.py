"""Supervised contrastive loss between items (pure function)."""

import torch
from torch import Tensor
from torch.nn import functional


def supervised_contrastive_loss(
    vectors: Tensor, items: Tensor, temperature: float, categories: Tensor | None = None
) -> Tensor:
    """Supervised contrastive loss with items as classes (P. Khosla et al., NeurIPS 2020, equation 2, L_out).

    L = mean_i mean_{p in P(i)} -log( exp(z_i z_p / T) / sum_{a != i} exp(z_i z_a / T) ),  z: (B, D) normalised vectors,
    P(i): other images with the item of image i. Images without positives are used only as negatives. With categories,
    image i is compared only with the images a of its own category.

    Args:
        vectors: (B, D) float vectors with non-zero norm.
        items: (B,) int64 items of the images.
        temperature: T > 0; a smaller T increases the weight of near negatives.
        categories: (B,) int64 categories of the images, equal for images of one item; None: compare all images.

    Returns:
        Scalar mean over all images with positives; 0 if no image has positives, or if all images have the same item.
    """
    normalised = functional.normalize(vectors, dim=1)
    cosines = normalised @ normalised.T / temperature  # (B, B)
    is_left_out = torch.eye(len(items), dtype=torch.bool, device=items.device)
    if categories is not None:
        is_left_out |= categories[:, None] != categories
    is_positive = (items[:, None] == items) & ~is_left_out
    has_positive = is_positive.any(dim=1)
    if not has_positive.any() or bool((items == items[0]).all()):
        return vectors.sum() * 0
    is_left_out &= has_positive[:, None]  # an image without others to compare would have the gradient NaN
    log_probabilities = cosines - cosines.masked_fill(is_left_out, -torch.inf).logsumexp(dim=1, keepdim=True)
    means = (
        log_probabilities.masked_fill(~is_positive, 0).sum(dim=1)[has_positive] / is_positive.sum(dim=1)[has_positive]
    )
    return -means.mean()
