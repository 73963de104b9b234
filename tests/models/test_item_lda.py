"""Item-LDA equals SciPy's generalised eigenvectors, and finds the axes along which items differ."""

from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch

from fashion_lsh.models.item_lda import SHRINKAGE, ItemPairs, category_means, fit_item_lda


def make_pairs(num_items: int = 400, seed: int = 0) -> ItemPairs:
    """Items of three categories that differ along the first two of six axes; images of one item along all others."""
    generator = torch.Generator().manual_seed(seed)
    categories = torch.arange(num_items) % 3
    items = torch.zeros(num_items, 6)
    items[:, :2] = torch.randn(num_items, 2, generator=generator)
    items[:, 2] += 10 * categories
    noise = torch.tensor([0.1, 0.1, 1, 1, 1, 1]) * torch.randn(2, num_items, 6, generator=generator)
    return ItemPairs(items + noise[0], items + noise[1], categories)


def test_axes_are_those_of_items_and_not_of_categories_or_images() -> None:
    _, axes = fit_item_lda(make_pairs(), 2, 3)
    weights = (axes / axes.norm(dim=0)).abs()
    assert weights[:2].norm() > 1.4  # of at most sqrt(2)


def test_axes_equal_those_of_scipy() -> None:
    pairs = make_pairs()
    means, axes = fit_item_lda(pairs, 3, 3)
    first, second = pairs.first.double().numpy(), pairs.second.double().numpy()
    features, categories = np.concatenate([first, second]), np.tile(pairs.categories.numpy(), 2)
    expected_means = np.stack([features[categories == category].mean(axis=0) for category in range(3)])
    residuals = features - expected_means[categories]
    within = (first - second).T @ (first - second) / (2 * len(first))
    within = (1 - SHRINKAGE) * within + SHRINKAGE * np.trace(within) / 6 * np.eye(6)
    _, vectors = scipy.linalg.eigh(residuals.T @ residuals / len(residuals), within)
    expected = vectors[:, ::-1][:, :3]
    np.testing.assert_allclose(means, expected_means, rtol=1e-5)
    np.testing.assert_allclose(np.abs(axes), np.abs(expected), atol=1e-4)


def test_a_category_without_images_has_the_mean_of_all() -> None:
    features = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).double()
    means = category_means(features, torch.tensor([1, 1]), 3)
    assert means.tolist() == [[2.0, 3.0]] * 3


def one_view(pairs: ItemPairs) -> ItemPairs:
    return pairs._replace(second=pairs.first)


@pytest.mark.parametrize(("change", "num_axes", "named"), [
    (one_view, 2, "several views"),
    (lambda pairs: ItemPairs(*(each[:1] for each in pairs)), 2, "1 pairs"),
    (lambda pairs: pairs._replace(first=pairs.first * torch.nan), 2, "finite"),
    (lambda pairs: pairs, 7, "num_axes=7"),
])  # fmt: skip
def test_invalid_pairs_are_refused(change: Any, num_axes: int, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        fit_item_lda(change(make_pairs()), num_axes, 3)
