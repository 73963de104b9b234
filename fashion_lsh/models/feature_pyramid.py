"""Feature pyramid network over the backbones of the detector."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torchvision import models
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from fashion_lsh.models.backbones import (
    EFFICIENTNET_LITE0,
    IMAGENET_MEAN,
    IMAGENET_STD,
    create_backbone,
    imagenet_weights,
    load_weights,
)
from fashion_lsh.models.efficientnet_lite import LITE0_MEAN_STD

MOBILENET = "mobilenet_v3_large_320"
DETECTOR_BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101", EFFICIENTNET_LITE0, MOBILENET)
LITE0_CHANNELS = (24, 40, 112, 320)  # channels of the feature maps at strides 4, 8, 16 and 32


class StagedBackbone(nn.Module):
    """Backbone split into stages; the output of each stage is the feature map of one level.

    Args:
        stages: layers of each level in forward order, the finest level first.
    """

    def __init__(self, stages: Iterable[Iterable[nn.Module]]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(nn.Sequential(*layers) for layers in stages)

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        """Compute feature maps.  Images (B, 3, H, W) -> maps (B, C, h, w) with keys "0" (finest), "1", …"""
        maps: OrderedDict[str, Tensor] = OrderedDict()
        for level, stage in enumerate(self.stages):
            images = stage(images)
            maps[str(level)] = images
        return maps


class FeaturePyramid(nn.Module):
    """Feature pyramid network with one extra max-pooled level.

    T.-Y. Lin et al.: Feature Pyramid Networks for Object Detection, CVPR 2017.

    Args:
        backbone: one of DETECTOR_BACKBONES.
        channels: number of channels of each map of the pyramid.
        frozen_levels: number of frozen levels of the backbone, the finest first.

    Attributes:
        num_levels: number of levels of the backbone; the pyramid has one level more.
        mean, std: normalisation that the backbone weights require, RGB in 0..1.

    Raises:
        ValueError: the backbone is unknown, or `frozen_levels` exceeds the number of levels.
    """

    def __init__(self, backbone: str, channels: int, frozen_levels: int = 0) -> None:
        if backbone not in DETECTOR_BACKBONES:
            raise ValueError(f"detector.backbone={backbone!r}: unknown; choose one of {', '.join(DETECTOR_BACKBONES)}")
        super().__init__()
        self.backbone, self.out_channels = backbone, channels
        network = models.mobilenet_v3_large(weights=None) if backbone == MOBILENET else create_backbone(backbone)
        self.mean, self.std = (
            ((LITE0_MEAN_STD[0],) * 3, (LITE0_MEAN_STD[1],) * 3)
            if backbone == EFFICIENTNET_LITE0
            else (IMAGENET_MEAN, IMAGENET_STD)
        )
        self.body, widths = split_backbone(backbone, network)
        self.num_levels = len(widths)
        if frozen_levels > self.num_levels:
            raise ValueError(
                f"detector.frozen={frozen_levels}: {backbone} has {self.num_levels} levels; set a lower number"
            )
        self.body.stages[:frozen_levels].requires_grad_(False)
        self.fpn = FeaturePyramidNetwork(list(widths), channels, LastLevelMaxPool())

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        """Compute the pyramid.  Normalised images (B, 3, H, W) -> maps (B, channels, h, w), the finest first."""
        maps: OrderedDict[str, Tensor] = self.fpn(self.body(images))
        return maps

    def load_weights(self, weights: str | None) -> str:
        """Load backbone weights as `backbones.load_weights` does, and return their source.

        Raises:
            FileNotFoundError: the file is missing, or cannot be downloaded.
            ValueError: the file is not a state dict, or belongs to another network.
        """
        if self.backbone == MOBILENET and weights not in (None, "imagenet"):
            raise ValueError(f"detector.weights={weights}: not supported by {MOBILENET}; set imagenet or null")
        if weights is None:
            return "scratch"
        if self.backbone == MOBILENET:
            network, source = models.mobilenet_v3_large(weights=None), weights
            network.load_state_dict(imagenet_weights("mobilenet_v3_large")[1])
        else:
            network = create_backbone(self.backbone)
            source = load_weights(network, weights)
        self.body.load_state_dict(split_backbone(self.backbone, network)[0].state_dict())
        return source


def split_backbone(backbone: str, network: Any) -> tuple[StagedBackbone, tuple[int, ...]]:
    """Split a backbone into stages; return the stages and the number of channels of each feature map."""
    if backbone == MOBILENET:
        layers = network.features
        return StagedBackbone([layers[:14], layers[14:]]), (160, 960)
    width, network = network.feature_dim, network.network
    if backbone == EFFICIENTNET_LITE0:
        blocks = network.blocks
        return StagedBackbone(
            [[network.conv_stem, network.bn1, *blocks[:2]], blocks[2:3], blocks[3:5], blocks[5:]]
        ), LITE0_CHANNELS
    stem = [network.conv1, network.bn1, network.relu, network.maxpool, network.layer1]
    widths = (width // 8, width // 4, width // 2, width)
    return StagedBackbone([stem, [network.layer2], [network.layer3], [network.layer4]]), widths
