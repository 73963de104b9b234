"""Classification networks of torchvision without their classifier."""

import inspect
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import PositiveInt
from torch import Tensor, nn

from fashion_lsh.models.backbones.files import hub_weights
from fashion_lsh.models.backbones.interface import Backbone
from fashion_lsh.models.backbones.probe import ImageSizeError, check_size, feature_length, min_size

HALF = (0.5, 0.5, 0.5)  # networks with `transform_input` were trained on values in -1..1
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")  # auxiliary classifiers in state dicts
STRIDE = 32  # of all networks with patches except ViT, whose patches are not merged
RESNET_LAYERS = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")


class TorchvisionBackbone(Backbone):
    """Network of torchvision with random weights; the last linear layer (the ImageNet classifier) is removed.

    Dropout rates are those of torchvision. The features of AlexNet and VGG are the output of the second hidden layer.

    Args:
        name: one of `torchvision.models.list_models(module=torchvision.models)`.
        image_size: side of the images in pixels; None: the size with which the weights were trained.

    Raises:
        ImageSizeError: the network does not accept images of this size, or would drop pixels.
        ComponentError: the network does not compute vectors.
    """

    def __init__(self, name: str, image_size: PositiveInt | None = None) -> None:
        preset, parameters = _preset(name), _network_parameters(name)
        size = image_size or self.trained_size(name)
        check_size(name, size, 1)
        network = _create_network(name, size, parameters)
        if _patch_size(network):
            check_size(name, size, getattr(network, "patch_size", STRIDE))
        classifier = _remove_classifier(network)
        is_fixed = bool({"image_size", "input_size"} & parameters)
        feature_dim = feature_length(name, network, size)
        super().__init__(
            name,
            network,
            feature_dim,
            size if is_fixed else min_size(network, size),
            mean=HALF if "transform_input" in parameters else tuple(preset.mean),
            std=HALF if "transform_input" in parameters else tuple(preset.std),
            fixed_size=size if is_fixed else None,
            default_size=preset.crop_size[0],
        )
        self.ignored_keys = (f"{classifier}.", *AUXILIARY)

    @staticmethod
    def trained_size(name: str) -> int:
        """Side in pixels of the images with which the default weights were trained."""
        return int(_preset(name).crop_size[0])

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Outputs of all layers of a ResNet, or of a sequence `features`.  See Backbone."""
        network = self.network
        if hasattr(network, "layer4"):
            layers: list[nn.Module] = [network.get_submodule(name) for name in RESNET_LAYERS]
        elif isinstance(getattr(network, "features", None), nn.Sequential) and not hasattr(network, "permute"):
            layers = list(network.get_submodule("features").children())  # Swin permutes: its maps are (B, h, w, C)
        else:
            return super().feature_maps(images)
        maps: list[Tensor] = []
        for layer in layers:
            maps.append(layer(maps[-1] if maps else images))
        return maps

    def library_weights(self, source: str) -> tuple[Path, Mapping[str, Tensor]]:
        """torchvision's default weights: IMAGENET1K_V2 for resnet50 and resnet101, for example.  See Backbone."""
        return hub_weights(_default_url(self.name))

    def convert_state(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Interpolate the position embedding of a ViT to `image_size`."""
        from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

        if not isinstance(self.network, VisionTransformer) or "encoder.pos_embedding" not in state:
            return state
        network = self.network
        converted: Mapping[str, Tensor] = interpolate_embeddings(
            network.image_size, network.patch_size, OrderedDict(state)
        )
        return converted


def default_file(name: str) -> str:
    """Name without suffix of the file with the default weights of a network, for example `resnet18-f37072fd`."""
    return PurePosixPath(_default_url(name)).stem


def _default_url(name: str) -> str:
    from torchvision import models  # slow to import

    return str(models.get_model_weights(name).DEFAULT.url)


def torchvision_names() -> list[str]:
    """Names of torchvision's classification networks."""
    from torchvision import models  # slow to import

    return list(models.list_models(module=models))


def _preset(name: str) -> Any:
    """Preprocessing of the images with which the default weights were trained."""
    from torchvision import models

    return models.get_model_weights(name).DEFAULT.transforms()


def _network_parameters(name: str) -> set[str]:
    """Names of the arguments of the network's constructor."""
    from torchvision import models

    return set(inspect.signature(inspect.signature(models.get_model_builder(name)).return_annotation).parameters)


def _create_network(name: str, size: int, parameters: set[str]) -> nn.Module:
    from torchvision import models

    options: dict[str, Any] = {}
    if "aux_logits" in parameters:
        # aux_logits=True would return a tuple in training mode; init_weights=None warns, False keeps torch's default
        options |= {"aux_logits": False, "init_weights": False}
    if "image_size" in parameters:
        options["image_size"] = size
    if "input_size" in parameters:
        options["input_size"] = (size, size)
    try:
        network: nn.Module = models.get_model(name, weights=None, **options)
    except (RuntimeError, ValueError, AssertionError) as error:  # the size does not suit windows or patches
        check_size(name, size, getattr(models.get_model(name, weights=None), "patch_size", STRIDE))
        raise ImageSizeError(
            f"data.image_size={size}: not accepted by {name} ({error}); set {_preset(name).crop_size[0]}"
        ) from error
    return network


def _patch_size(network: nn.Module) -> int:
    """Side of the patches if the first layer divides images into patches, otherwise 0."""
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    is_patch = first.kernel_size == first.stride and first.padding == (0, 0)
    return first.stride[0] if is_patch else 0


def _remove_classifier(network: nn.Module) -> str:
    """Replace the ImageNet classifier by nn.Identity; return the top-level module to which it belongs."""
    layers = [name for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    path, _, name = layers[-1].rpartition(".")
    setattr(network.get_submodule(path), name, nn.Identity())
    return layers[-1].partition(".")[0]
