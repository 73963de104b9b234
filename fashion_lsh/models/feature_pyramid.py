"""Feature pyramid network over the feature maps of a backbone."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from fashion_lsh.io.targets import ComponentError, Spec
from fashion_lsh.models.backbones import Backbone, create_backbone, load_weights

PROBE_SIZE = 64  # side in pixels of the image whose feature maps are measured, if the network accepts it


class Levels(nn.Module):
    """Feature maps of a backbone with decreasing size: of all maps of one size, the last.

    Children of the network that no level needs, such as the layers after the last map, are removed.

    Args:
        backbone: a backbone with feature maps of several sizes (see `Backbone.feature_maps`).
        num_levels: number of levels, the coarsest maps.

    Attributes:
        channels: number of channels of each level, the finest first.
        parameter_levels: for each parameter, the first level that depends on it.

    Raises:
        ComponentError: the backbone has fewer maps of different size, or accepts only images of one size.
    """

    def __init__(self, backbone: Backbone, num_levels: int) -> None:
        super().__init__()
        self.backbone = backbone
        if backbone.fixed_size:
            raise ComponentError(
                f"detector.backbone={backbone.name}: accepts only images of {backbone.fixed_size} x "
                f"{backbone.fixed_size} pixels, and detectors need any size; set resnet50, timm/convnext_tiny, …"
            )
        with torch.enable_grad():
            maps = self._probe()
            self.indices = _last_of_each_size(maps)[-num_levels:]
            if len(self.indices) < num_levels:
                raise ComponentError(
                    f"detector.backbone={backbone.name}: feature maps of {len(self.indices)} different sizes, but "
                    f"detector.levels={num_levels}; set fewer levels, or resnet50, timm/convnext_tiny, …"
                )
            self.channels = [maps[index].shape[1] for index in self.indices]
            used = _used_parameters(backbone, [maps[index] for index in self.indices])
        for name, child in list(backbone.network.named_children()):
            if any(True for _ in child.parameters()) and not any(id(each) in used for each in child.parameters()):
                setattr(backbone.network, name, nn.Identity())
        self.parameter_levels = [used.get(id(parameter), num_levels) for parameter in backbone.parameters()]
        self.train()

    def forward(self, images: Tensor) -> "OrderedDict[str, Tensor]":
        """Compute the levels.  Normalised images (B, 3, H, W) -> maps (B, C, h, w) with keys "0" (finest), "1", …"""
        maps = self.backbone.feature_maps(images)
        return OrderedDict((str(level), maps[index]) for level, index in enumerate(self.indices))

    def freeze(self, num_levels: int) -> None:
        """Do not train the parameters of the first levels, and those without effect on any level."""
        for parameter, level in zip(self.backbone.parameters(), self.parameter_levels, strict=True):
            parameter.requires_grad_(num_levels <= level < len(self.indices))

    def _probe(self) -> list[Tensor]:
        size = max(PROBE_SIZE, self.backbone.min_size)
        return self.backbone.eval().feature_maps(torch.zeros(1, 3, size, size))


class FeaturePyramid(nn.Module):
    """Feature pyramid network with one extra max-pooled level.

    T.-Y. Lin et al.: Feature Pyramid Networks for Object Detection, CVPR 2017.

    Args:
        backbone: see `create_backbone`; its network must have feature maps of several sizes.
        channels: number of channels of each map of the pyramid.
        frozen_levels: number of frozen levels of the backbone, the finest first.
        num_levels: number of levels of the backbone, the coarsest maps; the pyramid has one level more.

    Attributes:
        mean, std: normalisation that the backbone weights require, RGB in 0..1.

    Raises:
        ComponentError: the backbone is unknown or has too few levels.
        ValueError: `frozen_levels` exceeds the number of levels.
    """

    def __init__(self, backbone: Spec, channels: int, frozen_levels: int = 0, num_levels: int = 4) -> None:
        super().__init__()
        self.spec, self.out_channels, self.num_levels = backbone, channels, num_levels
        network = create_backbone(backbone, key="detector.backbone")
        self.name, self.mean, self.std = network.name, network.mean.flatten().tolist(), network.std.flatten().tolist()
        self.body = Levels(network, num_levels)
        if frozen_levels > num_levels:
            raise ValueError(
                f"detector.frozen={frozen_levels}: {self.name} has {num_levels} levels; set a lower number"
            )
        self.body.freeze(frozen_levels)
        self.fpn = FeaturePyramidNetwork(self.body.channels, channels, LastLevelMaxPool())

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
        if weights is None:
            return "scratch"
        complete = create_backbone(self.spec)  # with the layers that no level needs, for the check of the file
        source = load_weights(complete, weights)
        state = complete.state_dict()
        self.body.backbone.load_state_dict({name: state[name] for name in self.body.backbone.state_dict()})
        return source


def _last_of_each_size(maps: Sequence[Tensor]) -> list[int]:
    """Index of the last map of each size, in order of decreasing size."""
    last = {tuple(each.shape[2:]): index for index, each in enumerate(maps)}
    return sorted(last.values())


def _used_parameters(backbone: Backbone, levels: Sequence[Tensor]) -> dict[int, int]:
    """First level that depends on each parameter, by id of the parameter; parameters without effect are missing."""
    parameters = list(backbone.parameters())
    used: dict[int, int] = {}
    for level, each in enumerate(levels):
        gradients = torch.autograd.grad(each.sum(), parameters, retain_graph=True, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                used.setdefault(id(parameter), level)
    return used
