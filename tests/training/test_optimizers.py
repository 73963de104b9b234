"""What is decayed, at which rate each part learns, and the one schedule."""

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

from fashion_lsh.models.backbones import backbone
from fashion_lsh.training.optimizers import Optim, optimizer, warm_cosine


def optim(**changes: Any) -> Optim:
    plain: Any = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "warmup": 0.1}
    return plain | changes


def factors(steps: int, warmup: float) -> list[float]:
    """The learning rate of each step, where the highest is 1, and of the one after the last."""
    chosen = SGD([Parameter(torch.zeros(1))], lr=1.0)
    schedule = warm_cosine(chosen, steps, warmup)
    seen = []
    for _ in range(steps):
        seen.append(chosen.param_groups[0]["lr"])
        chosen.step()
        schedule.step()
    return [*seen, chosen.param_groups[0]["lr"]]


def plain_factors(steps: int, warmup: float) -> list[float]:
    climbing = max(1, round(steps * warmup))
    falling = steps - climbing
    up = [1 / climbing * number for number in range(1, climbing + 1)]
    down = [(1 + math.cos(number / falling * math.pi)) / 2 for number in range(falling)]
    return [*up, *down]


def test_each_trained_weight_of_a_network_is_in_exactly_one_group() -> None:
    trunk, head = backbone("resnet18"), nn.Linear(512, 3)
    trunk.network.get_parameter("conv1.weight").requires_grad = False
    chosen = optimizer([(trunk.parameters(), 0.1), (head.parameters(), 0.5)], optim())
    held = [id(p) for group in chosen.param_groups for p in group["params"]]
    wanted = [id(p) for p in (*trunk.parameters(), *head.parameters()) if p.requires_grad]
    assert sorted(held) == sorted(wanted)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_biases_and_norm_layers_are_not_decayed_and_all_else_is(name: str) -> None:
    trunk = backbone("resnet18")
    chosen = optimizer([(trunk.parameters(), 0.1)], optim(name=name, weight_decay=0.02))
    decay = {id(p): group["weight_decay"] for group in chosen.param_groups for p in group["params"]}
    for module in trunk.modules():
        for kind, parameter in module.named_parameters(recurse=False):
            plain = isinstance(module, nn.BatchNorm2d) or kind == "bias"
            assert decay[id(parameter)] == (0.0 if plain else 0.02)


def test_each_group_learns_at_its_own_rate() -> None:
    slow, fast = nn.Linear(2, 2), nn.Linear(2, 2)
    chosen = optimizer([(slow.parameters(), 0.1), (fast.parameters(), 0.7)], optim())
    rate = {id(p): group["lr"] for group in chosen.param_groups for p in group["params"]}
    assert {rate[id(p)] for p in slow.parameters()} == {0.1}
    assert {rate[id(p)] for p in fast.parameters()} == {0.7}


def test_sgd_is_nesterovs_where_it_has_momentum() -> None:
    groups = [([Parameter(torch.zeros(2, 2))], 0.1)]
    chosen = optimizer(groups, optim(momentum=0.8))
    assert isinstance(chosen, SGD)
    assert (chosen.defaults["momentum"], chosen.defaults["nesterov"]) == (0.8, True)
    assert not optimizer(groups, optim(momentum=0.0)).defaults["nesterov"]


def test_momentum_is_the_first_beta_of_adamw() -> None:
    chosen = optimizer([([Parameter(torch.zeros(2, 2))], 0.1)], optim(name="adamw", momentum=0.8))
    assert isinstance(chosen, AdamW)
    assert chosen.defaults["betas"] == (0.8, 0.999)


@given(st.integers(1, 60), st.floats(0, 1))
def test_the_schedule_is_a_climb_and_half_a_cosine(steps: int, warmup: float) -> None:
    assert factors(steps, warmup)[:-1] == pytest.approx(plain_factors(steps, warmup))


@given(st.integers(2, 60), st.floats(0, 0.9))
def test_the_schedule_rises_to_its_highest_rate_once_and_then_falls_to_zero(steps: int, warmup: float) -> None:
    seen = factors(steps, warmup)
    top = seen.index(max(seen))
    assert max(seen) == pytest.approx(1.0)
    assert min(seen[:-1]) > 0
    assert all(a < b for a, b in pairwise(seen[: top + 1]))
    assert all(a >= b for a, b in pairwise(seen[top:]))
    assert seen[-1] == pytest.approx(0.0, abs=1e-12)


def test_the_schedule_scales_each_group_by_the_same_factor() -> None:
    chosen = optimizer([(nn.Linear(2, 2).parameters(), 0.1), (nn.Linear(2, 2).parameters(), 0.4)], optim())
    warm_cosine(chosen, 10, 0.5)
    assert [group["lr"] for group in chosen.param_groups] == pytest.approx([0.02, 0.02, 0.08, 0.08])
