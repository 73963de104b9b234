"""Expand, clip and jitter boxes, and crop images; pure functions shared by training, gallery and queries."""

from collections.abc import Sequence

import numpy as np

from fashion_lsh.data.images import check_image


def expand_box(box: np.ndarray, margin: float) -> np.ndarray:
    """Expand a box (4,) xyxy on each side by `margin` times the width or height of the box."""
    x1, y1, x2, y2 = box
    dx, dy = margin * (x2 - x1), margin * (y2 - y1)
    return np.array([x1 - dx, y1 - dy, x2 + dx, y2 + dy], dtype=np.float32)


def clip_box(box: np.ndarray, width: int, height: int) -> np.ndarray:
    """Clip a box (4,) xyxy to an image of `width` x `height` pixels.

    Raises:
        ValueError: the box has no area, or the width or height inside the image is less than one pixel.
    """
    if not (box[0] < box[2] and box[1] < box[3]):
        raise ValueError(f"box={np.asarray(box).tolist()}: no area; pass x1 y1 x2 y2 with x1 < x2 and y1 < y2")
    clipped = np.clip(box, 0, [width, height, width, height]).astype(np.float32)
    if clipped[2] - clipped[0] < 1 or clipped[3] - clipped[1] < 1:
        raise ValueError(
            f"box={np.asarray(box).tolist()}: outside the image ({width} x {height} pixels); correct the box"
        )
    return clipped


def to_batch(crops: Sequence[np.ndarray]) -> np.ndarray:
    """Stack B crops, (S, S, 3) uint8 each, into a batch, (B, 3, S, S) uint8."""
    return np.ascontiguousarray(np.stack([crop.transpose(2, 0, 1) for crop in crops]))


def crop_image(image: np.ndarray, box: np.ndarray | None, margin: float, size: int) -> np.ndarray:
    """Crop a box, expanded by `margin` and clipped to the image, and resize the crop.

    Args:
        image: (H, W, 3) uint8.
        box: (4,) xyxy in pixels. If None or NaN, the whole image is cropped, without margin.
        margin: fraction of the box size added on each side.
        size: side of the crop in pixels. The aspect ratio is not kept, so that the garment fills the crop.

    Returns:
        (size, size, 3) uint8.

    Raises:
        ValueError: the box is outside the image, or the image is not (H, W, 3) uint8.
    """
    from fashion_lsh.data.resizing import resize_region  # merging data sets must not import PyTorch

    height, width = check_image(image).shape[:2]
    if box is None or np.isnan(box).any():
        region = np.array([0, 0, width, height], dtype=np.float32)
    else:
        clip_box(box, width, height)  # the box without its margin must overlap the image
        region = clip_box(expand_box(box, margin), width, height)
    return resize_region(image, region, size, size)


def jitter(box: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Move each side of a box (4,) xyxy by up to `amount` times the width or height of the box.

    The centre pixel stays inside the box, so the box cannot leave its image.
    """
    box_size = np.tile([box[2] - box[0], box[3] - box[1]], 2)
    moved = box + rng.uniform(-amount, amount, 4) * box_size
    centre = (box[:2] + box[2:]) / 2
    margin = 0.51  # half a pixel plus tolerance for rounding errors
    coordinates = [np.minimum(moved[:2], centre - margin), np.maximum(moved[2:], centre + margin)]
    return np.concatenate(coordinates).astype(np.float32)


def random_crop_box(box: np.ndarray, min_area: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a random crop of a box (4,) xyxy, as in random resized crop; at least one pixel is kept.

    The crop keeps `min_area` to 1 of the area of the box, and 3/4 to 4/3 of the aspect ratio, or less where a crop of
    the drawn area would not fit into the box.
    C. Szegedy et al.: Going Deeper with Convolutions, CVPR 2015, section 6.
    """
    area = rng.uniform(min_area, 1)
    aspect = min(4 / 3, 1 / area) ** rng.uniform(-1, 1)
    box_size = box[2:] - box[:2]
    crop_size = np.maximum(box_size * np.sqrt([area * aspect, area / aspect]), np.minimum(box_size, 1.01))
    top_left = box[:2] + rng.random(2) * (box_size - crop_size)
    return np.concatenate([top_left, top_left + crop_size]).astype(np.float32)
