"""Trunks from torchvision and timm behind one face: pictures as bytes in, one float vector a picture out."""

from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from fashion_lsh.io.downloads import socket_timeout
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

# Found by trying, train and eval: AlexNet and VGG16 pool to nothing below. The others would take less (GoogLeNet 15,
# a ResNet a single pixel), but below 32 the last map of a ResNet has fewer pixels than one.
MIN_SIZE = dict.fromkeys(BACKBONES, 32) | {"alexnet": 63}

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels, R G B in 0..1
GOOGLENET_MEAN_STD = (
    0.5,
    0.5,
    0.5,
)  # what torchvision's GoogLeNet turns IMAGENET_MEAN and STD into (transform_input), here in one step

IGNORED_KEYS = (  # last layers, side heads
    "network.fc.", "network.classifier.6.", "network.classifier.weight", "network.classifier.bias",
    "network.aux1.", "network.aux2.",
)  # fmt: skip
TIMEOUT_S = 5.0  # for each address tried and each read, so that a machine without network says so soon


class Backbone(nn.Module):
    """A network that ends in features, and normalises pictures itself: preprocessing travels with its weights.

    Attributes:
        name: What `backbone` calls it.
        feature_dim: Length of a picture's feature vector.
        min_size: Smallest side of a picture it takes, in pixels.
        network: Normalised pictures (B, 3, H, W) -> features (B, feature_dim).
    """

    mean: Tensor  # (3, 1, 1), R G B in 0..1
    std: Tensor  # (3, 1, 1)

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
        """(B, 3, H, W) R G B in 0..255, uint8 or float -> (B, feature_dim) float32.

        In training, batch norm needs more than one value a channel: at the smallest size, two pictures.

        Raises:
            ValueError: the shape is another, or a side is below `smallest`.
        """
        self._check(images.shape)
        offset, scale = -self.mean / self.std, 1 / (255 * self.std)
        images = torch.addcmul(offset, images.to(scale.dtype), scale)  # one pass over the pixels
        features: Tensor = self.network(images)
        return features.float()  # autocast would hand on half precision

    def _check(self, shape: torch.Size) -> None:
        if len(shape) != 4 or shape[1] != 3:
            raise ValueError(f"{self.name} got images of shape {tuple(shape)}: give (B, 3, H, W), R G B")
        height, width = shape[2:]
        if min(height, width) < self.min_size:
            raise ValueError(
                f"{self.name} got images of {height} x {width} pixels: give at least {self.min_size} x {self.min_size}"
                " (data.image_size), or choose another backbone"
            )


def create_backbone(name: str) -> Backbone:
    """Build one of BACKBONES with its library's random initialisation.

    Feature lengths: resnet18, resnet34 512; resnet50, resnet101 2048; googlenet 1024; efficientnet_lite0 1280; alexnet,
    vgg16, vgg16_bn 4096 (the second hidden layer, after its ReLU). Dropout stays where torchvision has it.

    Raises:
        ValueError: the name is none of BACKBONES, or its package is not installed.
    """
    if name not in BACKBONES:
        raise ValueError(f"backbone {name!r} is unknown: give one of {', '.join(BACKBONES)}")
    if name == EFFICIENTNET_LITE0:
        mean, std = LITE0_MEAN_STD
        return Backbone(name, create_lite0(), 1280, MIN_SIZE[name], mean=(mean,) * 3, std=(std,) * 3)
    if name == "googlenet":
        # aux_logits: its side heads make it answer a tuple in training; init_weights: None warns, False is torch's own
        network = models.get_model(name, weights=None, aux_logits=False, init_weights=False)
        return Backbone(
            name, network, _remove_classifier(network), MIN_SIZE[name], mean=GOOGLENET_MEAN_STD, std=GOOGLENET_MEAN_STD
        )
    network = models.get_model(name, weights=None)
    return Backbone(name, network, _remove_classifier(network), MIN_SIZE[name])


def load_weights(backbone: Backbone, weights: str | None) -> str:
    """Fill a trunk's weights, and say in one word where they come from.

    `imagenet` means torchvision's default file: IMAGENET1K_V2 for resnet50 and resnet101, IMAGENET1K_V1 for the others.
    It is looked for in torch.hub's folder, and downloaded into it once; that of efficientnet_lite0 lies in a package.
    A path means a state dict: that of torchvision's or timm's network, with or without its last layer and side heads,
    or a Backbone's own. torchvision's do not tell how pictures were normalised: the trunk keeps its mean and std, for
    GoogLeNet those of `transform_input=True`.

    Args:
        backbone: Left as it is if anything fails.
        weights: None (keep the random initialisation), `imagenet`, or a path.

    Returns:
        `scratch`, `imagenet`, or the file's name.

    Raises:
        FileNotFoundError: there is no such file, or it cannot be downloaded.
        ValueError: the file is no state dict, or is one of another network.
    """
    if weights is None:
        return "scratch"
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
        raise FileNotFoundError(f"no weights at {file}: give a state dict file, weights=imagenet or weights=null")
    _load_state_dict(backbone, _read(file), file)
    return file.name


def _remove_classifier(network: nn.Module) -> int:
    """Replace the layer that names ImageNet's classes by nothing; return how many features it took."""
    parent, last = (network, "fc") if hasattr(network, "fc") else (network.get_submodule("classifier"), "6")
    feature_dim = parent.get_parameter(f"{last}.weight").shape[1]
    setattr(parent, last, nn.Identity())
    return feature_dim


def imagenet_weights(name: str) -> tuple[Path, Mapping[str, Tensor]]:
    """The file of torchvision's default weights and what is in it: from torch.hub's folder, or downloaded into it once.

    Raises:
        FileNotFoundError: it is not there, and cannot be downloaded.
    """
    url = models.get_model_weights(name).DEFAULT.url
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if file.is_file():
        return file, _read(file)
    try:
        with socket_timeout(TIMEOUT_S):
            return file, torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
    except (OSError, HTTPException, RuntimeError) as error:  # no network; a broken answer; a hash that differs
        raise FileNotFoundError(
            f"{file.name} could not be downloaded ({error}): put it into {file.parent},"
            " or start from random weights with backbone.weights=null"
        ) from error


def _read(file: Path) -> Mapping[str, Tensor]:
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # reading bytes that are no state dict may fail in any way
        raise ValueError(f"{file} could not be read ({error}): give a state dict written by torch.save") from error
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise ValueError(f"{file} holds more or other than a state dict: save `network.state_dict()` alone")
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
        first = ", ".join(text.removeprefix("network.") for text in sorted(mismatches)[:3])
        raise ValueError(
            f"{file} does not fit {backbone.name} ({len(mismatches)} misfits: {first}): give its own weights"
        )
    backbone.load_state_dict(state)


def _match_keys(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give torchvision's state dict a Backbone's names; leave one of a Backbone as it is."""
    if not any(name.startswith("network.") for name in state):
        state = {f"network.{name}": value for name, value in state.items()}
        state |= {"mean": expected["mean"], "std": expected["std"]}
    counters = {
        name: value for name, value in expected.items() if name.endswith("num_batches_tracked")
    }  # not in old files
    return counters | {name: value for name, value in state.items() if not name.startswith(IGNORED_KEYS)}
