"""Interface of all backbones, and the normalisation of images."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from fashion_lsh.io.targets import ComponentError
from fashion_lsh.models.backbones.levels import LevelRecorder, find_levels

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # statistics of RGB values in 0..1


class Backbone(nn.Module):
    """Feature extractor including the normalisation of images: mean and std are saved with the weights.

    A user's own backbone is a subclass whose constructor passes its network to this constructor.

    Args:
        name: name for messages.
        network: normalised images (B, 3, H, W) -> features (B, feature_dim).
        feature_dim: length of the feature vector of an image.
        min_size: smallest accepted side of an image, in pixels.
        mean: mean of RGB values in 0..1, three numbers.
        std: standard deviation of RGB values in 0..1, three numbers.
        fixed_size: the only accepted side of an image, in pixels; None: all sizes from `min_size`.
        default_size: side of the images with which the weights of the library were trained, in pixels.

    Attributes:
        ignored_keys: prefixes of keys in state dicts that are not loaded, those of the library's classifier.
        loads_weights: True if the constructor loads pretrained weights, so that `backbone.weights` may be null for a
            frozen backbone.
    """

    mean: Tensor  # mean (3, 1, 1) of RGB values in 0..1
    std: Tensor  # standard deviation (3, 1, 1) of RGB values in 0..1
    ignored_keys: tuple[str, ...] = ()
    loads_weights = False

    def __init__(
        self,
        name: str,
        network: nn.Module,
        feature_dim: int,
        min_size: int,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
        fixed_size: int | None = None,
        default_size: int = 224,
    ) -> None:
        super().__init__()
        self.name, self.network, self.feature_dim, self.min_size = name, network, feature_dim, min_size
        self.fixed_size, self.default_size = fixed_size, default_size
        self.recorder: LevelRecorder | None = None  # see `add_levels`
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Compute features.  Images (B, 3, H, W) RGB in 0..255, uint8 or float -> features (B, feature_dim) float32.

        In training mode, batch norm needs more than one value per channel: at least two images of the minimum size.

        Raises:
            ValueError: the shape differs, a side is below `min_size`, or is not `fixed_size`.
        """
        self.check_shape(images.shape)
        offset, scale = -self.mean / self.std, 1 / (255 * self.std)
        images = torch.addcmul(offset, images.to(scale.dtype), scale)  # one pass over the pixels
        if self.recorder is None:
            features: Tensor = self.network(images)
            return features.float()  # half precision under autocast
        self.recorder.start()
        try:
            features = self.network(images)
        finally:
            levels = self.recorder.stop()
        return torch.cat([features.float(), *levels], dim=1)

    def add_levels(self, image_size: int) -> None:
        """Append the means of the feature maps of earlier blocks to the features (see `find_levels`).

        `feature_dim` grows by their channels, and the first values stay the features without levels. No change for a
        network without feature maps or tokens, such as the identity on vectors.

        Args:
            image_size: side of the images in pixels.
        """
        blocks = {name: block for name, block in _named_blocks(self.network).items() if list(block.parameters())}
        levels = find_levels(self.network, blocks, image_size) if blocks else {}
        if levels:
            self.recorder = LevelRecorder()
            for name in levels:
                blocks[name].register_forward_hook(self.recorder)
            self.feature_dim += sum(levels.values())

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Compute the feature maps of a detector, the finest first; several maps may have the same size.

        Normalised images (B, 3, H, W) -> maps (B, C, h, w). A subclass for detectors overrides this method.

        Raises:
            ComponentError: the network has no feature maps.
        """
        raise ComponentError(f"detector.backbone={self.name}: no feature maps; set resnet50, timm/convnext_tiny, …")

    def parameter_groups(self) -> list[list[nn.Parameter]]:
        """Group all parameters by depth: the stem first, the layers next to the head last.

        Default: one group per block (see `_blocks`), in order of registration. Parameters outside of blocks, such as
        position embeddings, belong to the first block, and layers with only biases or norms to the block before.
        """
        blocks = list(_named_blocks(self.network).values())
        in_blocks = {id(each) for block in blocks for each in block.parameters()}
        groups = [[each for each in self.network.parameters() if id(each) not in in_blocks]]
        for number, block in enumerate(blocks):
            parameters = list(block.parameters())
            if number == 0 or all(parameter.ndim <= 1 for parameter in parameters):
                groups[-1] += parameters
            else:
                groups.append(parameters)
        return [group for group in groups if group]

    def library_weights(self, source: str) -> tuple[Path, Mapping[str, Tensor]]:
        """File and state dict of the weights that the library offers.

        Args:
            source: `imagenet`, or `pretrained` (the library's default for this name).

        Raises:
            ValueError: the library has no such weights.
            FileNotFoundError: the file is missing and cannot be downloaded.
        """
        raise ValueError(
            f"backbone.weights={source}: not known for {self.name}; load weights in its constructor and set "
            "backbone.weights=null and the class attribute loads_weights=True, or set a state-dict file"
        )

    def convert_state(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Convert a state dict of another format to the keys and shapes of `network`; default: unchanged."""
        return state

    def check_shape(self, shape: Sequence[int]) -> None:
        """Check the shape of a batch of images.  Raises ValueError if this network does not accept it."""
        if len(shape) != 4 or shape[1] != 3:
            raise ValueError(f"images of shape {tuple(shape)}: {self.name} needs (B, 3, H, W), RGB")
        height, width = shape[2:]
        if self.fixed_size and (height, width) != (self.fixed_size, self.fixed_size):
            raise ValueError(
                f"images of {height} x {width} pixels: {self.name} was built for {self.fixed_size} x {self.fixed_size};"
                f" set data.image_size={self.fixed_size}, or build it with another image_size"
            )
        if min(height, width) < self.min_size:
            raise ValueError(
                f"images of {height} x {width} pixels: {self.name} needs at least {self.min_size} x {self.min_size}; "
                "set a larger data.image_size or choose another backbone"
            )


def _named_blocks(network: nn.Module) -> dict[str, nn.Module]:
    """Blocks of a network by name: its children; those in a Sequential or ModuleList, and those of children with more
    than half of the parameters, are blocks themselves.
    """
    max_parameters = sum(each.numel() for each in network.parameters()) // 2

    def blocks(module: nn.Module, prefix: str) -> dict[str, nn.Module]:
        found: dict[str, nn.Module] = {}
        for name, child in module.named_children():
            is_large = sum(each.numel() for each in child.parameters()) > max_parameters and list(child.children())
            if isinstance(child, nn.Sequential | nn.ModuleList) or is_large:
                found |= blocks(child, f"{prefix}{name}.")
            else:
                found[f"{prefix}{name}"] = child
        return found

    return blocks(network, "")
