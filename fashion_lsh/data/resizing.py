"""Resize a region of an image with antialiasing (imports PyTorch)."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SCALE_AND_BIAS = np.array([1, 0], dtype=np.float32).view(np.uint8)  # value of a byte = 1 * byte + 0


def resize_region(image: np.ndarray, region: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize a region of an image by bilinear interpolation with antialiasing.

    An output pixel is the mean of the image, weighted by a triangle around its centre, with a radius of one output
    pixel, at least of one input pixel; the triangle may exceed the region, but not the image. This is the definition of
    `PIL.Image.resize(size, BILINEAR, box=region)`; the values differ by at most 1. (PyTorch's `interpolate`, which
    shrinks whole images, has weights of 16 bits: in images of noise, about 1 of 10 million values differs by 2.)

    Args:
        image: (H, W, 3) uint8.
        region: (4,) xyxy in pixels, inside the image, with an area; the coordinates may be fractions.
        width: width of the result in pixels.
        height: height of the result in pixels.

    Returns:
        (height, width, 3) uint8, a view of contiguous (3, height, width).
    """
    image = np.require(image, requirements=("C", "W"))  # PyTorch warns about read-only arrays
    is_whole = np.array_equal(region, [0, 0, image.shape[1], image.shape[0]])
    if is_whole and width <= image.shape[1] and height <= image.shape[0]:
        batch = torch.from_numpy(image).permute(2, 0, 1)[None]
        resized = functional.interpolate(batch, (height, width), mode="bilinear", antialias=True)
        return resized[0].contiguous().permute(1, 2, 0).numpy()
    return _resize_box(image, region.astype(np.float64), width, height)


def _resize_box(image: np.ndarray, region: np.ndarray, width: int, height: int) -> np.ndarray:
    """Resize a region with fractional coordinates, first vertically, then horizontally."""
    columns, column_weights = _triangle_weights(region[0], region[2], image.shape[1], width)
    rows, row_weights = _triangle_weights(region[1], region[3], image.shape[0], height)
    left, top = columns.min(), rows.min()
    pixels = image[top : rows.max() + 1, left : columns.max() + 1]
    by_row = _weighted_byte_sums(pixels.reshape(len(pixels), -1), rows - top, row_weights)  # (height, columns * 3)
    by_column = np.ascontiguousarray(by_row.T).reshape(-1, 3 * height)  # (columns, 3 * height)
    resized = _weighted_sums(by_column, columns - left, column_weights)  # (width, 3 * height)
    rounded = (np.ascontiguousarray(resized.T) + np.float32(0.5)).astype(np.uint8)
    return rounded.reshape(3, height, width).transpose(1, 2, 0)


def _triangle_weights(start: float, stop: float, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Compute which input pixels of an axis make up each output pixel.

    Returns:
        (size, taps) int64 positions of input pixels and their float32 weights, which sum to 1.
    """
    step = (stop - start) / size
    radius = max(step, 1.0)
    centres = start + (np.arange(size) + 0.5) * step
    first = np.maximum((centres - radius + 0.5).astype(np.int64), 0)
    positions = first[:, None] + np.arange(int(2 * radius) + 2)
    weights = np.maximum(1 - np.abs(positions + 0.5 - centres[:, None]) / radius, 0)
    weights[positions >= length] = 0
    return np.minimum(positions, length - 1), (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _weighted_byte_sums(rows: np.ndarray, positions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute `_weighted_sums` of bytes.  (n, m) uint8, (s, t) int64, (s, t) float32 -> (s, m) float32.

    The operator of quantised embeddings reads bytes, followed by the scale and bias of their row; a float32 copy of the
    pixels would take more time than the sums.
    """
    num_bytes = rows.shape[1]
    buffer = np.empty((len(rows), num_bytes + len(SCALE_AND_BIAS)), dtype=np.uint8)
    buffer[:, :num_bytes], buffer[:, num_bytes:] = rows, SCALE_AND_BIAS
    sums: Tensor = torch.ops.quantized.embedding_bag_byte_rowwise_offsets(
        torch.from_numpy(buffer), torch.from_numpy(positions.ravel()),
        torch.arange(0, positions.size, positions.shape[1]), per_sample_weights=torch.from_numpy(weights.ravel()),
    )  # fmt: skip
    return sums.numpy()


def _weighted_sums(rows: np.ndarray, positions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute sum_t weights[s, t] rows[positions[s, t]].  (n, m) float32, (s, t) int64, (s, t) float32 -> (s, m)."""
    sums = functional.embedding_bag(
        torch.from_numpy(positions), torch.from_numpy(rows), mode="sum", per_sample_weights=torch.from_numpy(weights)
    )
    return sums.numpy()
