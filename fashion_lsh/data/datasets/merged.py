"""Read and write catalogues merged from several sources, with references to the images of each source."""

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
    """Arguments of `open_dataset` for one source: data set name and root."""

    dataset: str
    root: str | None


class ChangedImage(NamedTuple):
    """Image file changed since the merge: its new scan, and whether its bytes are unchanged."""

    scanned: ImageInfo
    same_bytes: bool


class MergedFolder:
    """Merged data set: `<root>/catalogue.parquet`, with image keys `<source>/<image>`.

    Image files changed since the merge are scanned again. Readable ones are used and counted in the log; garments of
    unreadable ones are skipped and recorded in `skipped`.

    Args:
        root: Folder written by `python -m fashion_lsh merge`.
        opener: Opens a source from its data set name and root.

    Raises:
        FileNotFoundError: Not a merged catalogue.
        ValueError: A file is damaged.
    """

    def __init__(self, root: str, opener: Callable[[str, str | None], Any]) -> None:
        self.root, self.opener = Path(root).expanduser(), opener
        if not (self.root / SOURCES).is_file():
            raise FileNotFoundError(
                f"{self.root}: not a merged catalogue ({SOURCES} is missing); create one with "
                "`python -m fashion_lsh merge`"
            )
        try:
            content = json.loads((self.root / SOURCES).read_text())
            self.origins = {name: Origin(*origin) for name, origin in content["sources"].items()}
            self.checksum = self._merged_checksum = str(content["images"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{self.root / SOURCES}: damaged ({error!r}); merge again") from error
        self.skipped: dict[str, str] = {}
        self._opened: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": {}}  # opened again in each process

    def catalogue(self, filters: Filters = None) -> Catalogue:
        """Return filtered rows (see `Catalogue.filter`), with splits.

        Raises:
            ValueError: A file is damaged, or no image is usable.
        """
        rows = Catalogue.open(self.root / CATALOGUE).filter(filters)
        images, ids, boxes = rows.column("image"), rows.column("id"), rows.boxes
        changed = self._find_changes(set(images))
        self.skipped = {}
        self.checksum = _updated_checksum(self._merged_checksum, changed)
        for row in np.flatnonzero([name in changed for name in images]):
            scanned = changed[images[row]].scanned
            if reason := scanned.problem or box_problem(images[row], boxes[row], scanned):
                self.skipped[ids[row]] = reason
        if not self.skipped:
            return rows
        first = next(iter(self.skipped.values()))
        log.warning("Skipped %d garments; the first problem is: %s", len(self.skipped), first)
        if len(self.skipped) == len(rows):
            raise ValueError(f"{self.root}: no image is usable; the first problem is: {first}")
        return rows.take(np.flatnonzero([name not in self.skipped for name in ids]))

    def image(self, key: str) -> np.ndarray:
        """Load an image: (H, W, 3) uint8 RGB, upright.  Raises ImageError."""
        name, _, key_in_source = key.partition("/")
        return self._source(name).image(key_in_source)

    def _source(self, name: str) -> Any:
        if name not in self.origins:
            raise ImageError(f"{self.root}: no source {name!r}, probably because it was merged again; re-run the job")
        if name not in self._opened:
            dataset, root = self.origins[name]
            source_root = (
                self.root / root if root is not None and (self.root / root).exists() else root
            )  # crops are stored inside
            self._opened[name] = self.opener(dataset, None if source_root is None else str(source_root))
        return self._opened[name]

    def _find_changes(self, images: set[str]) -> dict[str, ChangedImage]:
        """Scan the images whose files changed since the merge, and compare their digests."""
        try:
            table = pq.read_table(self.root / IMAGES)
            names, states = (table[column].to_pylist() for column in ("image", "state"))
        except (OSError, KeyError, pa.ArrowException) as error:
            raise ValueError(f"{self.root / IMAGES}: damaged or missing ({error}); merge again") from error
        digests = table["digest"].to_pylist() if "digest" in table.column_names else [""] * len(names)
        sources = {name: self._source(name) for name in {image.partition("/")[0] for image in images}}
        folders = {name: str(opened.folder) for name, opened in sources.items() if isinstance(opened, ImageFiles)}
        changes: dict[str, ChangedImage] = {}
        for image, state, digest in zip(names, states, digests, strict=True):
            source, _, key_in_source = image.partition("/")
            if image in images and source in folders:
                current_state = file_state(f"{folders[source]}/{key_in_source}")
                if current_state != state or current_state == MISSING:  # may have disappeared during the merge
                    scanned = scan_image(Path(folders[source]) / key_in_source)
                    changes[image] = ChangedImage(scanned, scanned.digest == digest)
        if changes:
            log.warning("%d images changed since the merge", len(changes))
        return changes


def save(folder: Path, catalogue: Catalogue, scanned: Mapping[str, ImageInfo], origins: Mapping[str, Origin]) -> None:
    """Write a merged catalogue. sources.json is written last, and marks the folder as complete.

    Args:
        folder: Target folder.
        catalogue: Merged rows.
        scanned: Scan of each image, by key.
        origins: Data set and root of each source, by name.
    """
    invalidate(folder)
    catalogue.save(folder / CATALOGUE)
    images = sorted(set(catalogue.column("image")))
    columns = {"state": [scanned[name].state for name in images], "digest": [scanned[name].digest for name in images]}
    with atomic_write(folder / IMAGES) as temporary:
        pq.write_table(pa.table({"image": images, **columns}), temporary)
    checksum = sha256("".join(scanned[name].digest for name in catalogue.column("image")).encode()).hexdigest()
    with atomic_write(folder / SOURCES) as temporary:
        temporary.write_text(json.dumps({"sources": dict(origins), "images": checksum}, indent=1))


def invalidate(folder: Path) -> None:
    """Delete sources.json, so that a folder with an older catalogue no longer counts as merged."""
    (folder / SOURCES).unlink(missing_ok=True)


def _updated_checksum(checksum: str, changed: Mapping[str, ChangedImage]) -> str:
    """Return the checksum of the images as they are now; it differs only if the bytes of an image changed."""
    others = [f"{name} {change.scanned.digest}" for name, change in sorted(changed.items()) if not change.same_bytes]
    return sha256(" ".join([checksum, *others]).encode()).hexdigest() if others else checksum
