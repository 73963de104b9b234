"""Items of the training images that have no pair of images."""

import numpy as np


def describe_unpaired_items(
    items: np.ndarray, labels: np.ndarray, has_images: bool = True, within_category: bool = True
) -> str:
    """Count the items without a pair of training images; "" if each has one.

    Args:
        items: (n,) int64 item of each training image.
        labels: (n,) int64 category of each training image.
        has_images: False for vectors, which have no augmented views.
        within_category: whether images are compared with those of their own category only.
    """
    _, item_rows, images = np.unique(items, return_inverse=True, return_counts=True)
    single = int((images == 1).sum())
    _, first_rows, counts = np.unique(np.stack([items, labels]), axis=1, return_index=True, return_counts=True)
    most = np.zeros(len(images), dtype=np.int64)  # images of an item in one category
    np.maximum.at(most, item_rows[first_rows], counts)
    divided = int(((images > 1) & (most == 1)).sum()) if within_category else 0
    parts = []
    if single:
        treatment = "two augmented views of it are compared" if has_images else "left out"
        parts.append(f"{single:,} of {len(images):,} items have one training image ({treatment})")
    if divided:
        parts.append(f"{divided:,} of {len(images):,} items have no two training images in one category (left out)")
    return "; ".join(parts)
