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

MAX_SEGMENTS, MAX_TOMBSTONES = 8, 0.2  # of the embeddings: beyond, they are compacted


class AdditionResult(NamedTuple):
    """Result of an addition: garments added now, those added before, and why others were skipped: id -> reason."""

    added: int
    already_indexed: int
    skipped: dict[str, str]


def add(
    folder: Path, cropper: Cropper, root: str, crop: str, skip: Callable[[Mapping[str, str]], None]
) -> AdditionResult:
    """Crop, classify, encode and add images, some at a time; the gallery on disk is complete at any moment.

    Args:
        folder: of the gallery, which no other process may change meanwhile.
        cropper: the model of the gallery, and how it crops.
        root: a folder or manifest (see Folder); images without a category are added as `unknown`. An addition that
            was stopped goes on when it is called again.
        crop: `annotated`, `whole` or `detected`; `whole` ignores boxes.
        skip: called with the images that are skipped, id -> reason.

    Raises:
        FileNotFoundError: there is no gallery, or no such folder or file.
        ValueError: an id is in the gallery already (nothing is added then), or no image is usable.
    """
    fingerprint = cropper.model.fingerprint()
    gallery = Gallery.open(folder, fingerprint)
    source = Folder(root, unlabelled=True)
    source_catalogue = source.catalogue()
    pending_key = sha256(str(source.root.resolve()).encode()).hexdigest()[:16]  # its images may change in between
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
        gallery = Gallery.open(folder, fingerprint)  # embeddings mapped: what is saved is not written again
    gallery.pending -= {pending_key}
    _save_and_compact(folder, gallery)
    return AdditionResult(added_count, len(catalogue) - len(remaining), skipped)


def remove(folder: Path, fingerprint: str, ids: Sequence[str]) -> None:
    """Remove garments.

    Args:
        folder: of the gallery, which no other process may change meanwhile.
        fingerprint: of its model.
        ids: of the garments.

    Raises:
        FileNotFoundError: there is no gallery.
        ValueError: an id is not in it; nothing was removed then.
    """
    gallery = Gallery.open(folder, fingerprint)
    gallery.remove(np.array(ids, dtype=str))
    _save_and_compact(folder, gallery)


def _save_and_compact(folder: Path, gallery: Gallery) -> None:
    """Save; then compact the embeddings where they lie in too many segments or hold too many tombstones.

    Their checksums are verified first: what is damaged must not get a new one.
    """
    gallery.save(folder)
    if len(gallery.embeddings.segments) > MAX_SEGMENTS or gallery.tombstones > MAX_TOMBSTONES * len(gallery.embeddings):
        compacted = Gallery.open(folder, gallery.fingerprint, verify=True)
        compacted.compact()
        compacted.save(folder)


def _normalise_categories(catalogue: Catalogue, indexed: Catalogue) -> Catalogue:
    """Categories in the spelling that the gallery has of them."""
    known = {name.casefold(): name for name in indexed.categories}
    return catalogue.with_columns(category=[known.get(name.casefold(), name) for name in catalogue.column("category")])


def _remaining(catalogue: Catalogue, gallery: Gallery, resuming: bool) -> Catalogue:
    """What is to be filed still: all, or of an addition that was stopped the rest."""
    if not resuming:
        gallery.check_new_ids(catalogue)
        return catalogue
    known = np.isin(catalogue.column("id").astype(str), gallery.catalogue.column("id").astype(str))
    return catalogue.take(np.flatnonzero(~known))


def _with_absolute_paths(catalogue: Catalogue, source: Folder, crop: str) -> Catalogue:
    """Pictures by their full paths, since they lie elsewhere than the run's; without boxes where the run takes none."""
    paths = [str((source.folder / name).resolve()) for name in catalogue.column("image")]
    boxes = dict.fromkeys(BOX_COLUMNS, np.full(len(catalogue), np.nan, dtype=np.float32)) if crop == "whole" else {}
    return catalogue.with_columns(image=paths, split=[""] * len(catalogue), **boxes)
