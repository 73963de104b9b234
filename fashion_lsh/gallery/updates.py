"""Add images to a gallery on disk, and remove garments from it."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.folder import Folder
from fashion_lsh.data.schema import BOX_COLUMNS
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.gallery.image_encoding import Cropper, encode_chunks

MAX_SEGMENTS, MAX_TOMBSTONES = 8, 0.2  # number of segments, ratio of tombstones: above, embeddings are compacted


class AdditionResult(NamedTuple):
    """Result of an addition: garments added, garments added before by an interrupted run, and id -> reason skipped."""

    added: int
    already_indexed: int
    skipped: dict[str, str]


def add(
    folder: Path, cropper: Cropper, root: str, crop: str, skip: Callable[[Mapping[str, str]], None]
) -> AdditionResult:
    """Crop, classify, encode and add images in chunks; the gallery on disk is valid at any time.

    An interrupted addition is resumed by calling this again with the same `root`.

    Args:
        folder: folder of the gallery; no other process may change it at the same time.
        cropper: model of the gallery, detector and box selector.
        root: a folder or manifest (see Folder); images without a category are added as `unknown`.
        crop: `annotated`, `whole` or `detected`; `whole` ignores boxes.
        skip: called with the skipped images, id -> reason.

    Raises:
        FileNotFoundError: the gallery or `root` is missing.
        ValueError: an id is already in the gallery (nothing is added then), or no image is usable.
    """
    fingerprint = cropper.model.fingerprint()
    gallery = Gallery.open(folder, fingerprint)
    source = Folder(root, unlabelled=True)
    source_catalogue = source.catalogue()
    pending_key = sha256(str(source.root.resolve()).encode()).hexdigest()[:16]  # path only: images may change
    catalogue = _normalise_categories(_with_absolute_paths(source_catalogue, source, crop), gallery.catalogue)
    remaining = _remaining(catalogue, gallery, resuming=pending_key in gallery.pending)
    skip(source.skipped)
    added_count, skipped = 0, dict(source.skipped)
    used_ids = {*catalogue.column("id"), *gallery.catalogue.column("id")}
    for chunk in encode_chunks(cropper, remaining, used_ids):
        skip(chunk.unreadable)
        skipped |= chunk.unreadable
        if chunk.encoded is not None:
            gallery.add(chunk.encoded, chunk.rows)
            added_count += len(chunk.rows)
        gallery.pending |= {pending_key}
        gallery.save(folder)
        gallery = Gallery.open(folder, fingerprint)  # memory-mapped segments are not written again
    gallery.pending -= {pending_key}
    _save_and_compact(folder, gallery)
    return AdditionResult(added_count, len(catalogue) - len(remaining), skipped)


def remove(folder: Path, fingerprint: str, ids: Sequence[str]) -> None:
    """Remove garments from a gallery on disk.

    Args:
        folder: folder of the gallery; no other process may change it at the same time.
        fingerprint: fingerprint of its model.
        ids: ids of the garments.

    Raises:
        FileNotFoundError: the folder has no gallery.
        ValueError: an id is not in the gallery or is repeated; nothing is removed then.
    """
    gallery = Gallery.open(folder, fingerprint)
    gallery.remove(np.array(ids, dtype=str))
    _save_and_compact(folder, gallery)


def _save_and_compact(folder: Path, gallery: Gallery) -> None:
    """Save; then compact if the embeddings have too many segments or tombstones.

    Checksums are verified before compacting, so that damaged embeddings never get a new checksum.
    """
    gallery.save(folder)
    if len(gallery.embeddings.segments) > MAX_SEGMENTS or gallery.tombstones > MAX_TOMBSTONES * len(gallery.embeddings):
        compacted = Gallery.open(folder, gallery.fingerprint, verify=True)
        compacted.compact()
        compacted.save(folder)


def _normalise_categories(catalogue: Catalogue, indexed: Catalogue) -> Catalogue:
    """Spell categories as in the gallery, ignoring case."""
    known = {name.casefold(): name for name in indexed.categories}
    return catalogue.with_columns(category=[known.get(name.casefold(), name) for name in catalogue.column("category")])


def _remaining(catalogue: Catalogue, gallery: Gallery, resuming: bool) -> Catalogue:
    """Catalogue rows still to be added: all, or the rest of an interrupted addition."""
    if not resuming:
        gallery.check_new_ids(catalogue)
        return catalogue
    known = np.isin(catalogue.column("id").astype(str), gallery.catalogue.column("id").astype(str))
    return catalogue.take(np.flatnonzero(~known))


def _with_absolute_paths(catalogue: Catalogue, source: Folder, crop: str) -> Catalogue:
    """Make image paths absolute, since they are outside the run's data; drop boxes if `crop` is "whole"."""
    paths = [str((source.folder / name).resolve()) for name in catalogue.column("image")]
    boxes = dict.fromkeys(BOX_COLUMNS, np.full(len(catalogue), np.nan, dtype=np.float32)) if crop == "whole" else {}
    return catalogue.with_columns(image=paths, split=[""] * len(catalogue), **boxes)
