"""Length of the features of a network, and the sizes of images that it accepts, measured with one image."""

import torch
from torch import nn

from fashion_lsh.io.targets import ComponentError

MIN_SIZE = 32  # smallest accepted side in pixels: most networks reduce an image by 32
MAX_TRIED = 512  # largest side that is tried if a network refuses a size


class ImageSizeError(ValueError):
    """A network does not accept images of the set size."""


def check_size(name: str, size: int, multiple: int) -> None:
    """Check that a network with patches uses all pixels of an image.

    Args:
        name: name of the network.
        size: side of the images in pixels.
        multiple: side of a patch, or of the image area of one position of the last feature map, in pixels; 1: any size.

    Raises:
        ImageSizeError: the size is below MIN_SIZE, or no multiple.
    """
    if size < MIN_SIZE:
        raise ImageSizeError(f"data.image_size={size}: {name} needs at least {MIN_SIZE} pixels; set a larger size")
    if size % multiple:
        lower = size // multiple * multiple
        sizes = [each for each in (lower, lower + multiple) if each >= MIN_SIZE]
        raise ImageSizeError(
            f"data.image_size={size}: no multiple of {multiple}, so {name} would drop pixels; "
            f"set {' or '.join(map(str, sizes))}"
        )


def feature_length(name: str, network: nn.Module, size: int) -> int:
    """Length of the feature vector of an image with `size` x `size` pixels.

    Raises:
        ImageSizeError: the network does not accept this size; the error names the smallest size that works.
        ComponentError: the network does not compute vectors, or accepts no size up to MAX_TRIED.
    """
    reason = _failure(network, size)
    if not reason:
        output = _output(network, size)
        if not isinstance(output, torch.Tensor) or output.ndim != 2:
            shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
            raise ComponentError(f"backbone.name={name}: computes {shape}, not one vector per image; choose another")
        return output.shape[1]
    larger = next((each for each in range(MIN_SIZE, MAX_TRIED + 1, 32) if not _failure(network, each)), None)
    if larger is None:
        raise ComponentError(f"backbone.name={name}: cannot be used with images of {size} pixels ({reason})")
    smallest = min_size(network, larger)
    raise ImageSizeError(
        f"data.image_size={size}: {name} needs at least {smallest} pixels; set a larger size, or another backbone"
        if size < smallest
        else f"data.image_size={size}: not accepted by {name} ({reason}); set for example {larger}"
    )


def min_size(network: nn.Module, size: int) -> int:
    """Smallest side from MIN_SIZE that a network accepts, by bisection below `size`, which it accepts."""
    low, high = MIN_SIZE, size
    while low < high:
        middle = (low + high) // 2 if low > MIN_SIZE else low  # MIN_SIZE first: nearly all networks accept it
        if _failure(network, middle):
            low = middle + 1
        else:
            high = middle
    return high


def _failure(network: nn.Module, size: int) -> str:
    """Message of the exception for an image of this size; "" if there is none."""
    try:
        _output(network, size)
    except (RuntimeError, ValueError, AssertionError, IndexError, ZeroDivisionError) as error:
        return " ".join(str(error).split())[:120] or type(error).__name__
    return ""


@torch.no_grad()
def _output(network: nn.Module, size: int) -> object:
    """Output of a network in evaluation mode for a grey image; neither weights nor random state change."""
    was_training = network.training
    try:
        return network.eval()(torch.zeros(1, 3, size, size))
    finally:
        network.train(was_training)
