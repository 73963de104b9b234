"""Optimizers: weight decay, learning rates, and schedule."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import Parameter
from torch.optim import SGD, AdamW

from fashion_lsh.models.backbones import create_backbone
from fashion_lsh.training.optimizers import Optim, create_optimizer, warmup_cosine_schedule


def make_optim(**changes: Any) -> Optim:
    defaults: Any = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "warmup": 0.1}
    return defaults | changes


def learning_rates(steps: int, warmup: float) -> list[float]:
    """Learning rates of all steps and after the last step, for a peak of 1."""
    optimizer = SGD([Parameter(torch.zeros(1))], lr=1.0)
    schedule = warmup_cosine_schedule(optimizer, steps, warmup)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return [*rates, optimizer.param_groups[0]["lr"]]


def reference_rates(steps: int, warmup: float) -> list[float]:
    warmup_steps = max(1, round(steps * warmup))
    decay_steps = steps - warmup_steps
    up = [1 / warmup_steps * number for number in range(1, warmup_steps + 1)]
    down = [(1 + math.cos(number / decay_steps * math.pi)) / 2 for number in range(decay_steps)]
    return [*up, *down]


def test_each_trainable_parameter_is_in_one_group() -> None:
    backbone, head = create_backbone("resnet18"), nn.Linear(512, 3)
    backbone.network.get_parameter("conv1.weight").requires_grad = False
    optimizer = create_optimizer([(backbone.parameters(), 0.1), (head.parameters(), 0.5)], make_optim())
    actual = [id(p) for group in optimizer.param_groups for p in group["params"]]
    expected = [id(p) for p in (*backbone.parameters(), *head.parameters()) if p.requires_grad]
    assert sorted(actual) == sorted(expected)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_biases_and_norm_layers_are_not_decayed(name: str) -> None:
    backbone = create_backbone("resnet18")
    optimizer = create_optimizer([(backbone.parameters(), 0.1)], make_optim(name=name, weight_decay=0.02))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for module in backbone.modules():
        for name_in_module, parameter in module.named_parameters(recurse=False):
            no_decay = isinstance(module, nn.BatchNorm2d) or name_in_module == "bias"
            assert decay[id(parameter)] == (0.0 if no_decay else 0.02)


def test_each_group_has_its_own_learning_rate() -> None:
    slow, fast = nn.Linear(2, 2), nn.Linear(2, 2)
    optimizer = create_optimizer([(slow.parameters(), 0.1), (fast.parameters(), 0.7)], make_optim())
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert {rate[id(p)] for p in slow.parameters()} == {0.1}
    assert {rate[id(p)] for p in fast.parameters()} == {0.7}


def test_sgd_with_momentum_is_nesterov() -> None:
    groups = [([Parameter(torch.zeros(2, 2))], 0.1)]
    optimizer = create_optimizer(groups, make_optim(momentum=0.8))
    assert isinstance(optimizer, SGD)
    assert (optimizer.defaults["momentum"], optimizer.defaults["nesterov"]) == (0.8, True)
    assert not create_optimizer(groups, make_optim(momentum=0.0)).defaults["nesterov"]


def test_momentum_is_beta1_of_adamw() -> None:
    optimizer = create_optimizer([([Parameter(torch.zeros(2, 2))], 0.1)], make_optim(name="adamw", momentum=0.8))
    assert isinstance(optimizer, AdamW)
    assert optimizer.defaults["betas"] == (0.8, 0.999)


@given(st.integers(1, 60), st.floats(0, 1))
def test_schedule_is_warmup_and_half_cosine(steps: int, warmup: float) -> None:
    assert learning_rates(steps, warmup)[:-1] == pytest.approx(reference_rates(steps, warmup))


@given(st.integers(2, 60), st.floats(0, 0.9))
def test_schedule_peaks_once_and_ends_at_zero(steps: int, warmup: float) -> None:
    rates = learning_rates(steps, warmup)
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(1.0)
    assert min(rates[:-1]) > 0
    assert all(a < b for a, b in pairwise(rates[: top + 1]))
    assert all(a >= b for a, b in pairwise(rates[top:]))
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)


def test_schedule_scales_all_groups_equally() -> None:
    optimizer = create_optimizer(
        [(nn.Linear(2, 2).parameters(), 0.1), (nn.Linear(2, 2).parameters(), 0.4)], make_optim()
    )
    warmup_cosine_schedule(optimizer, 10, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.02, 0.02, 0.08, 0.08])
