"""Model costs against sums over the layers."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fashion_lsh.evaluation.model_costs import measure_costs
from fashion_lsh.models.classifier import ClassifierModel
from fashion_lsh.models.hash_head import HashHeadModel

CLASSIFIER_ARGUMENTS: Any = {"categories": ["a", "b", "c"], "image_size": 64, "margin": 0.1, "frozen": False}
HASH_ARGUMENTS: Any = {"bits": 12, "embedding_dim": None, "loss": "softmax", "bihalf": False, "label_smoothing": 0.1}


def flops_by_layer(model: nn.Module) -> int:
    """Count two operations per output element and weight of the element, in convolutions and linear layers."""
    flops = 0

    def count(layer: nn.Module, _inputs: Any, output: Tensor) -> None:
        nonlocal flops
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        flops += 2 * output.numel() * layer.weight[0].numel()

    hooks = [
        module.register_forward_hook(count) for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    with torch.no_grad():
        model(torch.zeros(1, 3, 64, 64))
    for hook in hooks:
        hook.remove()
    return flops


@pytest.mark.parametrize("backbone", ["resnet18", "alexnet", "googlenet"])
def test_flops_and_parameters_equal_the_sum_over_layers(backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fashion_lsh.evaluation.model_costs.NUM_TIMED", 2)
    model = HashHeadModel(
        backbone=backbone, **CLASSIFIER_ARGUMENTS, **HASH_ARGUMENTS
    )  # models are created in training mode
    fingerprint = model.fingerprint()
    results = measure_costs(model)
    assert model.fingerprint() == fingerprint
    assert {row.method for row in results} == {"model"}
    costs = {row.metric: row.value for row in results}
    assert set(costs) == {"flops", "parameters", "code_bytes", "feature_bytes", "network_ms"}
    assert costs["flops"] == flops_by_layer(model)
    assert costs["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert costs["code_bytes"] == 2
    assert costs["feature_bytes"] == 4 * model.backbone.feature_dim
    assert costs["network_ms"] > 0


def test_a_model_without_hash_layer_has_no_code_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fashion_lsh.evaluation.model_costs.NUM_TIMED", 2)
    results = measure_costs(ClassifierModel(backbone="resnet18", **CLASSIFIER_ARGUMENTS).eval())
    costs = {row.metric: row.value for row in results}
    assert set(costs) == {"flops", "parameters", "feature_bytes", "network_ms"}
    assert costs["parameters"] == 11_176_512 + 3 * 513  # backbone without last layer, plus category head
