"""The contrastive loss between items equals its formula, over all images or those of the category."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from fashion_lsh.models.losses.item_contrast import supervised_contrastive_loss


def by_formula(vectors: Tensor, items: Tensor, categories: Tensor, temperature: float) -> float:
    """Loss with one loop for each sum of the formula."""
    unit = functional.normalize(vectors, dim=1).double()
    losses = []
    for i in range(len(items)):
        others = [j for j in range(len(items)) if j != i and categories[j] == categories[i]]
        positives = [j for j in others if items[j] == items[i]]
        if positives:
            total = sum(torch.exp(unit[i] @ unit[a] / temperature) for a in others)
            logs = [-torch.log(torch.exp(unit[i] @ unit[p] / temperature) / total) for p in positives]
            losses.append(torch.stack(logs).mean())
    return float(torch.stack(losses).mean()) if losses else 0.0


@given(st.integers(0, 10_000), st.integers(2, 9), st.integers(1, 3))
def test_loss_equals_its_formula(seed: int, num_images: int, num_categories: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(num_images, 4, generator=generator)
    items = torch.randint(0, 3 * num_categories, (num_images,), generator=generator)
    categories = items % num_categories
    loss = supervised_contrastive_loss(vectors, items, 0.5, categories)
    if not bool((items == items[0]).all()):
        assert float(loss) == pytest.approx(by_formula(vectors, items, categories, 0.5), abs=1e-5)
    whole = supervised_contrastive_loss(vectors, items, 0.5)
    same = supervised_contrastive_loss(vectors, items, 0.5, torch.zeros_like(items))
    torch.testing.assert_close(whole, same)


def test_an_image_that_is_alone_in_its_category_has_a_finite_gradient() -> None:
    vectors = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = supervised_contrastive_loss(vectors, torch.tensor([0, 0, 1, 1, 2]), 0.1, torch.tensor([0, 0, 0, 0, 1]))
    loss.backward()
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()
    assert not vectors.grad[4].any()


def test_images_of_other_categories_do_not_count() -> None:
    vectors = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    items, categories = torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 0, 0, 0, 1, 1])
    changed = vectors.clone()
    changed[4:] = vectors[:2]  # of another category, but equal to images of category 0
    losses = [supervised_contrastive_loss(each[:4], items[:4], 0.1) for each in (vectors, changed)]
    assert losses[0] == losses[1]
    restricted = [supervised_contrastive_loss(each, items, 0.1, categories) for each in (vectors, changed)]
    whole = [supervised_contrastive_loss(each, items, 0.1) for each in (vectors, changed)]
    assert abs(restricted[0] - restricted[1]) < abs(whole[0] - whole[1])
