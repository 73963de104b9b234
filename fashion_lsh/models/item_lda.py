"""Linear discriminant analysis of items within their categories (pure functions)."""

from typing import NamedTuple

import torch
from torch import Tensor

SHRINKAGE = 0.1  # weight of the identity in the scatter of an item, as in regularised discriminant analysis
FEW_PAIRS = 2  # fewer pairs of images have no scatter between items


class ItemPairs(NamedTuple):
    """Features of pairs of images, which show the same item.

    Attributes:
        first, second: (P, D) float features; row p of both is one pair.
        categories: (P,) int64 category of each pair.
    """

    first: Tensor
    second: Tensor
    categories: Tensor


def fit_item_lda(pairs: ItemPairs, num_axes: int, num_categories: int) -> tuple[Tensor, Tensor]:
    """Fit the axes along which items of one category differ most, relative to the images of one item.

    r = x - mean of the category; W = E[(r1 - r2)(r1 - r2)^T] / 2 over the pairs, the scatter within an item, shrunk to
    (1 - s) W + s tr(W)/D I with s = SHRINKAGE; T = E[r r^T], the total scatter. The axes v solve T v = λ W v for the
    largest λ, scaled to v^T W v = 1.

    R. A. Fisher: The use of multiple measurements in taxonomic problems, Annals of Eugenics 1936; shrinkage: J. H.
    Friedman: Regularized Discriminant Analysis, JASA 1989, equation 18.

    Args:
        pairs: features of pairs.
        num_axes: number of axes, 1..D.
        num_categories: C; the mean of a category without pairs is the mean of all features.

    Returns:
        Means of the categories (C, D) float32, and axes (D, num_axes) float32 as columns by descending λ.

    Raises:
        ValueError: fewer than FEW_PAIRS pairs, features that are not finite, `num_axes` outside 1..D, or pairs of equal
            features, such as one view of a single image.
    """
    first, second = pairs.first.double(), pairs.second.double()
    features = torch.cat([first, second])
    if len(first) < FEW_PAIRS or not features.isfinite().all() or not 1 <= num_axes <= features.shape[1]:
        raise ValueError(
            f"{len(first)} pairs of features of length {features.shape[1]}, {num_axes=}: pass at least {FEW_PAIRS} "
            "pairs of finite features, and num_axes in 1..D"
        )
    means = category_means(features, pairs.categories.repeat(2), num_categories)
    residuals = features - means[pairs.categories.repeat(2)]
    total = residuals.T @ residuals / len(residuals)
    within = (first - second).T @ (first - second) / (2 * len(first))
    scale = within.trace() / len(within)
    if scale <= 0:
        raise ValueError("the images of each pair have equal features; pass items with several images or several views")
    identity = torch.eye(len(within), dtype=within.dtype)
    within = (1 - SHRINKAGE) * within + SHRINKAGE * scale * identity
    inverse_root = torch.linalg.solve_triangular(
        torch.linalg.cholesky(within), torch.eye(len(within)).double(), upper=False
    )
    _, vectors = torch.linalg.eigh(inverse_root @ total @ inverse_root.T)  # ascending eigenvalues
    axes = inverse_root.T @ vectors[:, -num_axes:].flip(1)
    return means.float(), axes.float()


def category_means(features: Tensor, categories: Tensor, num_categories: int) -> Tensor:
    """Mean of each category.  (N, D) float64, (N,) int64 -> (C, D) float64; the mean of all for one without rows."""
    sums = torch.zeros(num_categories, features.shape[1], dtype=features.dtype).index_add_(0, categories, features)
    counts = torch.bincount(categories, minlength=num_categories)[:, None]
    return torch.where(counts > 0, sums / counts.clamp(min=1), features.mean(dim=0))
