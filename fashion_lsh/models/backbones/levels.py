"""Means of the feature maps of earlier blocks, which keep colour and texture that the last features no longer have."""

from collections.abc import Mapping
from threading import get_ident

import torch
from torch import Tensor, nn

QUARTERS = (0.25, 0.5, 0.75)  # depths of the blocks of a transformer whose tokens are averaged


class LevelRecorder:
    """Forward hook that keeps the means of the outputs of its modules; each thread has its own."""

    def __init__(self) -> None:
        self.means: dict[int, list[Tensor]] = {}  # by thread

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if (means := self.means.get(get_ident())) is not None:
            means.append(mean_vector(output))

    def start(self) -> None:
        """Record the outputs of this thread until `stop`."""
        self.means[get_ident()] = []

    def stop(self) -> list[Tensor]:
        """Return the means since `start`, (B, C) float32 each, in the order of the forward pass."""
        return self.means.pop(get_ident())


def mean_vector(output: Tensor) -> Tensor:
    """Mean over all positions.  Maps (B, C, h, w) or (B, h, w, C), or tokens (B, N, C) -> (B, C) float32.

    Maps are (B, h, w, C) if h = w and C differs, as in Swin Transformers.
    """
    if output.ndim == 3:
        return output.float().mean(dim=1)
    is_channels_last = output.shape[1] == output.shape[2] != output.shape[3]
    return output.float().mean(dim=(1, 2) if is_channels_last else (2, 3))


@torch.no_grad()
def find_levels(network: nn.Module, blocks: Mapping[str, nn.Module], image_size: int) -> dict[str, int]:
    """Find the blocks whose outputs are the levels, with one forward pass of a random image.

    Levels are the last block of each size of feature maps, or blocks at a quarter, half and three quarters of the depth
    of a network of tokens. Maps of one position, and a last map whose mean is the feature vector, are not levels.

    Args:
        network: normalised images (1, 3, S, S) -> features (1, D).
        blocks: blocks in the order of the forward pass, by name.
        image_size: S.

    Returns:
        Name -> number of channels; empty if no block has feature maps or tokens.
    """
    outputs: dict[str, Tensor] = {}
    handles = [
        block.register_forward_hook(lambda _module, _inputs, output, name=name: outputs.__setitem__(name, output))
        for name, block in blocks.items()
    ]
    was_training = network.training
    try:
        image = torch.randn(1, 3, image_size, image_size, generator=torch.Generator().manual_seed(0))
        features = network.eval()(image)
    finally:
        network.train(was_training)
        for handle in handles:
            handle.remove()
    tensors = {name: each for name, each in outputs.items() if isinstance(each, Tensor)}
    maps = {name: each for name, each in tensors.items() if each.ndim == 4 and min(each.shape[1:]) > 1}
    tokens = [name for name, each in tensors.items() if each.ndim == 3 and each.shape[1] > 1]
    if maps:
        names = list({_map_size(each): name for name, each in maps.items()}.values())
    else:
        names = list(dict.fromkeys(tokens[round(quarter * (len(tokens) - 1))] for quarter in QUARTERS if tokens))
    means = {name: mean_vector(tensors[name]) for name in names}
    return {
        name: mean.shape[1] for name, mean in means.items()
        if mean.shape != features.shape or not torch.allclose(mean, features, atol=1e-4)
    }  # fmt: skip


def _map_size(output: Tensor) -> int:
    """Side of a feature map."""
    return output.shape[1] if output.shape[1] == output.shape[2] != output.shape[3] else output.shape[2]
