"""Optimizers and the one learning-rate schedule: warm-up, then half a cosine down to zero."""

import math
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch.nn import Parameter
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR
from typing_extensions import TypedDict  # that of typing cannot be checked before Python 3.12

Share = Annotated[float, Field(ge=0, le=1)]


class Optim(TypedDict):
    """How a stage is optimised, in plain values.

    name: `sgd` (Nesterov) or `adamw`; lr: highest learning rate, before a stage's own factors; momentum: of SGD, beta 1
    of AdamW; weight_decay: not for biases and norm layers; warmup: share of all steps in which the rate climbs from 0.
    """

    __pydantic_config__ = {"extra": "forbid"}  # type: ignore[misc]  # noqa: RUF012  read by settings.check

    name: Literal["sgd", "adamw"]
    lr: PositiveFloat
    momentum: Share
    weight_decay: NonNegativeFloat
    warmup: Share


def optimizer(groups: Iterable[tuple[Iterable[Parameter], float]], optim: Optim) -> Optimizer:
    """An optimizer over (parameters, learning rate) groups."""
    decay, momentum = optim["weight_decay"], optim["momentum"]
    settings = []
    for parameters, lr in groups:
        trained = [p for p in parameters if p.requires_grad]
        settings.append({"params": [p for p in trained if p.ndim > 1], "lr": lr, "weight_decay": decay})
        settings.append({"params": [p for p in trained if p.ndim <= 1], "lr": lr, "weight_decay": 0.0})
    if optim["name"] == "sgd":
        return SGD(settings, momentum=momentum, nesterov=momentum > 0)
    return AdamW(settings, betas=(momentum, 0.999))


def warm_cosine(optimizer: Optimizer, steps: int, warmup: float) -> LambdaLR:
    """Multiply each group's learning rate: climb to 1 over the first `warmup` share of `steps`, then a cosine to 0."""
    climbing = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        if step < climbing:
            return (step + 1) / climbing
        return 0.5 * (1 + math.cos(math.pi * (step - climbing) / (steps - climbing))) if step < steps else 0.0

    return LambdaLR(optimizer, factor)
