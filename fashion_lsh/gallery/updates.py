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

# The gallery is compacted above this number of segments, or this ratio of tombstones to embeddings.
MAX_SEGMENTS, MAX_TOMBSTONE_RATIO = 8, 0.2


class AdditionResult(NamedTuple):
    """Result of an addition.

    Attributes:
        added: number of garments added.
        already_indexed: number of images that an interrupted addition had added before.
        skipped: id -> reason for each skipped image.
    """

    added: int
    already_indexed: int
    skipped: dict[str, str]


def add(
    folder: Path, cropper: Cropper, root: str, crop: str, skip: Callable[[Mapping[str, str]], None]
) -> AdditionResult:
    """Crop, classify, encode and add images in chunks. The gallery on disk stays valid if the process is interrupted.

    To resume an interrupted addition, call `add` again with the same `root`.

    Args:
        folder: folder of the gallery; no other process may change it at the same time.
        cropper: cropper with the model of the gallery.
        root: folder or manifest of images (see Folder); images without a category are added as `unknown`.
        crop: `annotated`, `whole` or `detected`; `whole` ignores annotated boxes.
        skip: function that is called with the skipped images, id -> reason.

    Raises:
        FileNotFoundError: the gallery or `root` is missing.
        ValueError: an id is already in the gallery or a column has another type than there (the gallery is unchanged),
            or no image is usable.
    """
    fingerprint = cropper.model.fingerprint()
    gallery = Gallery.open(folder, fingerprint)
    source = Folder(root, unlabelled=True)
    source_catalogue = source.catalogue()
    # The key depends only on the path, since images may change before the addition is resumed.
    pending_key = sha256(str(source.root.resolve()).encode()).hexdigest()[:16]
    catalogue = _normalise_categories(_make_paths_absolute(source_catalogue, source, crop), gallery.catalogue)
    new_rows = _select_new_rows(catalogue, gallery, resuming=pending_key in gallery.pending_keys)
    gallery.catalogue.concatenate(new_rows.take(np.arange(0)))  # checks the types of columns before encoding
    skip(source.skipped)
    added_count, skipped = 0, dict(source.skipped)
    used_ids = {*catalogue.column("id"), *gallery.catalogue.column("id")}
    for chunk in encode_chunks(cropper, new_rows, used_ids):
        skip(chunk.unreadable)
        skipped |= chunk.unreadable
        if chunk.encoded is not None:
            gallery.add(chunk.encoded, chunk.rows)
            added_count += len(chunk.rows)
        gallery.pending_keys |= {pending_key}
        gallery.save(folder)
        gallery = Gallery.open(folder, fingerprint)  # the next save does not write memory-mapped segments again
    gallery.pending_keys -= {pending_key}
    _save_and_compact(folder, gallery)
    return AdditionResult(added_count, len(catalogue) - len(new_rows), skipped)


def remove(folder: Path, fingerprint: str, ids: Sequence[str]) -> None:
    """Remove garments from a gallery on disk.

    Args:
        folder: folder of the gallery; no other process may change it at the same time.
        fingerprint: fingerprint of the model that built the gallery.
        ids: ids of the garments.

    Raises:
        FileNotFoundError: the folder has no gallery.
        ValueError: an id is not in the gallery or is repeated. The gallery is unchanged.
    """
    gallery = Gallery.open(folder, fingerprint)
    gallery.remove(np.array(ids, dtype=str))
    _save_and_compact(folder, gallery)


def _save_and_compact(folder: Path, gallery: Gallery) -> None:
    """Save the gallery, and compact it if the embeddings have too many segments or tombstones.

    Checksums are verified before compacting, so that damaged embeddings never get a new, valid checksum.
    """
    gallery.save(folder)
    if len(gallery.embeddings.segments) > MAX_SEGMENTS or gallery.tombstones > MAX_TOMBSTONE_RATIO * len(
        gallery.embeddings
    ):
        compacted = Gallery.open(folder, gallery.fingerprint, verify_embeddings=True)
        compacted.compact()
        compacted.save(folder)


def _normalise_categories(catalogue: Catalogue, indexed: Catalogue) -> Catalogue:
    """Replace categories that differ from a category of the gallery only in case."""
    spelling = {name.casefold(): name for name in indexed.categories}
    categories = [spelling.get(name.casefold(), name) for name in catalogue.column("category")]
    return catalogue.with_columns(category=categories)


def _select_new_rows(catalogue: Catalogue, gallery: Gallery, resuming: bool) -> Catalogue:
    """Select the rows to add: all rows, or the remaining rows of an interrupted addition."""
    if not resuming:
        gallery.check_new_ids(catalogue)
        return catalogue
    is_indexed = np.isin(catalogue.column("id").astype(str), gallery.catalogue.column("id").astype(str))
    return catalogue.take(np.flatnonzero(~is_indexed))


def _make_paths_absolute(catalogue: Catalogue, source: Folder, crop: str) -> Catalogue:
    """Make image paths absolute, since the images are outside the run's data; drop boxes if `crop` is "whole"."""
    paths = [str((source.folder / name).resolve()) for name in catalogue.column("image")]
    boxes = dict.fromkeys(BOX_COLUMNS, np.full(len(catalogue), np.nan, dtype=np.float32)) if crop == "whole" else {}
    return catalogue.with_columns(image=paths, split=[""] * len(catalogue), **boxes)
