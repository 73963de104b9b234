"""Boxes to crops: widen, clamp, cut (pure).  One way for training, filing and searching."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from fashion_lsh.data.images import to_pil_image


def expand_box(box: np.ndarray, margin: float) -> np.ndarray:
    """Grow a box (4,) xyxy on each side by `margin` times its width or height."""
    x1, y1, x2, y2 = box
    dx, dy = margin * (x2 - x1), margin * (y2 - y1)
    return np.array([x1 - dx, y1 - dy, x2 + dx, y2 + dy], dtype=np.float32)


def clip_box(box: np.ndarray, width: int, height: int) -> np.ndarray:
    """The part of a box (4,) xyxy inside a picture.

    Raises:
        ValueError: less than a pixel of it is, it has no area, or ends before it begins.
    """
    if not (box[0] < box[2] and box[1] < box[3]):
        raise ValueError(f"box {np.asarray(box).tolist()} has no area, or ends before it begins: give x1 y1 x2 y2")
    clipped = np.clip(box, 0, [width, height, width, height]).astype(np.float32)
    if clipped[2] - clipped[0] < 1 or clipped[3] - clipped[1] < 1:
        raise ValueError(f"box {np.asarray(box).tolist()} lies off the picture, {width} x {height} pixels: check it")
    return clipped


def to_batch(crops: Sequence[np.ndarray]) -> np.ndarray:
    """B crops, (S, S, 3) uint8 each, as a network takes them: (B, 3, S, S) uint8."""
    return np.ascontiguousarray(np.stack(crops).transpose(0, 3, 1, 2))


def crop_image(image: np.ndarray, box: np.ndarray | None, margin: float, size: int) -> np.ndarray:
    """Cut a box, widened by `margin` and clamped, out of a picture and resize it.

    Args:
        image: (H, W, 3) uint8.
        box: (4,) xyxy in pixels; None or NaN: the whole picture, without margin.
        margin: share of the box added on each side.
        size: side of the crop in pixels; the aspect is not kept: a garment fills its crop.

    Returns:
        (size, size, 3) uint8.

    Raises:
        ValueError: the box lies off the picture, or the picture is of another form.
    """
    pil_image = to_pil_image(image)
    width, height = pil_image.size
    if box is None or np.isnan(box).any():
        region = np.array([0, 0, width, height], dtype=np.float32)
    else:
        clip_box(box, width, height)  # the garment itself must be on the picture, not only its margin
        region = clip_box(expand_box(box, margin), width, height)
    return np.asarray(pil_image.resize((size, size), Image.Resampling.BILINEAR, box=tuple(region.tolist())))


def jitter(box: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Move each side of a box (4,) xyxy by up to `amount` times its width or height, for training.

    The pixel in its middle stays inside, so that what lay on a picture is not moved off it.
    """
    box_size = np.tile([box[2] - box[0], box[3] - box[1]], 2)
    moved = box + rng.uniform(-amount, amount, 4) * box_size
    centre = (box[:2] + box[2:]) / 2
    margin = 0.51  # half a pixel and room for rounding
    coordinates = [np.minimum(moved[:2], centre - margin), np.maximum(moved[2:], centre + margin)]
    return np.concatenate(coordinates).astype(np.float32)


def random_crop_box(box: np.ndarray, min_area: float, rng: np.random.Generator) -> np.ndarray:
    """A random part of a box (4,) xyxy, of `least` to all of its area and 3/4 to 4/3 of its aspect, for training.

    A pixel of it stays at least.

    The random resized crop of C. Szegedy et al.: Going Deeper with Convolutions, CVPR 2015, section 6.
    """
    area, aspect = rng.uniform(min_area, 1), np.exp(rng.uniform(-np.log(4 / 3), np.log(4 / 3)))
    box_size = box[2:] - box[:2]
    crop_size = np.maximum(
        box_size * np.minimum(1, np.sqrt([area * aspect, area / aspect])), np.minimum(box_size, 1.01)
    )
    top_left = box[:2] + rng.random(2) * (box_size - crop_size)
    return np.concatenate([top_left, top_left + crop_size]).astype(np.float32)
