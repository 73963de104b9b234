"""Read and write merged catalogues, which refer to the images of several sources."""

import json
import logging
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fashion_lsh.data.catalogue import Catalogue, Filters
from fashion_lsh.data.datasets.image_files import ImageFiles
from fashion_lsh.data.image_scan import MISSING, ImageInfo, box_problem, file_state, scan_image
from fashion_lsh.data.images import ImageError
from fashion_lsh.io.files import atomic_write

log = logging.getLogger(__name__)

CATALOGUE, IMAGES, SOURCES = "catalogue.parquet", "images.parquet", "sources.json"


class Origin(NamedTuple):
    """Arguments of `open_dataset` for one source.

    Attributes:
        dataset: Name of the data set.
        root: Root of the data set; None if the data set needs none.
    """

    dataset: str
    root: str | None


class ChangedImage(NamedTuple):
    """Image file whose signature (size and modification time) differs from the signature at the merge.

    Attributes:
        info: New scan result of the file.
        same_content: Whether the content (SHA-256) is the same as at the merge.
    """

    info: ImageInfo
    same_content: bool


class MergedCatalogue:
    """Merged catalogue: rows of `<root>/catalogue.parquet`, with image keys `<source>/<image>`.

    Image files whose signature changed since the merge are scanned again and counted in the log. Garments of unreadable
    files, and garments whose box is outside the changed image, are skipped and recorded in `skipped`.

    Args:
        root: Folder written by `fashion-lsh merge`.
        open_source: Opens a source, given data set name and root.

    Raises:
        FileNotFoundError: The folder does not contain a complete merged catalogue.
        ValueError: A file is damaged.
    """

    def __init__(self, root: str, open_source: Callable[[str, str | None], Any]) -> None:
        self.root, self.open_source = Path(root).expanduser(), open_source
        if not (self.root / SOURCES).is_file():
            raise FileNotFoundError(
                f"{self.root}: not a merged catalogue ({SOURCES} is missing); create one with `fashion-lsh merge`"
            )
        try:
            content = json.loads((self.root / SOURCES).read_text())
            self.origins = {name: Origin(*origin) for name, origin in content["sources"].items()}
            self.checksum = self._merged_checksum = str(content["images"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{self.root / SOURCES}: damaged ({error!r}); run the merge again") from error
        self.skipped: dict[str, str] = {}
        self._open_sources: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open_sources": {}}  # sources are opened again in each process

    def catalogue(self, filters: Filters = None) -> Catalogue:
        """Return filtered rows (see `Catalogue.filter`), with splits.

        Raises:
            ValueError: A file is damaged, or no image is usable.
        """
        rows = Catalogue.open(self.root / CATALOGUE).filter(filters)
        images, ids, boxes = rows.column("image"), rows.column("id"), rows.boxes
        changed_images = self._find_changed_images(set(images))
        self.skipped = {}
        self.checksum = _updated_checksum(self._merged_checksum, changed_images)
        for row in np.flatnonzero([key in changed_images for key in images]):
            info = changed_images[images[row]].info
            if reason := info.problem or box_problem(images[row], boxes[row], info):
                self.skipped[ids[row]] = reason
        if not self.skipped:
            return rows
        first_reason = next(iter(self.skipped.values()))
        log.warning("Skipped %d garments; the first problem is: %s", len(self.skipped), first_reason)
        if len(self.skipped) == len(rows):
            raise ValueError(f"{self.root}: no image is usable; the first problem is: {first_reason}")
        return rows.take(np.flatnonzero([row_id not in self.skipped for row_id in ids]))

    def image(self, key: str) -> np.ndarray:
        """Load an image, (H, W, 3) uint8 RGB, with the EXIF orientation applied.  Raises ImageError."""
        name, _, key_in_source = key.partition("/")
        return self._source(name).image(key_in_source)

    def _source(self, name: str) -> Any:
        if name not in self.origins:
            raise ImageError(
                f"{self.root}: no source {name!r}; this folder was probably merged again, so run the command again"
            )
        if name not in self._open_sources:
            dataset, root = self.origins[name]
            if root is not None and (self.root / root).exists():  # `merge --crop` stores the crops in this folder
                root = str(self.root / root)
            self._open_sources[name] = self.open_source(dataset, root)
        return self._open_sources[name]

    def _find_changed_images(self, images: set[str]) -> dict[str, ChangedImage]:
        """Scan the image files whose signature changed since the merge: image key -> new scan result."""
        try:
            table = pq.read_table(self.root / IMAGES)
            names, states = (table[column].to_pylist() for column in ("image", "state"))
        except (OSError, KeyError, pa.ArrowException) as error:
            raise ValueError(f"{self.root / IMAGES}: damaged or missing ({error}); run the merge again") from error
        digests = table["digest"].to_pylist() if "digest" in table.column_names else [""] * len(names)
        sources = {name: self._source(name) for name in {image.partition("/")[0] for image in images}}
        folders = {name: str(source.folder) for name, source in sources.items() if isinstance(source, ImageFiles)}
        changed_images: dict[str, ChangedImage] = {}
        for image, state, digest in zip(names, states, digests, strict=True):
            name, _, key_in_source = image.partition("/")
            if image in images and name in folders:
                current_state = file_state(f"{folders[name]}/{key_in_source}")
                # a file that disappeared during the merge has the same state, MISSING, at the merge and now
                if current_state != state or current_state == MISSING:
                    info = scan_image(Path(folders[name]) / key_in_source)
                    changed_images[image] = ChangedImage(info, info.digest == digest)
        if changed_images:
            log.warning("Image files changed since the merge: %d", len(changed_images))
        return changed_images


def save(
    folder: Path, catalogue: Catalogue, image_infos: Mapping[str, ImageInfo], origins: Mapping[str, Origin]
) -> None:
    """Write a merged catalogue. The last file written, sources.json, marks the folder as complete.

    Args:
        folder: Target folder.
        catalogue: Merged rows.
        image_infos: Scan result of each image, by key.
        origins: Data set and root of each source, by name.
    """
    invalidate(folder)
    catalogue.save(folder / CATALOGUE)
    images = sorted(set(catalogue.column("image")))
    columns = {
        "state": [image_infos[key].state for key in images],
        "digest": [image_infos[key].digest for key in images],
    }
    with atomic_write(folder / IMAGES) as temporary:
        pq.write_table(pa.table({"image": images, **columns}), temporary)
    checksum = sha256("".join(image_infos[key].digest for key in catalogue.column("image")).encode()).hexdigest()
    with atomic_write(folder / SOURCES) as temporary:
        temporary.write_text(json.dumps({"sources": dict(origins), "images": checksum}, indent=1))


def invalidate(folder: Path) -> None:
    """Delete sources.json, so that the folder no longer counts as a complete merged catalogue."""
    (folder / SOURCES).unlink(missing_ok=True)


def _updated_checksum(checksum: str, changed_images: Mapping[str, ChangedImage]) -> str:
    """Return the checksum of the current images; the checksum stays the same if no content changed."""
    changed_digests = [
        f"{key} {image.info.digest}" for key, image in sorted(changed_images.items()) if not image.same_content
    ]
    return sha256(" ".join([checksum, *changed_digests]).encode()).hexdigest() if changed_digests else checksum
