"""Networks of timm without their classifier."""

import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from fashion_lsh.io.targets import ComponentError
from fashion_lsh.models.backbones.files import hub_weights, hugging_face_weights
from fashion_lsh.models.backbones.interface import Backbone
from fashion_lsh.models.backbones.probe import ImageSizeError, check_size, feature_length, min_size

FILES = ("model.safetensors", "pytorch_model.bin")  # weights in a repository of Hugging Face
IMAGENET_TAGS = ("in1k", "in12k", "in22k", "in21k")  # parts of timm's tags of weights trained on ImageNet
FILTERS = ("checkpoint_filter_fn", "_filter_fn", "_filter_torchvision_pretrained")  # timm's converters of state dicts


class TimmBackbone(Backbone):
    """Network of timm with random weights and without classifier, with the pooling that timm uses by default.

    Mean, std and default size are those of the network's weights in timm.

    Args:
        name: one of `timm.list_models()`, optionally with the tag of its weights: `convnext_tiny.fb_in22k`.
        image_size: side of the images in pixels; None: the size with which the weights were trained.

    Raises:
        ImageSizeError: the network does not accept images of this size, or would drop pixels.
        ComponentError: the tag is unknown, or the network does not compute vectors.
    """

    network: Any  # a network of timm has attributes that nn.Module lacks

    def __init__(self, name: str, image_size: PositiveInt | None = None) -> None:
        from timm.data import resolve_data_config  # slow to import

        size = image_size or self.trained_size(name)
        check_size(name, size, 1)
        network = _create_network(name, size)
        check_size(name, size, _multiple(network))
        settings = resolve_data_config({}, model=network)
        feature_dim = feature_length(name, network, size)
        is_fixed = bool(network.pretrained_cfg.get("fixed_input_size"))
        super().__init__(
            f"timm/{name}",
            network,
            feature_dim,
            size if is_fixed else min_size(network, size),
            mean=tuple(settings["mean"]),
            std=tuple(settings["std"]),
            fixed_size=size if is_fixed else None,
            default_size=settings["input_size"][-1],
        )
        classifiers = network.pretrained_cfg.get("classifier") or ()
        names = (classifiers,) if isinstance(classifiers, str) else classifiers
        self.ignored_keys = tuple(f"{each.partition('.')[0]}." for each in names)

    @staticmethod
    def trained_size(name: str) -> int:
        """Side in pixels of the images with which the weights of a network were trained.

        Raises:
            ComponentError: the tag of the name is unknown.
        """
        import timm

        try:
            return int(timm.get_pretrained_cfg(name, allow_unregistered=False).input_size[-1])
        except RuntimeError as error:
            network, _, tag = name.partition(".")
            tags = [each.partition(".")[2] for each in timm.list_pretrained(network)]
            raise ComponentError(
                f"backbone.name={name}: unknown tag {tag!r}; choose one of {', '.join(tags) or 'no tag'}"
            ) from error

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Outputs of all stages (of a ViT: of all blocks).  See Backbone."""
        if not hasattr(self.network, "forward_intermediates"):
            return super().feature_maps(images)
        maps: list[Tensor] = self.network.forward_intermediates(images, intermediates_only=True)
        return maps

    def parameter_groups(self) -> list[list[nn.Parameter]]:
        """Group all parameters by timm's `group_matcher`, one group per block.  See Backbone."""
        from timm.models import group_parameters

        if not hasattr(self.network, "group_matcher"):
            return super().parameter_groups()
        names = group_parameters(self.network, self.network.group_matcher(coarse=False))
        parameters = dict(self.network.named_parameters())
        return [[parameters[name] for name in names[depth]] for depth in sorted(names)]

    def library_weights(self, source: str) -> tuple[Path, Mapping[str, Tensor]]:
        """timm's weights of the tag in the name, otherwise of the default tag, from the cache of Hugging Face.

        `imagenet` is refused for weights of other data sets. See Backbone.
        """
        config = self.network.pretrained_cfg
        tag = str(config["tag"])
        if source == "imagenet" and not any(each in tag for each in IMAGENET_TAGS):
            raise ValueError(
                f"backbone.weights=imagenet: the weights of {self.name} have the tag {tag!r}; "
                "set backbone.weights=pretrained to use them, or a name with another tag"
            )
        if config["hf_hub_id"]:
            file = config.get("hf_hub_filename")
            return hugging_face_weights(config["hf_hub_id"], (file,) if file else FILES)
        if config["url"]:
            return hub_weights(config["url"])
        raise ValueError(f"backbone.weights={source}: timm has no weights of {self.name}; set a file, or null")

    def convert_state(self, state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Convert a state dict of another library or image size with timm's function for this network."""
        module = sys.modules[type(self.network).__module__]
        convert = next((getattr(module, name) for name in FILTERS if hasattr(module, name)), None)
        if convert is None:
            return state
        parameters = inspect.signature(convert).parameters
        options = {"adapt_layer_scale": True} if "adapt_layer_scale" in parameters else {}
        arguments = (dict(state), self.network)[: len(parameters)]
        converted: Mapping[str, Tensor] = convert(*arguments, **options)
        return converted


def timm_names() -> list[str]:
    """Names of timm's networks."""
    import timm

    return list(timm.list_models())


def _create_network(name: str, size: int) -> Any:
    """Create a network without classifier; `img_size` is passed if it is accepted."""
    import timm

    random_state = torch.get_rng_state()
    try:
        return timm.create_model(name, num_classes=0, img_size=size)
    except TypeError:  # no argument `img_size`; the constructor may have drawn random weights before
        torch.set_rng_state(random_state)
        return timm.create_model(name, num_classes=0)
    except (RuntimeError, ValueError, AssertionError) as error:  # the size does not suit windows or patches
        raise ImageSizeError(
            f"data.image_size={size}: not accepted by timm/{name} ({error}); set {TimmBackbone.trained_size(name)}"
        ) from error


def _multiple(network: Any) -> int:
    """Number of pixels of which a side must be a multiple, so that patches cover the image; 1 without patches."""
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    is_patch = first is not None and first.kernel_size == first.stride and first.padding == (0, 0)
    if first is None or not is_patch or first.stride[0] == 1:
        return 1
    information = list(getattr(network, "feature_info", []))
    reduction = information[-1]["reduction"] if information else first.stride[0]
    return max(int(reduction), first.stride[0])
