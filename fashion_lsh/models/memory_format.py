"""Memory format of convolutions on the CPU.  Values, state dicts and fingerprints do not depend on it."""

import torch
from torch import nn


def use_inference_format(model: nn.Module) -> None:
    """Convert a network on the CPU to channels_last, which is faster or as fast in inference (docs/backbones.md)."""
    if _is_on_cpu(model):
        model.to(memory_format=torch.channels_last)


def use_training_format(model: nn.Module) -> None:
    """Convert a network on the CPU to channels_last if it has depthwise convolutions and batch norms.

    Training of these networks, such as EfficientNet, is then faster; that of others is not, or is slower on processors
    without AVX-512.
    """
    modules = list(model.modules())
    has_batch_norm = any(isinstance(each, nn.BatchNorm2d) for each in modules)
    if _is_on_cpu(model) and has_batch_norm and any(_is_depthwise(each) for each in modules):
        model.to(memory_format=torch.channels_last)


def _is_depthwise(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1


def _is_on_cpu(model: nn.Module) -> bool:
    return all(each.device.type == "cpu" for each in model.parameters())
