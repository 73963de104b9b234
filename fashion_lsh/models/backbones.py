"""Backbones of torchvision and timm with a common interface: uint8 images -> one feature vector per image."""

from collections.abc import Mapping
from functools import partial
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor, nn

from fashion_lsh.io.downloads import socket_timeout
from fashion_lsh.io.targets import Spec, create
from fashion_lsh.models.efficientnet_lite import LITE0_MEAN_STD, create_lite0, lite0_imagenet_weights

EFFICIENTNET_LITE0 = "efficientnet_lite0"
BACKBONES = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "alexnet",
    "vgg16",
    "vgg16_bn",
    "googlenet",
    EFFICIENTNET_LITE0,
)

# Minimum side of an image in pixels, measured in training and evaluation mode: AlexNet and VGG16 pool smaller images to
# empty maps. Other backbones accept smaller images (GoogLeNet 15 pixels, a ResNet 1), but a ResNet has stride 32.
MIN_SIZE = dict.fromkeys(BACKBONES, 32) | {"alexnet": 63}

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # statistics of RGB values in 0..1
GOOGLENET_MEAN_STD = (0.5, 0.5, 0.5)  # equivalent to ImageNet normalisation followed by torchvision's `transform_input`

IGNORED_KEYS = (  # prefixes of ImageNet classifiers and auxiliary classifiers in state dicts
    "network.fc.", "network.classifier.6.", "network.classifier.weight", "network.classifier.bias",
    "network.aux1.", "network.aux2.",
)  # fmt: skip
TIMEOUT_S = 5.0  # limit per address and read, so that a machine without network fails soon


