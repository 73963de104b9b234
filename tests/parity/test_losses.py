"""Each hash loss against the formula of its paper, written in loops over images and bits."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import SupConLoss
from torch import Tensor

from fashion_lsh.models.losses import LOSSES
from fashion_lsh.models.losses.base import HashLoss
from fashion_lsh.models.losses.bihalf import BiHalf
from fashion_lsh.models.losses.item_contrast import supervised_contrastive_loss

Rows = list[list[float]]
SIZES = {"images": st.integers(2, 9), "bits": st.integers(2, 24), "seed": st.integers(0, 2**16)}
CATEGORIES = 4
each_smoothing = pytest.mark.parametrize("smoothing", [0.0, 0.1])


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def cross_entropy(logits: Rows, labels: list[int], smoothing: float) -> float:
    """Mean of -sum_c t_c log p_c, with t = 1 - smoothing for the label plus smoothing / C for each category."""
    losses = []
    for row, label in zip(logits, labels, strict=True):
        log_norm = math.log(sum(math.exp(value) for value in row))
        targets = [smoothing / len(row) + (1 - smoothing) * (index == label) for index in range(len(row))]
        losses.append(-sum(t * (value - log_norm) for t, value in zip(targets, row, strict=True)))
    return mean(losses)


def softmax_terms(outputs: Rows, labels: list[int], loss: HashLoss) -> float:
    """Lin et al., CVPRW 2015, section 3: the loss has no term besides the softmax cross-entropy."""
    return 0.0


def ssdh_terms(outputs: Rows, labels: list[int], loss: HashLoss) -> float:
    """Yang et al., TPAMI 2018, section 3: activations near 0 and 1, and as many bits of 1 as of 0 in each image.

    Both are halved sums of squares, averaged over images (and bits), as in the layers of the authors.
    """
    activations = [[sigmoid(h) for h in row] for row in outputs]
    binary = -mean([mean([(a - 0.5) ** 2 for a in row]) for row in activations]) / 2
    return binary + mean([(mean(row) - 0.5) ** 2 for row in activations]) / 2


def greedyhash_terms(outputs: Rows, labels: list[int], loss: HashLoss) -> float:
    """Su et al., NeurIPS 2018, section 3.3: 0.1 times the mean of |h - sign(h)| to the power of 3."""
    return 0.1 * mean([abs(h - (1 if h > 0 else -1)) ** 3 for row in outputs for h in row])


def csq_terms(outputs: Rows, labels: list[int], loss: HashLoss) -> float:
    """Yuan et al., CVPR 2020: equation 4 (central similarity), equation 6 (quantisation), with h in 0..1."""
    centres = loss.get_buffer("centres").tolist()
    central, quantisation = [], []
    for row, label in zip(outputs, labels, strict=True):
        for h, centre in zip(row, centres[label], strict=True):
            code, target = (math.tanh(h) + 1) / 2, (centre + 1) / 2
            central.append(-(target * math.log(code) + (1 - target) * math.log(1 - code)))
            quantisation.append(math.log(math.cosh(abs(2 * code - 1) - 1)))
    return mean(central) + 1e-4 * mean(quantisation)


def orthohash_terms(outputs: Rows, labels: list[int], loss: HashLoss) -> float:
    """Hoe et al., NeurIPS 2021, equation 5: softmax of scaled cosines of batch-normalised outputs, margin 0.3."""
    num_bits, epsilon = len(outputs[0]), 1e-5
    columns = []
    for column in zip(*outputs, strict=True):
        centre = mean(list(column))
        variance = mean([(h - centre) ** 2 for h in column])
        columns.append([(h - centre) / math.sqrt(variance + epsilon) for h in column])
    logits = []
    for row, label in zip(zip(*columns, strict=True), labels, strict=True):
        length = math.sqrt(sum(a * a for a in row)) * math.sqrt(num_bits)
        cosines = [
            sum(a * b for a, b in zip(row, c, strict=True)) / length for c in loss.get_buffer("centres").tolist()
        ]
        logits.append([math.sqrt(num_bits) * (cos - 0.3 * (index == label)) for index, cos in enumerate(cosines)])
    return cross_entropy(logits, labels, 0.0)


TERMS = {
    "softmax": softmax_terms, "ssdh": ssdh_terms, "greedyhash": greedyhash_terms, "csq": csq_terms,
    "orthohash": orthohash_terms,
}  # fmt: skip


def test_every_loss_has_a_formula() -> None:
    assert TERMS.keys() == LOSSES.keys()


@each_smoothing
@pytest.mark.parametrize("name", TERMS)
@given(**SIZES)
@settings(deadline=None, max_examples=15)
def test_loss_equals_the_formula_of_its_paper(name: str, smoothing: float, images: int, bits: int, seed: int) -> None:
    loss = LOSSES[name](bits, CATEGORIES, smoothing).double()
    outputs, logits = normal(images, bits, seed=seed), normal(images, CATEGORIES, seed=seed + 1)
    labels = torch.randint(CATEGORIES, (images,), generator=torch.Generator().manual_seed(seed))
    value = float(loss(loss.activate(outputs), logits, labels).detach())
    expected = cross_entropy(logits.tolist(), labels.tolist(), smoothing)
    expected += TERMS[name](outputs.tolist(), labels.tolist(), loss)
    assert value == pytest.approx(expected, abs=1e-6)


HEAD_INPUTS = {  # output of the hash layer -> input of the category head
    "softmax": sigmoid, "ssdh": sigmoid, "csq": math.tanh, "greedyhash": lambda h: 1.0 if h > 0 else -1.0,
}  # fmt: skip


@pytest.mark.parametrize("name", HEAD_INPUTS)
@given(**SIZES)
@settings(deadline=None, max_examples=10)
def test_head_input_equals_the_formula(name: str, images: int, bits: int, seed: int) -> None:
    loss, outputs = LOSSES[name](bits, 2, 0.1), normal(images, bits, seed=seed)
    expected = [[HEAD_INPUTS[name](h) for h in row] for row in outputs.tolist()]
    assert loss.head_input(loss.activate(outputs)).tolist() == [pytest.approx(row, abs=1e-6) for row in expected]


@given(**SIZES)
@settings(deadline=None, max_examples=40)
def test_bihalf_and_its_gradient_equal_the_formulas(images: int, bits: int, seed: int) -> None:
    """Li and van Gemert, AAAI 2021, section 3: the highest half is 1; dL/dh = dL/db + 6 (h - b) / (B bits)."""
    outputs, gradient = normal(images, bits, seed=seed).requires_grad_(), normal(images, bits, seed=seed + 1)
    halves = BiHalf.apply(outputs)
    halves.backward(gradient)
    assert outputs.grad is not None
    for bit in range(bits):
        column = outputs[:, bit].tolist()
        highest = sorted(range(images), key=column.__getitem__, reverse=True)[: images // 2]
        for image in range(images):
            b = 1 if image in highest else -1
            assert halves[image, bit] == b
            expected = float(gradient[image, bit]) + 6 * (column[image] - b) / (images * bits)
            assert float(outputs.grad[image, bit]) == pytest.approx(expected, abs=1e-6)


def contrastive(vectors: Rows, items: list[int], temperature: float) -> float:
    """Khosla et al., NeurIPS 2020, equation 2 (L_out), averaged over the images with positives."""
    unit = [[v / math.sqrt(sum(w * w for w in row)) for v in row] for row in vectors]
    losses = []
    for i, z in enumerate(unit):
        similarity = {a: sum(x * y for x, y in zip(z, unit[a], strict=True)) / temperature for a in range(len(unit))}
        positives = [p for p in range(len(unit)) if p != i and items[p] == items[i]]
        denominator = sum(math.exp(similarity[a]) for a in range(len(unit)) if a != i)
        if positives:
            losses.append(-mean([math.log(math.exp(similarity[p]) / denominator) for p in positives]))
    return mean(losses) if losses and len(set(items)) > 1 else 0.0


@given(items=st.lists(st.integers(0, 3), min_size=2, max_size=9), temperature=st.sampled_from([0.1, 0.5, 1.0]),
       seed=st.integers(0, 2**16))  # fmt: skip
@settings(deadline=None, max_examples=40)
def test_contrastive_loss_equals_the_formula(items: list[int], temperature: float, seed: int) -> None:
    vectors = normal(len(items), 5, seed=seed)
    value = float(supervised_contrastive_loss(vectors, torch.tensor(items), temperature))
    assert value == pytest.approx(contrastive(vectors.tolist(), items, temperature), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_contrastive_loss_equals_that_of_pytorch_metric_learning(seed: int) -> None:
    vectors, items = normal(24, 8, seed=seed), torch.arange(24) % 7
    expected = SupConLoss(temperature=0.1)(vectors, items)
    torch.testing.assert_close(supervised_contrastive_loss(vectors, items, 0.1), expected, atol=1e-6, rtol=1e-6)
