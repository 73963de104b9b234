"""List the images in which a detector is run, including query images without garments."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # opening a run must not import Lightning
    from fashion_lsh.data.datamodule import GarmentData


def images_without_garments(data: "GarmentData", split: str) -> list[str]:
    """List the images of a split that have no garments (see `DetectionOnly`), sorted by key.

    Without published splits, a part of all such images is drawn, as large as the ratio of the split.
    """
    _ = data.catalogue  # reads the data set, which sets `detection_only`
    extra = getattr(data.source, "detection_only", None)
    if extra is None:
        return []
    unassigned = sorted(key for key, name in extra.images.items() if not name)
    num_drawn = round(len(unassigned) * data.ratios.get(split, 0) / (sum(data.ratios.values()) or 1))
    drawn = np.random.default_rng(data.split_seed).permutation(unassigned)[:num_drawn]
    return sorted([*(key for key, name in extra.images.items() if name == split), *drawn.tolist()])


def images_to_detect(data: "GarmentData") -> list[str]:
    """List the images of the catalogue, and the query images without garments, sorted by key."""
    return sorted({*data.catalogue.column("image"), *images_without_garments(data, "query")})
