"""What a model costs, against sums over its layers."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fashion_lsh.evaluation.model_costs import costs
from fashion_lsh.models.classifier import ClassifierModel
from fashion_lsh.models.hash_head import HashHeadModel

CROPS: Any = {"categories": ["a", "b", "c"], "image_size": 64, "margin": 0.1, "frozen": False}
LAYER: Any = {"bits": 12, "embedding_dim": None, "loss": "softmax", "bihalf": False, "label_smoothing": 0.1}


def counted_by_layer(model: nn.Module) -> int:
    """Two operations for each weight that each output of a convolution or a linear layer meets."""
    found = 0

    def count(layer: nn.Module, _given: Any, made: Tensor) -> None:
        nonlocal found
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        found += 2 * made.numel() * layer.weight[0].numel()

    hooks = [each.register_forward_hook(count) for each in model.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        model(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("backbone", ["resnet18", "alexnet", "googlenet"])
def test_operations_and_parameters_are_those_of_the_layers(backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fashion_lsh.evaluation.model_costs.TIMED", 2)
    model = HashHeadModel(backbone=backbone, **CROPS, **LAYER)  # in training mode, as a new one is
    before = model.fingerprint()
    found = costs(model)
    assert model.fingerprint() == before
    assert found["model/flops"] == counted_by_layer(model)
    assert found["model/parameters"] == sum(each.numel() for each in model.parameters())
    assert found["model/code_bytes"] == 2
    assert found["model/feature_bytes"] == 4 * model.backbone.feature_dim
    assert found["speed/network_ms"] > 0


def test_without_a_hash_layer_there_is_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fashion_lsh.evaluation.model_costs.TIMED", 2)
    found = costs(ClassifierModel(backbone="resnet18", **CROPS).eval())
    assert "model/code_bytes" not in found
    assert found["model/parameters"] == 11_176_512 + 3 * 513  # torchvision's, without its last layer, and the head
