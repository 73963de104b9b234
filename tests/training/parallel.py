"""Networks without batch statistics, which several processes train to the weights of one process."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.models.backbones import Backbone
from fashion_lsh.training.classifier import Classifier
from fashion_lsh.training.crop_module import CropModule
from tests.training.factories import make_module

MakeData = Callable[..., GarmentData]


def steady_backbone(name: str) -> Backbone:
    """Return a small network without batch statistics and dropout."""
    layers = [nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return Backbone(name, nn.Sequential(*layers), 32, 32)


def max_difference(one: nn.Module, other: nn.Module) -> float:
    """Largest absolute difference of a weight of two networks."""
    states = (one.state_dict(), other.state_dict())
    assert states[0].keys() == states[1].keys()
    return max(float((value - states[1][name]).abs().max()) for name, value in states[0].items())
