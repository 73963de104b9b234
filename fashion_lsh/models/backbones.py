"""Trunks from torchvision and timm behind one face: pictures as bytes in, one float vector a picture out."""

from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from fashion_lsh.io.downloads import socket_timeout
from fashion_lsh.models.efficientnet_lite import PIXEL, lite0, lite0_imagenet

LITE = "efficientnet_lite0"
BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101", "alexnet", "vgg16", "vgg16_bn", "googlenet", LITE)

# Found by trying, train and eval: AlexNet and VGG16 pool to nothing below. The others would take less (GoogLeNet 15,
# a ResNet a single pixel), but below 32 the last map of a ResNet has fewer pixels than one.
SMALLEST = dict.fromkeys(BACKBONES, 32) | {"alexnet": 63}

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels, R G B in 0..1
HALF = (0.5, 0.5, 0.5)  # what torchvision's GoogLeNet turns MEAN and STD into (transform_input), here in one step

LEFT_OUT = (  # last layers, side heads
    "network.fc.", "network.classifier.6.", "network.classifier.weight", "network.classifier.bias",
    "network.aux1.", "network.aux2.",
)  # fmt: skip
TIME_OUT_S = 5.0  # for each address tried and each read, so that a machine without network says so soon


class Backbone(nn.Module):
    """A network that ends in features, and normalises pictures itself: preprocessing travels with its weights.

    Attributes:
        name: What `backbone` calls it.
        feature_dim: Length of a picture's feature vector.
        smallest: Smallest side of a picture it takes, in pixels.
        network: Normalised pictures (B, 3, H, W) -> features (B, feature_dim).
    """

    mean: Tensor  # (3, 1, 1), R G B in 0..1
    std: Tensor  # (3, 1, 1)

    def __init__(
        self,
        name: str,
        network: nn.Module,
        feature_dim: int,
        smallest: int,
        mean: tuple[float, ...] = MEAN,
        std: tuple[float, ...] = STD,
    ) -> None:
        super().__init__()
        self.name, self.network, self.feature_dim, self.smallest = name, network, feature_dim, smallest
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
        if min(height, width) < self.smallest:
            raise ValueError(
                f"{self.name} got images of {height} x {width} pixels: give at least {self.smallest} x {self.smallest}"
                " (data.image_size), or choose another backbone"
            )


def backbone(name: str) -> Backbone:
    """Build one of BACKBONES with its library's random initialisation.

    Feature lengths: resnet18, resnet34 512; resnet50, resnet101 2048; googlenet 1024; efficientnet_lite0 1280; alexnet,
    vgg16, vgg16_bn 4096 (the second hidden layer, after its ReLU). Dropout stays where torchvision has it.

    Raises:
        ValueError: the name is none of BACKBONES, or its package is not installed.
    """
    if name not in BACKBONES:
        raise ValueError(f"backbone {name!r} is unknown: give one of {', '.join(BACKBONES)}")
    if name == LITE:
        mean, std = PIXEL
        return Backbone(name, lite0(), 1280, SMALLEST[name], mean=(mean,) * 3, std=(std,) * 3)
    if name == "googlenet":
        # aux_logits: its side heads make it answer a tuple in training; init_weights: None warns, False is torch's own
        network = models.get_model(name, weights=None, aux_logits=False, init_weights=False)
        return Backbone(name, network, _without_last_layer(network), SMALLEST[name], mean=HALF, std=HALF)
    network = models.get_model(name, weights=None)
    return Backbone(name, network, _without_last_layer(network), SMALLEST[name])


def load_weights(trunk: Backbone, weights: str | None) -> str:
    """Fill a trunk's weights, and say in one word where they come from.

    `imagenet` means torchvision's default file: IMAGENET1K_V2 for resnet50 and resnet101, IMAGENET1K_V1 for the others.
    It is looked for in torch.hub's folder, and downloaded into it once; that of efficientnet_lite0 lies in a package.
    A path means a state dict: that of torchvision's or timm's network, with or without its last layer and side heads,
    or a Backbone's own. torchvision's do not tell how pictures were normalised: the trunk keeps its mean and std, for
    GoogLeNet those of `transform_input=True`.

    Args:
        trunk: Left as it is if anything fails.
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
        file, state = lite0_imagenet(trunk.network) if trunk.name == LITE else imagenet_file(trunk.name)
        _fill(trunk, state, file)
        return weights
    file = Path(weights).expanduser()
    if not file.is_file():
        raise FileNotFoundError(f"no weights at {file}: give a state dict file, weights=imagenet or weights=null")
    _fill(trunk, _read(file), file)
    return file.name


def _without_last_layer(network: nn.Module) -> int:
    """Replace the layer that names ImageNet's classes by nothing; return how many features it took."""
    parent, last = (network, "fc") if hasattr(network, "fc") else (network.get_submodule("classifier"), "6")
    feature_dim = parent.get_parameter(f"{last}.weight").shape[1]
    setattr(parent, last, nn.Identity())
    return feature_dim


def imagenet_file(name: str) -> tuple[Path, Mapping[str, Tensor]]:
    """The file of torchvision's default weights and what is in it: from torch.hub's folder, or downloaded into it once.

    Raises:
        FileNotFoundError: it is not there, and cannot be downloaded.
    """
    url = models.get_model_weights(name).DEFAULT.url
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1]
    if file.is_file():
        return file, _read(file)
    try:
        with socket_timeout(TIME_OUT_S):
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


def _fill(trunk: Backbone, state: Mapping[str, Tensor], file: Path) -> None:
    own = trunk.state_dict()
    state = _named_as(own, state)
    misfits = [f"{name} is missing" for name in own.keys() - state.keys()]
    misfits += [f"{name} is not in {trunk.name}" for name in state.keys() - own.keys()]
    misfits += [
        f"{name} is {tuple(state[name].shape)}, not {tuple(own[name].shape)}"
        for name in own.keys() & state.keys()
        if state[name].shape != own[name].shape
    ]
    if misfits:
        first = ", ".join(text.removeprefix("network.") for text in sorted(misfits)[:3])
        raise ValueError(f"{file} does not fit {trunk.name} ({len(misfits)} misfits: {first}): give its own weights")
    trunk.load_state_dict(state)


def _named_as(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give torchvision's state dict a Backbone's names; leave one of a Backbone as it is."""
    if not any(name.startswith("network.") for name in state):
        state = {f"network.{name}": value for name, value in state.items()}
        state |= {"mean": own["mean"], "std": own["std"]}
    counters = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}  # not in old files
    return counters | {name: value for name, value in state.items() if not name.startswith(LEFT_OUT)}
