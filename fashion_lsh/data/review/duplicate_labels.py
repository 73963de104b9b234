"""Near-duplicate images with different labels."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.corrections import uncorrected
from fashion_lsh.data.datasets import Source
from fashion_lsh.data.datasets.embedding_files import EmbeddingFiles
from fashion_lsh.data.datasets.fashion_mnist import FashionMnist
from fashion_lsh.data.datasets.image_files import ImageFiles
from fashion_lsh.data.datasets.shop_street.dataset import ShopStreet
from fashion_lsh.data.duplicate_groups import group_near_duplicates
from fashion_lsh.data.image_scan import ImageInfo, scan
from fashion_lsh.data.images import ImageError
from fashion_lsh.data.near_duplicates import MAX_DISTANCE, fingerprint
from fashion_lsh.io.progress import track

# images of 28 x 28 pixels, images composed from these, and vectors without images
NOT_COMPARED = (FashionMnist, ShopStreet, EmbeddingFiles)


class LabelConflict(NamedTuple):
    """Row whose category is missing in a near-duplicate of its image.

    Attributes:
        row: row number.
        suggested: most frequent other category of the near-duplicates.
        ratio: ratio of the images of the group that have the row's category.
    """

    row: int
    suggested: str
    ratio: float


def near_duplicate_groups(source: Source, catalogue: Catalogue, max_distance: int = MAX_DISTANCE) -> np.ndarray:
    """Group near-duplicate images of a data set, (N,) str; "" for a row whose image has none.

    Images of Fashion-MNIST, and images composed from it, are not compared: their perceptual hashes say little.

    Args:
        source: data set of the images.
        catalogue: N rows.
        max_distance: maximum Hamming distance of perceptual hashes, in bits.
    """
    plain_source = uncorrected(source)
    ungrouped = catalogue.with_columns(group=[""] * len(catalogue))
    if isinstance(plain_source, NOT_COMPARED):
        return ungrouped.column("group")
    infos = _fingerprints(plain_source, catalogue.column("image"))
    return group_near_duplicates(ungrouped, infos, max_distance, plain_source.image)[0].column("group")


def _fingerprints(source: Source, keys: Iterable[str]) -> Mapping[str, ImageInfo]:
    """Perceptual hash of each image; the hashes of image files are cached."""
    if isinstance(source, ImageFiles):
        return scan(source.folder, keys, fingerprints=True)
    infos = {}
    unique_keys = list(dict.fromkeys(keys))
    for key in track(unique_keys, "opening images", len(unique_keys), lambda _: 1):
        try:
            image = source.image(key)
            infos[key] = ImageInfo(image.shape[1], image.shape[0], "", "", fingerprint(image).tobytes())
        except ImageError as error:  # the file has changed since the data set was opened
            infos[key] = ImageInfo(0, 0, "", str(error))
    return infos


def find_label_conflicts(catalogue: Catalogue, groups: np.ndarray) -> list[LabelConflict]:
    """Find rows whose category is missing in a near-duplicate of their image, by group and row.

    An image with several garments has several categories, so categories are compared image by image.

    Args:
        catalogue: N rows.
        groups: (N,) str near-duplicate group of each row; "": none.
    """
    images, categories = catalogue.column("image"), catalogue.column("category")
    rows_by_group: dict[str, list[int]] = {}
    for row in np.flatnonzero((groups != "") & catalogue.column("main")).tolist():
        rows_by_group.setdefault(groups[row], []).append(row)
    conflicts = []
    for rows in rows_by_group.values():
        categories_by_image: dict[str, set[str]] = {}
        for row in rows:
            categories_by_image.setdefault(images[row], set()).add(categories[row])
        counts = Counter(name for names in categories_by_image.values() for name in names)
        for row in rows:
            if counts[categories[row]] < len(categories_by_image):
                suggested = min(counts.keys() - {categories[row]}, key=lambda name: (-counts[name], name))
                conflicts.append(LabelConflict(row, suggested, counts[categories[row]] / len(categories_by_image)))
    return conflicts
