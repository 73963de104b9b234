"""Optimizers, and the learning-rate schedule: linear warm-up, then cosine decay to zero."""

import math
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch.nn import Parameter
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from typing_extensions import TypedDict  # pydantic requires it before Python 3.12

Fraction = Annotated[float, Field(ge=0, le=1)]


class Optim(TypedDict):
    """Settings of optimizer and schedule.

    Attributes:
        name: `sgd` (with Nesterov momentum) or `adamw`.
        lr: peak learning rate, before it is multiplied by the factors of a stage.
        momentum: momentum of SGD, or beta 1 of AdamW.
        weight_decay: weight decay of all weights except biases and norm layers.
        warmup: fraction of all steps with linear warm-up from 0.
    """

    __pydantic_config__ = {"extra": "forbid"}  # type: ignore[misc]  # noqa: RUF012  pydantic setting for config.check

    name: Literal["sgd", "adamw"]
    lr: PositiveFloat
    momentum: Fraction
    weight_decay: NonNegativeFloat
    warmup: Fraction


ADAMW: Optim = {"name": "adamw", "lr": 0.001, "momentum": 0.9, "weight_decay": 0.05, "warmup": 0.1}  # type: ignore[typeddict-item]


def create_optimizer(groups: Iterable[tuple[Iterable[Parameter], float]], optim: Optim) -> Optimizer:
    """Build an optimizer for groups of (parameters, learning rate), without weight decay of biases and norm layers."""
    decay, momentum = optim["weight_decay"], optim["momentum"]
    param_groups = []
    for parameters, lr in groups:
        trainable = [p for p in parameters if p.requires_grad]
        param_groups.append({"params": [p for p in trainable if p.ndim > 1], "lr": lr, "weight_decay": decay})
        param_groups.append({"params": [p for p in trainable if p.ndim <= 1], "lr": lr, "weight_decay": 0.0})
    if optim["name"] == "sgd":
        return SGD(param_groups, momentum=momentum, nesterov=momentum > 0)
    return AdamW(param_groups, betas=(momentum, 0.999))


def warmup_cosine_schedule(optimizer: Optimizer, num_steps: int, warmup: float) -> LambdaLR:
    """Scale all learning rates: linearly to 1 in the first fraction `warmup` of the steps, then cosine decay to 0."""
    num_warmup_steps = max(1, round(warmup * num_steps))

    def factor(step: int) -> float:
        if step < num_warmup_steps:
            return (step + 1) / num_warmup_steps
        if step >= num_steps:
            return 0.0
        return 0.5 * (1 + math.cos(math.pi * (step - num_warmup_steps) / (num_steps - num_warmup_steps)))

    return LambdaLR(optimizer, factor)
