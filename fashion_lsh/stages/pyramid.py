"""Trunks as feature pyramids: what a detector looks at."""

from collections import OrderedDict

from torch import Tensor, nn
from torchvision import models
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from fashion_lsh.stages.backbones import LITE, MEAN, STD, backbone, imagenet_file, load_weights
from fashion_lsh.stages.lite import PIXEL

MOBILE = "mobilenet_v3_large_320"
TRUNKS = ("resnet18", "resnet34", "resnet50", "resnet101", LITE, MOBILE)


class LiteMaps(nn.Module):
    """EfficientNet-Lite0 without its head: what the last blocks at strides 4, 8, 16 and 32 give."""

    taps = (1, 2, 4, 6)
    channels = (24, 40, 112, 320)

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.conv_stem, self.bn1, self.blocks = (getattr(network, name) for name in ("conv_stem", "bn1", "blocks"))

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        """(B, 3, H, W) -> four maps (B, C, H / stride, W / stride)."""
        x = self.bn1(self.conv_stem(images))
        maps: OrderedDict[str, Tensor] = OrderedDict()
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.taps:
                maps[str(self.taps.index(number))] = x
        return maps


class Pyramid(nn.Module):
    """A trunk's maps brought to one width, each with what the coarser ones know, and one coarser still.

    (T.-Y. Lin et al.: Feature Pyramid Networks for Object Detection, CVPR 2017.)

    Attributes:
        levels: maps of the trunk; the pyramid has one more.
        mean, std: of the pixels the trunk's weights were learnt with, R G B in 0..1.
    """

    def __init__(self, trunk: str, channels: int) -> None:
        super().__init__()
        self.trunk, self.out_channels = trunk, channels
        self.body, widths, self.mean, self.std = _body(trunk)
        self.levels = len(widths)
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
        if self.trunk == MOBILE:
            if weights not in (None, "imagenet"):
                raise ValueError(f"detector.weights={weights}: {MOBILE} takes imagenet or null")
            if weights:
                state = imagenet_file("mobilenet_v3_large")[1]
                named = {name.removeprefix("features."): value for name, value in state.items()}
                self.body.load_state_dict(
                    {name: value for name, value in named.items() if name in self.body.state_dict()}
                )
            return weights or "scratch"
        other = backbone(self.trunk)
        told = load_weights(other, weights)
        if weights:
            self.body.load_state_dict(_maps(self.trunk, other.network).state_dict())
        return told


def _body(trunk: str) -> tuple[nn.Module, tuple[int, ...], tuple[float, ...], tuple[float, ...]]:
    if trunk not in TRUNKS:
        raise ValueError(f"detector.backbone={trunk!r}: give one of {', '.join(TRUNKS)}")
    if trunk == MOBILE:
        features = models.mobilenet_v3_large(weights=None).features
        return IntermediateLayerGetter(features, {"13": "0", "16": "1"}), (160, 960), MEAN, STD
    if trunk == LITE:
        mean, std = PIXEL
        return _maps(trunk, backbone(trunk).network), LiteMaps.channels, (mean,) * 3, (std,) * 3
    network = backbone(trunk)
    last = network.feature_dim
    return _maps(trunk, network.network), (last // 8, last // 4, last // 2, last), MEAN, STD


def _maps(trunk: str, network: nn.Module) -> nn.Module:
    if trunk == LITE:
        return LiteMaps(network)
    return IntermediateLayerGetter(network, {f"layer{number + 1}": str(number) for number in range(4)})
