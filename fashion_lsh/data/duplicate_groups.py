"""Near-duplicates of a catalogue: found by fingerprints, confirmed in colour, and kept in one group."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from fashion_lsh.data import near_duplicates
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.components import grouped, linked
from fashion_lsh.data.image_scan import Seen
from fashion_lsh.data.images import PictureError
from fashion_lsh.io.progress import chunks, counted

log = logging.getLogger(__name__)

CHUNK = 2000  # pictures opened at once
THUMBNAIL = (20, 20, 3)


def near_grouped(
    catalogue: Catalogue, seen: Mapping[str, Seen], distance: int | None, pixels: Callable[[str], np.ndarray]
) -> tuple[Catalogue, set[str]]:
    """Put near-duplicates into one group, with whatever shared a group with one of them.

    Args:
        catalogue: rows, whose pictures were seen.
        seen: fingerprints of pictures; those without one are compared with nothing.
        distance: bits that fingerprints may differ in; None: nothing is compared.
        pixels: gives a picture, (H, W, 3) uint8: those with near fingerprints are compared in colour.

    Returns:
        The catalogue with its groups, each named by the id of its first row; the pictures that have a near-duplicate.
    """
    pictures = np.array(sorted({name for name in catalogue.column("picture") if seen[name].fingerprint}), dtype=object)
    if distance is None or not len(pictures):
        return catalogue, set()
    prints = np.stack(
        [np.frombuffer(seen[name].fingerprint, np.uint8).reshape(near_duplicates.VIEWS, -1) for name in pictures]
    )
    found = _alike(near_duplicates.pairs(prints, distance), pictures, pixels)
    first = grouped(len(pictures), found)
    of_picture = {pictures[place]: pictures[first[place]] for place in np.unique(found)}
    near = np.array([of_picture.get(name, "") for name in catalogue.column("picture")], dtype=object)
    unit, ids = linked([near, catalogue.column("group")]), catalogue.column("id")
    shared = np.bincount(unit, minlength=len(unit))[unit] > 1
    return catalogue.having(group=np.where(shared, ids[unit], "")), set(of_picture)


def copies_grouped(catalogue: Catalogue, seen: Mapping[str, Seen]) -> Catalogue:
    """Put pictures that are the same byte for byte into one group, with whatever shares a group or an item with one of
    them: where one picture of them stays, what hung on the others must not stand on another side than it."""
    digests = [seen[name].digest for name in catalogue.column("picture")]
    shown = Counter(digest for digest, _ in set(zip(digests, catalogue.column("picture"), strict=True)))
    copied = np.array([digest if shown[digest] > 1 else "" for digest in digests], dtype=object)
    if not copied.any():
        return catalogue
    groups, ids = catalogue.column("group"), catalogue.column("id")
    unit = linked([copied, groups, catalogue.column("item")])
    return catalogue.having(group=np.where(np.isin(unit, unit[copied != ""]), ids[unit], groups))


def _alike(pairs: np.ndarray, pictures: np.ndarray, pixels: Callable[[str], np.ndarray]) -> np.ndarray:
    """Those of the pairs whose pictures look alike, opened again to be compared in colour.  (P, 2) -> (n, 2) int64.

    A picture that does not open any more is like none, and named in the log.
    """
    if not len(pairs):
        return pairs
    members, places = np.unique(pairs, return_inverse=True)
    names = pictures[members].tolist()
    thumbnails = np.zeros((len(names), *THUMBNAIL), dtype=np.uint8)
    there = np.ones(len(names), dtype=bool)

    def look(place: int) -> None:
        try:
            thumbnails[place] = near_duplicates.thumbnail(pixels(names[place]))
        except PictureError as error:
            log.warning("not compared with others: %s", error)
            there[place] = False

    with ThreadPoolExecutor() as pool:
        for chunk in counted(chunks(range(len(names)), CHUNK), "comparing pictures", len(names), len):
            list(pool.map(look, chunk))
    places = places.reshape(-1, 2)
    alike = near_duplicates.likeness(thumbnails, places) >= near_duplicates.ALIKE
    return pairs[alike & there[places].all(axis=1)]
