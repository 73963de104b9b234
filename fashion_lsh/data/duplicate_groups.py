"""Group near-duplicates and exact copies in a catalogue: match fingerprints, confirm in colour."""

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

CHUNK = 2000  # images per progress step
THUMBNAIL = (20, 20, 3)


def group_near_duplicates(
    catalogue: Catalogue,
    scanned: Mapping[str, ImageInfo],
    distance: int | None,
    load_image: Callable[[str], np.ndarray],
) -> tuple[Catalogue, set[str]]:
    """Put near-duplicates and the existing groups of their rows into one group.

    Args:
        catalogue: rows whose images were scanned.
        scanned: scan results by image; images without a fingerprint are not compared.
        distance: maximum Hamming distance of two fingerprints, in bits; None: no comparison.
        load_image: returns an image, (H, W, 3) uint8, to confirm pairs in colour.

    Returns:
        The catalogue with its groups, each named by the id of its first row; the images that have a near-duplicate.
    """
    images = np.array(sorted({name for name in catalogue.column("image") if scanned[name].fingerprint}), dtype=object)
    if distance is None or not len(images):
        return catalogue, set()
    fingerprints = np.stack(
        [np.frombuffer(scanned[name].fingerprint, np.uint8).reshape(near_duplicates.VIEWS, -1) for name in images]
    )
    confirmed = _confirm_pairs(near_duplicates.near_duplicate_pairs(fingerprints, distance), images, load_image)
    roots = connected_components(len(images), confirmed)
    group_of_image = {images[index]: images[roots[index]] for index in np.unique(confirmed)}
    near_groups = np.array([group_of_image.get(name, "") for name in catalogue.column("image")], dtype=object)
    component, ids = components_by_value([near_groups, catalogue.column("group")]), catalogue.column("id")
    shared = np.bincount(component, minlength=len(component))[component] > 1
    return catalogue.with_columns(group=np.where(shared, ids[component], "")), set(group_of_image)


def group_exact_copies(catalogue: Catalogue, scanned: Mapping[str, ImageInfo]) -> Catalogue:
    """Put byte-identical images, and all rows that share a group or item with one, into one group.

    Only one of the copies is kept later; rows linked to the removed copies must stay in its split.
    """
    digests = [scanned[name].digest for name in catalogue.column("image")]
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
    """Keep the pairs whose images are similar in colour.  (P, 2) -> (n, 2) int64.

    Pairs with an image that can no longer be opened are dropped with a warning.
    """
    if not len(pairs):
        return pairs
    members, indices = np.unique(pairs, return_inverse=True)
    keys = images[members].tolist()
    thumbnails = np.zeros((len(keys), *THUMBNAIL), dtype=np.uint8)
    readable = np.ones(len(keys), dtype=bool)

    def add_thumbnail(index: int) -> None:
        try:
            thumbnails[index] = near_duplicates.thumbnail(load_image(keys[index]))
        except ImageError as error:
            log.warning("Not compared for near-duplicates: %s", error)
            readable[index] = False

    with ThreadPoolExecutor() as pool:
        for chunk in track(chunks(range(len(keys)), CHUNK), "comparing images", len(keys), len):
            list(pool.map(add_thumbnail, chunk))
    indices = indices.reshape(-1, 2)
    similar = near_duplicates.similarity(thumbnails, indices) >= near_duplicates.MIN_SIMILARITY
    return pairs[similar & readable[indices].all(axis=1)]