class Backbone(nn.Module):
    """Feature extractor including the normalisation of images: mean and std are saved with the weights.

    A user's own backbone is a subclass whose constructor passes its network to this constructor.

    Args:
        name: one of BACKBONES, or a name for messages.
        network: normalised images (B, 3, H, W) -> features (B, feature_dim).
        feature_dim: length of the feature vector of an image.
        min_size: smallest accepted side of an image, in pixels.
        mean: mean of RGB values in 0..1, three numbers.
        std: standard deviation of RGB values in 0..1, three numbers.
    """

    mean: Tensor  # mean (3, 1, 1) of RGB values in 0..1
    std: Tensor  # standard deviation (3, 1, 1) of RGB values in 0..1

    def __init__(
        self,
        name: str,
        network: nn.Module,
        feature_dim: int,
        min_size: int,
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.name, self.network, self.feature_dim, self.min_size = name, network, feature_dim, min_size
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Compute features.  Images (B, 3, H, W) RGB in 0..255, uint8 or float -> features (B, feature_dim) float32.

        In training mode, batch norm needs more than one value per channel: at least two images of the minimum size.

        Raises:
            ValueError: the shape differs, or a side is below `min_size`.
        """
        self._check(images.shape)
        offset, scale = -self.mean / self.std, 1 / (255 * self.std)
        images = torch.addcmul(offset, images.to(scale.dtype), scale)  # one pass over the pixels
        features: Tensor = self.network(images)
        return features.float()  # half precision under autocast

    def _check(self, shape: torch.Size) -> None:
        if len(shape) != 4 or shape[1] != 3:
            raise ValueError(f"images of shape {tuple(shape)}: {self.name} needs (B, 3, H, W), RGB")
        height, width = shape[2:]
        if min(height, width) < self.min_size:
            raise ValueError(
                f"images of {height} x {width} pixels: {self.name} needs at least {self.min_size} x {self.min_size}; "
                "set a larger data.image_size or choose another backbone"
            )


def create_backbone(spec: Spec) -> Backbone:
    """Build one of BACKBONES with the random initialisation of its library, or a subclass of Backbone.

    Args:
        spec: one of BACKBONES, `module.Class` of a subclass of Backbone, or a mapping of `_target_` and arguments.

    Feature lengths: resnet18, resnet34 512; resnet50, resnet101 2048; googlenet 1024; efficientnet_lite0 1280; alexnet,
    vgg16, vgg16_bn 4096 (output of the second hidden layer, after ReLU). Dropout rates are those of torchvision.

    Raises:
        ComponentError: the name is unknown, the class is not a Backbone, or the package of the network is missing.
    """
    built_in = {name: partial(_create_built_in, name) for name in BACKBONES}
    backbone: Backbone = create(spec, Backbone, built_in, "backbone.name")
    return backbone


def _create_built_in(name: str) -> Backbone:
    if name == EFFICIENTNET_LITE0:
        mean, std = LITE0_MEAN_STD
        return Backbone(name, create_lite0(), 1280, MIN_SIZE[name], mean=(mean,) * 3, std=(std,) * 3)
    from torchvision import models  # slow to import

    if name == "googlenet":
        # aux_logits=True would return a tuple in training mode; init_weights=None warns, False keeps torch's default
        network = models.get_model(name, weights=None, aux_logits=False, init_weights=False)
        return Backbone(
            name, network, _remove_classifier(network), MIN_SIZE[name], mean=GOOGLENET_MEAN_STD, std=GOOGLENET_MEAN_STD
        )
    network = models.get_model(name, weights=None)
    return Backbone(name, network, _remove_classifier(network), MIN_SIZE[name])


def load_weights(backbone: Backbone, weights: str | None) -> str:
    """Load the weights of a backbone and return their source.

    `imagenet` selects torchvision's default weights: IMAGENET1K_V2 for resnet50 and resnet101, IMAGENET1K_V1 for the
    others. The file is downloaded once into torch.hub's folder; for efficientnet_lite0, it is part of a package.
    A path selects a state dict of torchvision's or timm's network, with or without classifier and auxiliary
    classifiers, or a state dict of a Backbone. State dicts of torchvision and timm contain no normalisation: the
    backbone keeps its mean and std (for GoogLeNet, those of `transform_input=True`).

    Args:
        backbone: backbone to load; unchanged if loading fails.
        weights: `imagenet`, the path of a state-dict file, or None to keep the random initialisation.

    Returns:
        `scratch`, `imagenet`, or the name of the file.

    Raises:
        FileNotFoundError: the file is missing, or cannot be downloaded.
        ValueError: the file is not a state dict, or belongs to another network.
    """
    if weights is None:
        return "scratch"
    if weights == "imagenet" and backbone.name not in BACKBONES:
        raise ValueError(
            f"backbone.weights=imagenet: not known for {backbone.name}; load weights in its constructor and set "
            "backbone.weights=null, or set a state-dict file"
        )
    if weights == "imagenet":
        file, state = (
            lite0_imagenet_weights(backbone.network)
            if backbone.name == EFFICIENTNET_LITE0
            else imagenet_weights(backbone.name)
        )
        _load_state_dict(backbone, state, file)
        return weights
    file = Path(weights).expanduser()
    if not file.is_file():
        raise FileNotFoundError(
            f"{file}: weights not found; set backbone.weights (for a detector, detector.weights) to a state-dict file, "
            "imagenet or null"
        )
    _load_state_dict(backbone, _read(file), file)
    return file.name


def _remove_classifier(network: nn.Module) -> int:
    """Replace the ImageNet classifier by nn.Identity and return its number of input features."""
    parent, name = (network, "fc") if hasattr(network, "fc") else (network.get_submodule("classifier"), "6")
    feature_dim = parent.get_parameter(f"{name}.weight").shape[1]
    setattr(parent, name, nn.Identity())
    return feature_dim


def imagenet_weights(name: str) -> tuple[Path, Mapping[str, Tensor]]:
    """Path and state dict of torchvision's default weights, downloaded once into torch.hub's folder.

    Raises:
        FileNotFoundError: the file is missing and cannot be downloaded.
    """
    from torchvision import models  # slow to import

    url = models.get_model_weights(name).DEFAULT.url
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if file.is_file():
        return file, _read(file)
    try:
        with socket_timeout(TIMEOUT_S):
            return file, torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
    except (OSError, HTTPException, RuntimeError) as error:  # no network, an invalid response, or a hash mismatch
        raise FileNotFoundError(
            f"{file}: download failed ({error}); put the file there, or set backbone.weights=null for random weights"
        ) from error


def _read(file: Path) -> Mapping[str, Tensor]:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many exception types for invalid files
        raise ValueError(f"{file}: not readable ({error}); pass a state dict written by torch.save") from error
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise ValueError(f"{file}: not a plain state dict; pass a file with only `network.state_dict()`")
    return state


def _load_state_dict(backbone: Backbone, state: Mapping[str, Tensor], file: Path) -> None:
    expected = backbone.state_dict()
    state = _match_keys(expected, state)
    mismatches = [f"{name} is missing" for name in expected.keys() - state.keys()]
    mismatches += [f"{name} is not in {backbone.name}" for name in state.keys() - expected.keys()]
    mismatches += [
        f"{name} is {tuple(state[name].shape)}, not {tuple(expected[name].shape)}"
        for name in expected.keys() & state.keys()
        if state[name].shape != expected[name].shape
    ]
    if mismatches:
        examples = ", ".join(text.removeprefix("network.") for text in sorted(mismatches)[:3])
        raise ValueError(
            f"{file}: not weights of {backbone.name} ({len(mismatches)} mismatches: {examples}); pass a matching file"
        )
    backbone.load_state_dict(state)


def _match_keys(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the keys of a torchvision or timm state dict to the keys of a Backbone; keep the keys of a Backbone."""
    if not any(name.startswith("network.") for name in state):
        state = {f"network.{name}": value for name, value in state.items()}
        state |= {"mean": expected["mean"], "std": expected["std"]}
    # Files of old PyTorch versions lack the batch counters.
    counters = {name: value for name, value in expected.items() if name.endswith("num_batches_tracked")}
    return counters | {name: value for name, value in state.items() if not name.startswith(IGNORED_KEYS)}
