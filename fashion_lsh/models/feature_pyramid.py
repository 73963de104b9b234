"""Trunks as feature pyramids: what a detector looks at."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torchvision import models
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from fashion_lsh.models.backbones import LITE, MEAN, STD, backbone, imagenet_file, load_weights
from fashion_lsh.models.efficientnet_lite import PIXEL

MOBILE = "mobilenet_v3_large_320"
TRUNKS = ("resnet18", "resnet34", "resnet50", "resnet101", LITE, MOBILE)
LITE_WIDTHS = (24, 40, 112, 320)  # of the maps at strides 4, 8, 16 and 32


class Maps(nn.Module):
    """A network's layers in parts: what each part gives is a map of one level.

    Args:
        parts: the layers of each level, the finest first, in the order a picture passes them.
    """

    def __init__(self, parts: Iterable[Iterable[nn.Module]]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Sequential(*layers) for layers in parts)

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        """(B, 3, H, W) -> a map (B, C, H / stride, W / stride) a level."""
        maps: OrderedDict[str, Tensor] = OrderedDict()
        for number, part in enumerate(self.parts):
            images = part(images)
            maps[str(number)] = images
        return maps


class Pyramid(nn.Module):
    """A trunk's maps brought to one width, each with what the coarser ones know, and one coarser still.

    (T.-Y. Lin et al.: Feature Pyramid Networks for Object Detection, CVPR 2017.)

    Args:
        trunk: one of TRUNKS.
        channels: width of all maps.
        frozen: levels of the trunk, the finest first, whose layers keep their weights.

    Attributes:
        levels: maps of the trunk; the pyramid has one more.
        mean, std: of the pixels the trunk's weights were learnt with, R G B in 0..1.

    Raises:
        ValueError: an unknown trunk, or more frozen levels than it has.
    """

    def __init__(self, trunk: str, channels: int, frozen: int = 0) -> None:
        if trunk not in TRUNKS:
            raise ValueError(f"detector.backbone={trunk!r}: give one of {', '.join(TRUNKS)}")
        super().__init__()
        self.trunk, self.out_channels = trunk, channels
        network = models.mobilenet_v3_large(weights=None) if trunk == MOBILE else backbone(trunk)
        self.mean, self.std = ((PIXEL[0],) * 3, (PIXEL[1],) * 3) if trunk == LITE else (MEAN, STD)
        self.body, widths = maps_of(trunk, network)
        self.levels = len(widths)
        if frozen > self.levels:
            raise ValueError(f"detector.frozen={frozen}: {trunk} has {self.levels} levels")
        self.body.parts[:frozen].requires_grad_(False)
        self.fpn = FeaturePyramidNetwork(list(widths), channels, LastLevelMaxPool())

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        """(B, 3, H, W), normalised -> maps (B, channels, h, w), the finest first."""
        maps: OrderedDict[str, Tensor] = self.fpn(self.body(images))
        return maps

    def load(self, weights: str | None) -> str:
        """Fill the trunk's weights as `load_weights` does, and say where they come from.

        Raises:
            FileNotFoundError: there is no such file, or it cannot be downloaded.
            ValueError: the file is no state dict, or is one of another network.
        """
        if self.trunk == MOBILE and weights not in (None, "imagenet"):
            raise ValueError(f"detector.weights={weights}: {MOBILE} takes imagenet or null")
        if weights is None:
            return "scratch"
        if self.trunk == MOBILE:
            network, told = models.mobilenet_v3_large(weights=None), weights
            network.load_state_dict(imagenet_file("mobilenet_v3_large")[1])
        else:
            network = backbone(self.trunk)
            told = load_weights(network, weights)
        self.body.load_state_dict(maps_of(self.trunk, network)[0].state_dict())
        return told


def maps_of(trunk: str, network: Any) -> tuple[Maps, tuple[int, ...]]:
    """The layers of a network that lead to its maps, and how wide these are."""
    if trunk == MOBILE:
        layers = network.features
        return Maps([layers[:14], layers[14:]]), (160, 960)
    width, network = network.feature_dim, network.network
    if trunk == LITE:
        blocks = network.blocks
        return Maps([[network.conv_stem, network.bn1, *blocks[:2]], blocks[2:3], blocks[3:5], blocks[5:]]), LITE_WIDTHS
    stem = [network.conv1, network.bn1, network.relu, network.maxpool, network.layer1]
    widths = (width // 8, width // 4, width // 2, width)
    return Maps([stem, [network.layer2], [network.layer3], [network.layer4]]), widths
