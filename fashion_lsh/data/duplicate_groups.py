"""Group exact copies and near-duplicates of a catalogue; near-duplicates are confirmed by colour similarity."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fashion_lsh.data import near_duplicates
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.connected_components import components_by_value, connected_components
from fashion_lsh.data.image_scan import ImageInfo
from fashion_lsh.data.images import ImageError
from fashion_lsh.io.progress import chunks, track

log = logging.getLogger(__name__)

CHUNK = 2000  # images between two updates of the progress bar
THUMBNAIL_SHAPE = (20, 20, 3)


def group_near_duplicates(
    catalogue: Catalogue,
    image_infos: Mapping[str, ImageInfo],
    max_distance: int | None,
    load_image: Callable[[str], np.ndarray],
) -> tuple[Catalogue, set[str]]:
    """Put near-duplicates, and all rows of their existing groups, into one group.

    Args:
        catalogue: rows whose images were scanned.
        image_infos: scan results by image key; images without a perceptual hash are not compared.
        max_distance: maximum Hamming distance, in bits, between the perceptual hashes of near-duplicates; None: do
            not search for near-duplicates.
        load_image: loads an image, (H, W, 3) uint8, by key; called for pairs with similar hashes.

    Returns:
        The catalogue with new groups, each named after the id of its first row; keys of images with a near-duplicate.
    """
    keys = {key for key in catalogue.column("image") if image_infos[key].fingerprint}
    images = np.array(sorted(keys), dtype=object)
    if max_distance is None or not len(images):
        return catalogue, set()
    fingerprints = np.stack(
        [np.frombuffer(image_infos[key].fingerprint, np.uint8).reshape(near_duplicates.NUM_VIEWS, -1) for key in images]
    )
    candidates = near_duplicates.near_duplicate_pairs(fingerprints, max_distance)
    pairs = _confirm_pairs(candidates, images, load_image)
    roots = connected_components(len(images), pairs)
    image_groups = {images[index]: images[roots[index]] for index in np.unique(pairs)}
    near_duplicate_groups = np.array([image_groups.get(key, "") for key in catalogue.column("image")], dtype=object)
    component, ids = components_by_value([near_duplicate_groups, catalogue.column("group")]), catalogue.column("id")
    is_shared = np.bincount(component, minlength=len(component))[component] > 1
    return catalogue.with_columns(group=np.where(is_shared, ids[component], "")), set(image_groups)


def group_exact_copies(catalogue: Catalogue, image_infos: Mapping[str, ImageInfo]) -> Catalogue:
    """Put byte-identical images, and all rows linked to them by group or item, into one group.

    `clean_catalogue` keeps only one of the copies. The group links the rows of a removed copy to the kept copy.
    """
    digests = [image_infos[key].digest for key in catalogue.column("image")]
    image_counts = Counter(digest for digest, _ in set(zip(digests, catalogue.column("image"), strict=True)))
    copied_digests = np.array([digest if image_counts[digest] > 1 else "" for digest in digests], dtype=object)
    if not copied_digests.any():
        return catalogue
    groups, ids = catalogue.column("group"), catalogue.column("id")
    component = components_by_value([copied_digests, groups, catalogue.column("item")])
    return catalogue.with_columns(
        group=np.where(np.isin(component, component[copied_digests != ""]), ids[component], groups)
    )


def _confirm_pairs(pairs: np.ndarray, images: np.ndarray, load_image: Callable[[str], np.ndarray]) -> np.ndarray:
    """Select the pairs whose images are similar in colour.  (P, 2) -> (n, 2) int64.

    A pair with an image that can no longer be opened is dropped with a warning.
    """
    if not len(pairs):
        return pairs
    image_indices, positions = np.unique(pairs, return_inverse=True)
    keys = images[image_indices].tolist()
    thumbnails = np.zeros((len(keys), *THUMBNAIL_SHAPE), dtype=np.uint8)
    is_readable = np.ones(len(keys), dtype=bool)

    def add_thumbnail(index: int) -> None:
        try:
            thumbnails[index] = near_duplicates.thumbnail(load_image(keys[index]))
        except ImageError as error:
            log.warning("Not compared with other images to find near-duplicates: %s", error)
            is_readable[index] = False

    with ThreadPoolExecutor() as pool:
        for chunk in track(chunks(range(len(keys)), CHUNK), "comparing images", len(keys), len):
            list(pool.map(add_thumbnail, chunk))
    positions = positions.reshape(-1, 2)
    is_similar = near_duplicates.similarity(thumbnails, positions) >= near_duplicates.MIN_SIMILARITY
    return pairs[is_similar & is_readable[positions].all(axis=1)]
