"""Backbones, images and networks of torchvision with random weights."""

import functools
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models
from torchvision.transforms.v2.functional import normalize

from fashion_lsh.models.backbones import Backbone, create_backbone


@functools.cache
def cached_backbone(name: str) -> Backbone:
    torch.manual_seed(0)
    return create_backbone(name)


def random_images(size: int | tuple[int, int], batch: int = 2) -> Tensor:
    height, width = (size, size) if isinstance(size, int) else size
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch, 3, height, width), dtype=torch.uint8, generator=generator)


def torchvision_network(name: str) -> nn.Module:
    """torchvision's network with random batch statistics; GoogLeNet with its auxiliary classifiers."""
    torch.manual_seed(1)
    options: dict[str, Any] = {"transform_input": True, "init_weights": True} if name == "googlenet" else {}
    network: nn.Module = models.get_model(name, weights=None, **options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


def normalised(images: Tensor) -> Tensor:
    """Reference of the fused normalisation.  (B, 3, H, W) uint8 -> float32."""
    pixels: Tensor = normalize(images / 255, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    return pixels


@torch.no_grad()
def torchvision_features(network: nn.Module, images: Tensor) -> Tensor:
    """Input of the last layer of a torchvision network.  (B, 3, H, W) uint8 -> (B, D)."""
    features: list[Tensor] = []
    last = network.get_submodule("fc" if hasattr(network, "fc") else "classifier.6")
    handle = last.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    network(normalised(images))
    handle.remove()
    return features[0]


def save(state: Any, path: Path) -> str:
    torch.save(state, path)
    return str(path)
