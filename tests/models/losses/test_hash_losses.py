"""Hash losses: formulas, extreme values, and training on a tiny set."""

import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fashion_lsh.io.targets import ComponentError
from fashion_lsh.models.losses import LOSSES, create_loss
from fashion_lsh.models.losses.base import HashLoss
from fashion_lsh.models.losses.bihalf import BiHalf, signs
from fashion_lsh.models.losses.centres import hash_centres
from fashion_lsh.models.losses.item_contrast import supervised_contrastive_loss

BITS, CATEGORIES, SMOOTHING = 12, 3, 0.1
each_loss = pytest.mark.parametrize("name", sorted(LOSSES))


def make_loss(name: str, bits: int = BITS, categories: int = CATEGORIES) -> HashLoss:
    return LOSSES[name](bits, categories, SMOOTHING)


def random_normal(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cross_entropy(logits: Tensor, categories: Tensor, smoothing: float) -> float:
    """Cross-entropy with label smoothing, computed in loops."""
    total = 0.0
    for row, category in zip(logits.tolist(), categories.tolist(), strict=True):
        maximum = max(row)
        norm = maximum + math.log(sum(math.exp(value - maximum) for value in row))
        total += (1 - smoothing) * (norm - row[category]) + smoothing * sum(norm - v for v in row) / len(row)
    return total / len(logits)


def expected_penalty(name: str, activations: Tensor, categories: Tensor) -> float:
    """Terms of a loss in addition to the cross-entropy of the category head, computed in loops."""
    rows = activations.double().tolist()
    count, targets = len(rows) * BITS, hash_centres(CATEGORIES, BITS).tolist()
    if name == "ssdh":
        binary = sum((a - 0.5) ** 2 for row in rows for a in row) / count
        return sum((sum(row) / BITS - 0.5) ** 2 for row in rows) / len(rows) - binary
    if name == "greedyhash":
        return 0.1 * sum(abs(abs(a) - 1) ** 3 for row in rows for a in row) / count
    if name == "csq":
        central = quantised = 0.0
        for row, category in zip(rows, categories.tolist(), strict=True):
            for a, target in zip(row, targets[category], strict=True):
                code = (math.tanh(a) + 1) / 2
                central -= math.log(code if target > 0 else 1 - code)
                quantised += math.log(math.cosh(abs(math.tanh(a)) - 1))
        return (central + 1e-4 * quantised) / count
    if name == "orthohash":
        length = [math.sqrt(sum(a * a for a in row)) for row in rows]
        cosines = [
            [sum(a * b for a, b in zip(row, target, strict=True)) / size / math.sqrt(BITS) for target in targets]
            for row, size in zip(rows, length, strict=True)
        ]
        for row, category in zip(cosines, categories.tolist(), strict=True):
            row[category] -= 0.3
        return cross_entropy(torch.tensor(cosines) * math.sqrt(BITS), categories, 0.0)
    return 0.0


@each_loss
def test_loss_matches_the_formula(name: str) -> None:
    loss = make_loss(name)
    activations = loss.activate(random_normal(7, BITS))
    logits, categories = random_normal(7, CATEGORIES, seed=1), torch.tensor([0, 1, 2, 0, 1, 2, 0])
    value = loss(activations, logits, categories)
    assert value.shape == ()
    expected = cross_entropy(logits, categories, SMOOTHING) + expected_penalty(name, activations.detach(), categories)
    assert float(value.detach()) == pytest.approx(expected, rel=1e-4)


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


@pytest.mark.parametrize(("count", "bits"), [(10, 16), (16, 16), (30, 64), (128, 64), (11, 64), (2, 32)])
def test_hadamard_centres_differ_in_half_the_bits(count: int, bits: int) -> None:
    codes = hash_centres(count, bits)
    distances = (bits - codes @ codes.T) / 2
    assert float(distances.fill_diagonal_(bits).min()) >= bits / 2


@given(st.integers(1, 60), st.integers(1, 130))
@settings(deadline=None, max_examples=40)
def test_centres_are_distinct_and_far_apart(count: int, bits: int) -> None:
    if count > 2**bits:
        expected = rf"hash\.bits={bits}: .*\b{2**bits}\b.*at least {(count - 1).bit_length()} bits"
        with pytest.raises(ValueError, match=expected):
            hash_centres(count, bits)
        return
    codes = hash_centres(count, bits)
    assert codes.shape == (count, bits)
    assert ((codes == 1) | (codes == -1)).all()
    assert len(codes.unique(dim=0)) == count
    assert torch.equal(codes, hash_centres(count, bits))
    if count > 1 and bits >= 32:
        distances = (bits - codes @ codes.T) / 2
        assert float(distances.fill_diagonal_(bits).min()) >= bits / 4
        assert codes.mean(dim=0).abs().max() < 1 or count < 6  # no bit is constant


def test_close_centres_are_logged_as_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    hash_centres(16, 4)
    assert re.search(r"hash\.bits=4.*\b16\b.*\b1\b", caplog.text)


def reference_contrast(vectors: Tensor, items: Tensor, temperature: float) -> float:
    rows, numbers = vectors.double().tolist(), items.tolist()
    unit = [[v / math.sqrt(sum(w * w for w in row)) for v in row] for row in rows]
    cosine = [[sum(a * b for a, b in zip(x, y, strict=True)) / temperature for y in unit] for x in unit]
    losses = []
    for one in range(len(rows)):
        other_rows = [other for other in range(len(rows)) if other != one]
        partners = [other for other in other_rows if numbers[other] == numbers[one]]
        norm = math.log(sum(math.exp(cosine[one][other]) for other in other_rows))
        if partners:
            losses.append(sum(norm - cosine[one][other] for other in partners) / len(partners))
    return sum(losses) / len(losses)


def test_contrastive_loss_matches_the_formula() -> None:
    vectors, items = random_normal(7, 5), torch.tensor([4, 4, 1, 1, 1, 9, 2])
    assert float(supervised_contrastive_loss(vectors, items, 0.5)) == pytest.approx(
        reference_contrast(vectors, items, 0.5), rel=1e-5
    )


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


def test_too_many_categories_for_centres_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"hash\.bits=13: .*3500"):
        hash_centres(3500, 13)
