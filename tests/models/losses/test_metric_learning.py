"""Losses of pytorch-metric-learning are those of the library, with the classes of the training data."""

import re
import sys
from typing import Any, cast

import pytest
import torch
from pytorch_metric_learning import losses, miners
from torch import Tensor

from fashion_lsh.io.targets import ComponentError
from fashion_lsh.models.losses.metric_learning import ItemLoss, MetricLearningLoss

BITS = 12
LABELS = torch.tensor([30, 10, 70, 30, 10, 70, 90, 90])
CLASSES = torch.tensor([10, 30, 50, 70, 90])
POSITIONS = torch.tensor([1, 0, 3, 1, 0, 3, 4, 4])
SIZES = {"num_classes": len(CLASSES), "embedding_size": BITS}


def make_loss(name: str, seed: int = 0, **settings: Any) -> MetricLearningLoss:
    return MetricLearningLoss(cast(ItemLoss, {"name": name, **settings}), BITS, CLASSES, seed)


def make_vectors(seed: int) -> Tensor:
    return torch.randn(len(LABELS), BITS, generator=torch.Generator().manual_seed(seed), requires_grad=True)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("MultiSimilarityLoss", {}),
        ("MultiSimilarityLoss", {"alpha": 1.5, "base": 0.3}),
        ("TripletMarginLoss", {"margin": 0.2}),
        ("NTXentLoss", {"temperature": 0.2}),
        ("ContrastiveLoss", {}),
        ("MarginLoss", {}),
        ("ArcFaceLoss", SIZES),
        ("ArcFaceLoss", {**SIZES, "margin": 20.0, "scale": 16}),
        ("CosFaceLoss", SIZES),
        ("ProxyAnchorLoss", SIZES),
        ("SoftTripleLoss", {**SIZES, "centers_per_class": 2}),
        ("P2SGradLoss", {"descriptors_dim": BITS, "num_classes": len(CLASSES)}),
    ],
)
def test_value_and_gradients_equal_those_of_the_library(name: str, arguments: dict[str, Any]) -> None:
    own_arguments = {key: value for key, value in arguments.items() if key not in (*SIZES, "descriptors_dim")}
    loss = make_loss(name, seed=3, **own_arguments)
    torch.manual_seed(3)
    direct = getattr(losses, name)(**arguments)
    assert loss.needs_classes == ("num_classes" in arguments)
    vectors, direct_vectors = make_vectors(0), make_vectors(0)
    value, direct_value = loss(vectors, LABELS), direct(direct_vectors, POSITIONS)
    assert value.item() == direct_value.item() != 0
    value.backward()
    direct_value.backward()
    assert torch.equal(cast(Tensor, vectors.grad), cast(Tensor, direct_vectors.grad))
    assert len(list(loss.parameters())) == len(list(direct.parameters()))
    for own, other in zip(loss.parameters(), direct.parameters(), strict=True):
        assert torch.equal(cast(Tensor, own.grad), cast(Tensor, other.grad))


@pytest.mark.parametrize("miner", ["MultiSimilarityMiner", {"name": "MultiSimilarityMiner", "epsilon": -0.2}])
def test_a_miner_selects_the_pairs(miner: str | dict[str, Any]) -> None:
    vectors = make_vectors(1)
    epsilon = -0.2 if isinstance(miner, dict) else 0.1
    pairs = miners.MultiSimilarityMiner(epsilon=epsilon)(vectors, POSITIONS)
    expected = losses.MultiSimilarityLoss()(vectors, POSITIONS, pairs)
    value = make_loss("MultiSimilarityLoss", miner=miner)(vectors, LABELS)
    assert value.item() == expected.item() != losses.MultiSimilarityLoss()(vectors, POSITIONS).item()


@pytest.mark.parametrize("miner", [None, "MultiSimilarityMiner"])
def test_a_memory_compares_with_previous_batches(miner: str | None) -> None:
    loss = make_loss("ContrastiveLoss", memory=20, miner=miner)
    direct_miner = miners.MultiSimilarityMiner() if miner else None
    direct = losses.CrossBatchMemory(losses.ContrastiveLoss(), BITS, 20, direct_miner)
    values = [
        (loss(make_vectors(step), LABELS).item(), direct(make_vectors(step), POSITIONS).item()) for step in range(5)
    ]
    assert all(value == expected for value, expected in values)
    assert values[1][0] != make_loss("ContrastiveLoss", miner=miner)(make_vectors(1), LABELS).item()


@pytest.mark.parametrize("num_steps", [0, 1, 4])
def test_a_restored_memory_continues(num_steps: int) -> None:
    loss = make_loss("ContrastiveLoss", memory=20)
    for step in range(num_steps):
        loss(make_vectors(step), LABELS)
    restored = make_loss("ContrastiveLoss", memory=20)
    restored.load_state_dict(loss.state_dict())
    for step in range(9, 13):
        assert restored(make_vectors(step), LABELS).item() == loss(make_vectors(step), LABELS).item()


def test_initial_weights_depend_only_on_the_seed() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, other = (make_loss("ArcFaceLoss", seed).state_dict()["loss.W"] for seed in (0, 1))
    assert torch.equal(torch.rand(3), expected)
    assert not torch.equal(one, other)
    assert torch.equal(make_loss("ArcFaceLoss", 1).state_dict()["loss.W"], other)


INVALID = [
    ({"name": "ArcFacLoss"}, r"hash\.item_loss\.name='ArcFacLoss': .*ArcFaceLoss"),
    ({"name": "tripletmargin"}, r"hash\.item_loss\.name='tripletmargin': .*TripletMarginLoss"),
    ({"name": "xyz"}, r"hash\.item_loss\.name='xyz': .*MultiSimilarityLoss"),
    ({"name": "CrossBatchMemory"}, r"hash\.item_loss\.name='CrossBatchMemory'"),
    ({"name": "VICRegLoss"}, r"hash\.item_loss\.name='VICRegLoss'"),
    ({"name": "TripletMarginLoss", "margn": 1}, r"hash\.item_loss\.name=TripletMarginLoss: .*margn"),
    ({"name": "RankedListLoss"}, r"hash\.item_loss\.name=RankedListLoss: .*Tn"),
    ({"name": "NTXentLoss", "miner": "MultiSimilarity"}, r"miner='MultiSimilarity': .*MultiSimilarityMiner"),
    ({"name": "NTXentLoss", "miner": {"epsilon": 0.1}}, r"hash\.item_loss\.miner=.*name"),
    ({"name": "NTXentLoss", "miner": {"name": "HDCMiner", "x": 1}}, r"hash\.item_loss\.miner=HDCMiner: .*'x'"),
    ({"name": "ArcFaceLoss", "memory": 64}, r"hash\.item_loss\.memory=64: ArcFaceLoss .*memory=null.*NTXentLoss"),
]


@pytest.mark.parametrize(("settings", "message"), INVALID)
def test_invalid_settings_raise(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ComponentError, match=re.compile(message, re.DOTALL)):
        make_loss(**settings)


def test_a_missing_library_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning.losses", None)  # an import then raises ImportError
    with pytest.raises(ComponentError, match=r"hash\.item_loss: .*fashion-lsh\[pml\]"):
        make_loss("ArcFaceLoss")
