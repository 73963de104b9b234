"""Image descriptors without a network, used as baselines: colour histogram and raw pixels."""

import torch
from torch import Tensor
from torch.nn import functional


def colour_histogram(images: Tensor) -> Tensor:
    """Square root of the normalised RGB histogram with 4 x 4 x 4 bins.  Images (B, 3, H, W) uint8 -> (B, 64) float32.

    Rows are L2-normalised; their Euclidean distance is √2 times the Hellinger distance of the histograms.
    """
    levels = images >> 6
    colours = (levels[:, 0] << 4 | levels[:, 1] << 2 | levels[:, 2]).flatten(1)  # (B, H * W) uint8, 0..63
    bins = colours + 64 * torch.arange(len(images), dtype=torch.int32)[:, None]
    counts = torch.bincount(bins.flatten(), minlength=64 * len(images)).view(-1, 64)
    return (counts / colours.shape[1]).sqrt()


def raw_pixels(images: Tensor) -> Tensor:
    """Image averaged to 8 x 8 pixels.  Images (B, 3, H, W) uint8 -> (B, 192) float32 in 0..1."""
    pooled = functional.adaptive_avg_pool2d(images.float(), 8) / 255
    return pooled.flatten(1)


DESCRIPTORS = {"colour_histogram": colour_histogram, "raw_pixels": raw_pixels}
