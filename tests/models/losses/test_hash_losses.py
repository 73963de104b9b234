"""Hash losses: extreme values, and training on a tiny set; formulas are tested in tests/parity/test_losses.py."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fashion_lsh.io.targets import ComponentError
from fashion_lsh.models.losses import LOSSES, create_loss
from fashion_lsh.models.losses.base import HashLoss
from fashion_lsh.models.losses.bihalf import BiHalf, signs
from fashion_lsh.models.losses.item_contrast import supervised_contrastive_loss

BITS, CATEGORIES, SMOOTHING = 12, 3, 0.1
each_loss = pytest.mark.parametrize("name", sorted(LOSSES))


def make_loss(name: str, bits: int = BITS, categories: int = CATEGORIES) -> HashLoss:
    return LOSSES[name](bits, categories, SMOOTHING)


def random_normal(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@each_loss
@pytest.mark.parametrize("scale", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("rows", [1, 6])
def test_gradients_are_finite_for_extreme_outputs(name: str, scale: float, rows: int) -> None:
    loss = make_loss(name)
    outputs, head = random_normal(rows, BITS, scale=scale).requires_grad_(), nn.Linear(BITS, CATEGORIES)
    activations = loss.activate(outputs)
    categories = torch.zeros(rows, dtype=torch.int64)  # all images have the same category
    value = loss(activations, head(loss.head_input(activations)), categories)
    value.backward()  # type: ignore[no-untyped-call]
    assert value.isfinite()
    assert outputs.grad is not None
    assert outputs.grad.isfinite().all()


@each_loss
@pytest.mark.parametrize(("bits", "bihalf"), [(8, True), (130, False)])
def test_loss_separates_a_tiny_set_in_200_steps(name: str, bits: int, bihalf: bool) -> None:
    torch.manual_seed(0)
    categories = torch.arange(4).repeat(10)  # batch of even size for bihalf
    features = random_normal(4, 16)[categories] + random_normal(40, 16, seed=1, scale=0.2)
    loss, layer, head = make_loss(name, bits, 4), nn.Linear(16, bits), nn.Linear(bits, 4)
    adam = torch.optim.Adam([*layer.parameters(), *head.parameters(), *loss.parameters()], lr=0.02)
    for _ in range(200):
        outputs = BiHalf.apply(layer(features)) if bihalf else layer(features)
        activations = loss.activate(outputs)
        adam.zero_grad()
        loss(activations, head(loss.head_input(activations)), categories).backward()
        adam.step()
    loss.eval()
    outputs = signs(layer(features)) if bihalf else layer(features)
    activations = loss.activate(outputs)
    assert (head(loss.head_input(activations)).argmax(dim=1) == categories).all()
    codes = signs(activations - loss.threshold)
    distances = (bits - codes @ codes.T) / 2
    is_same = categories[:, None] == categories
    assert distances[is_same].mean() < distances[~is_same].mean() / 2


@each_loss
def test_activations_do_not_depend_on_the_batch_in_eval_mode(name: str) -> None:
    loss = make_loss(name).eval()
    outputs = random_normal(5, BITS)
    torch.testing.assert_close(loss.activate(outputs[:1]), loss.activate(outputs)[:1])


def test_greedyhash_uses_straight_through_signs() -> None:
    activations = random_normal(4, BITS).requires_grad_()
    head_input = make_loss("greedyhash").head_input(activations)
    torch.testing.assert_close(head_input, signs(activations))
    weights = random_normal(4, BITS, seed=3)
    (head_input * weights).sum().backward()
    assert activations.grad is not None
    torch.testing.assert_close(activations.grad, weights)


@given(st.integers(1, 9), st.integers(1, 20), st.integers(0, 2**16))
@settings(deadline=None, max_examples=40)
def test_bihalf_splits_each_bit_in_halves(rows: int, bits: int, seed: int) -> None:
    outputs = random_normal(rows, bits, seed=seed).requires_grad_()
    halves = BiHalf.apply(outputs)
    assert ((halves == 1) | (halves == -1)).all()
    assert ((halves == 1).sum(dim=0) == rows // 2).all()
    for bit in range(bits):  # every output with bit 1 is at least those with bit 0
        ones, zeros = (outputs[:, bit][halves[:, bit] == value] for value in (1, -1))
        assert not len(ones) or ones.min() >= zeros.max()
    gradient = random_normal(rows, bits, seed=seed + 1)
    halves.backward(gradient)
    assert outputs.grad is not None
    torch.testing.assert_close(outputs.grad, gradient + 6 * (outputs.detach() - halves.detach()) / (rows * bits))


@pytest.mark.parametrize("items", [[1, 2, 3, 4], [5, 5, 5, 5]])
def test_contrastive_loss_without_pairs_is_zero(items: list[int]) -> None:
    vectors = random_normal(4, 5).requires_grad_()
    loss = supervised_contrastive_loss(vectors, torch.tensor(items), 0.1)
    loss.backward()  # type: ignore[no-untyped-call]
    assert float(loss.detach()) == 0
    assert vectors.grad is not None
    assert not vectors.grad.any()


def test_contrastive_loss_clusters_items() -> None:
    items = torch.arange(8).repeat_interleave(2)
    vectors = random_normal(16, 4).requires_grad_()
    adam = torch.optim.Adam([vectors], lr=0.05)
    for _ in range(200):
        adam.zero_grad()
        supervised_contrastive_loss(vectors, items, 0.1).backward()  # type: ignore[no-untyped-call]
        adam.step()
    unit = nn.functional.normalize(vectors.detach(), dim=1)
    nearest = (unit @ unit.T).fill_diagonal_(-2).argmax(dim=1)
    assert torch.equal(items[nearest], items)


def test_unknown_loss_lists_every_loss() -> None:
    with pytest.raises(ComponentError, match=rf"hash\.loss='hinge'.*{', '.join(LOSSES)}"):
        create_loss("hinge", 8, 3, 0.1)
