"""Boxes to crops: widen, clamp, cut (pure).  One way for training, filing and searching."""

import math

import numpy as np
from PIL import Image


def widen(box: np.ndarray, margin: float) -> np.ndarray:
    """Grow a box (4,) xyxy on each side by `margin` times its width or height."""
    x1, y1, x2, y2 = box
    dx, dy = margin * (x2 - x1), margin * (y2 - y1)
    return np.array([x1 - dx, y1 - dy, x2 + dx, y2 + dy], dtype=np.float32)


def clamp(box: np.ndarray, width: int, height: int) -> np.ndarray:
    """The part of a box (4,) xyxy inside a picture.

    Raises:
        ValueError: less than a pixel of it is.
    """
    inside = np.clip(box, 0, [width, height, width, height]).astype(np.float32)
    if inside[2] - inside[0] < 1 or inside[3] - inside[1] < 1:
        raise ValueError(f"box {np.asarray(box).tolist()} lies off the picture, {width} x {height} pixels: check it")
    return inside


def square(box: np.ndarray, width: int, height: int) -> np.ndarray:
    """Lengthen the shorter sides of a box (4,) xyxy to a square of the same middle, moved into the picture.

    A square longer than the picture keeps its middle there and reaches beyond it.
    """
    side = max(box[2] - box[0], box[3] - box[1])
    corner = np.array([box[0] + box[2] - side, box[1] + box[3] - side]) / 2
    room = np.array([width, height]) - side
    corner = np.where(room >= 0, np.clip(corner, 0, np.maximum(room, 0)), room / 2)
    return np.array([*corner, *(corner + side)], dtype=np.float32)


def cut(picture: np.ndarray, box: np.ndarray | None, margin: float, size: int) -> np.ndarray:
    """Cut a garment out of a picture: its box widened by `margin`, then squared, so that its aspect is kept.

    Args:
        picture: (H, W, 3) uint8.
        box: (4,) xyxy in pixels; None or NaN: the whole picture, without margin.
        margin: share of the box added on each side.
        size: side of the crop in pixels.

    Returns:
        (size, size, 3) uint8; beyond the picture its border pixels go on.

    Raises:
        ValueError: the box lies off the picture.
    """
    height, width = picture.shape[:2]
    if box is None or np.isnan(box).any():
        wanted = np.array([0, 0, width, height], dtype=np.float32)
    else:
        clamp(box, width, height)  # the garment itself must be on the picture, not only its margin
        wanted = clamp(widen(box, margin), width, height)
    x1, y1, x2, y2 = square(wanted, width, height).tolist()
    beyond_x, beyond_y = max(0, math.ceil(-x1), math.ceil(x2 - width)), max(0, math.ceil(-y1), math.ceil(y2 - height))
    if beyond_x or beyond_y:
        picture = np.pad(picture, ((beyond_y, beyond_y), (beyond_x, beyond_x), (0, 0)), mode="edge")
    region = (x1 + beyond_x, y1 + beyond_y, x2 + beyond_x, y2 + beyond_y)
    return np.asarray(Image.fromarray(picture).resize((size, size), Image.Resampling.BILINEAR, box=region))


def jitter(box: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Move each side of a box (4,) xyxy by up to `amount` times its width or height, for training."""
    extent = np.tile([box[2] - box[0], box[3] - box[1]], 2)
    return np.asarray(box + rng.uniform(-amount, amount, 4) * extent, dtype=np.float32)
