"""Near-duplicates of a catalogue: found by fingerprints, confirmed in colour, and kept in one group."""

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

CHUNK = 2000  # pictures opened at once
THUMBNAIL = (20, 20, 3)


def group_near_duplicates(
    catalogue: Catalogue,
    scanned: Mapping[str, ImageInfo],
    distance: int | None,
    load_image: Callable[[str], np.ndarray],
) -> tuple[Catalogue, set[str]]:
    """Put near-duplicates into one group, with whatever shared a group with one of them.

    Args:
        catalogue: rows, whose pictures were seen.
        scanned: fingerprints of pictures; those without one are compared with nothing.
        distance: bits that fingerprints may differ in; None: nothing is compared.
        load_image: gives a picture, (H, W, 3) uint8: those with near fingerprints are compared in colour.

    Returns:
        The catalogue with its groups, each named by the id of its first row; the pictures that have a near-duplicate.
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
    """Put pictures that are the same byte for byte into one group, with whatever shares a group or an item with one of
    them: where one picture of them stays, what hung on the others must not stand on another side than it."""
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
    """Those of the pairs whose pictures look alike, opened again to be compared in colour.  (P, 2) -> (n, 2) int64.

    A picture that does not open any more is like none, and named in the log.
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
            log.warning("not compared with others: %s", error)
            readable[index] = False

    with ThreadPoolExecutor() as pool:
        for chunk in track(chunks(range(len(keys)), CHUNK), "comparing pictures", len(keys), len):
            list(pool.map(add_thumbnail, chunk))
    indices = indices.reshape(-1, 2)
    similar = near_duplicates.similarity(thumbnails, indices) >= near_duplicates.MIN_SIMILARITY
    return pairs[similar & readable[indices].all(axis=1)]
