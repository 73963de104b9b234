"""Create a backbone by name."""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from fashion_lsh.io.targets import ComponentError, Spec, create
from fashion_lsh.models.backbones.interface import Backbone
from fashion_lsh.models.backbones.packaged import PACKAGED, EfficientNetLite
from fashion_lsh.models.backbones.timm_backbone import TimmBackbone, timm_names
from fashion_lsh.models.backbones.torchvision_backbone import TorchvisionBackbone, torchvision_names

LIBRARIES: dict[str, Callable[[], list[str]]] = {"torchvision": torchvision_names, "timm": timm_names}
NUM_MATCHES = 4  # similar names in an error


def create_backbone(spec: Spec, image_size: int | None = None, key: str = "backbone.name") -> Backbone:
    """Build a network with the random initialisation of its library and without classifier, or a user's own backbone.

    Args:
        spec: `timm/NAME` or `torchvision/NAME`; a name alone is one of PACKAGED, otherwise a network of torchvision,
            otherwise one of timm; `module.Class` of a subclass of Backbone, or a mapping of `_target_` and arguments.
        image_size: side of the images in pixels, for networks that depend on it; None: the size with which the
            weights were trained. A user's own class receives it if its constructor has this argument.
        key: config key, for error messages.

    Raises:
        ComponentError: the name is unknown, or the class is not a Backbone.
        ImageSizeError: the network does not accept images of this size.
    """
    if not _is_library_name(spec):
        arguments = {"image_size": image_size} if image_size else {}
        own: Backbone = create(spec, Backbone, {}, key, **arguments)
        return own
    network_class, name = _find(str(spec), key)
    return network_class(name, image_size)


def default_image_size(spec: Spec) -> int:
    """Side in pixels of the images with which the weights of a backbone were trained; `spec` as in `create_backbone`.

    Raises:
        ComponentError: the name is unknown, or the class is not a Backbone.
    """
    if not _is_library_name(spec):
        return create_backbone(spec).default_size
    network_class, name = _find(str(spec), "backbone.name")
    return network_class.trained_size(name)


def timm_licence(spec: Spec) -> str:
    """Licence of the weights of a network of timm, as timm states it; "" for all other backbones.

    Raises:
        ComponentError: the name is unknown.
    """
    if not _is_library_name(spec):
        return ""
    network_class, name = _find(str(spec), "backbone.name")
    if network_class is not TimmBackbone:
        return ""
    import timm  # slow to import

    config = timm.get_pretrained_cfg(name)
    return str((config and config.license) or "unknown")


def _is_library_name(spec: Spec) -> bool:
    """Distinguish the name of a network from `module.Class` and mappings; tags of timm's weights also have dots."""
    return isinstance(spec, str) and ("/" in spec or "." not in spec)


def _find(spec: str, key: str) -> tuple[Any, str]:
    """Class and name of a network.

    Raises:
        ComponentError: the name is unknown; the error lists similar names.
    """
    library, _, name = spec.rpartition("/")
    if not library and name in PACKAGED:
        return EfficientNetLite, name
    if library in ("", "torchvision") and name in torchvision_names():
        return TorchvisionBackbone, name
    if library in ("", "timm") and name.partition(".")[0] in timm_names():
        return TimmBackbone, name
    raise ComponentError(f"{key}={spec!r}: unknown; {_similar_names(library, name)}")


def _similar_names(library: str, name: str) -> str:
    libraries = [library] if library in LIBRARIES else list(LIBRARIES)
    names = {f"{each}/{known}": known for each in libraries for known in LIBRARIES[each]()}
    matches = get_close_matches(name.partition(".")[0], set(names.values()), NUM_MATCHES, cutoff=0.5)
    similar = [full_name for match in matches for full_name, known in names.items() if known == match]
    return (
        f"similar names are {', '.join(similar) or 'not known'}; choose a network of timm (timm.list_models()) or "
        "torchvision, or set your own class as module.Class"
    )
