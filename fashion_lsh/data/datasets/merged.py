"""A catalogue that was merged from several sources: one folder, that remembers where their pictures lie."""

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
    """Where a source's pictures lie: the name of its data set, and its root, as `open_dataset` takes them."""

    dataset: str
    root: str | None


class ChangedImage(NamedTuple):
    """A file that has changed since it was merged: what is seen of it now, and whether its bytes are the same."""

    scanned: ImageInfo
    same_bytes: bool


class MergedFolder:
    """The catalogue in `<root>/catalogue.parquet`, whose pictures are named `<source>/<picture>`.

    A picture that has changed since it was merged is opened again: where it is still a picture it is used, and counted
    in the log; otherwise its garments are left out and named in `skipped`.

    Args:
        root: a folder that `python -m fashion_lsh merge` made.
        opener: gives the source of a data set and root.

    Raises:
        FileNotFoundError: it is none.
        ValueError: one of its files is damaged.
    """

    def __init__(self, root: str, opener: Callable[[str, str | None], Any]) -> None:
        self.root, self.opener = Path(root).expanduser(), opener
        if not (self.root / SOURCES).is_file():
            raise FileNotFoundError(f"{self.root} is no merged catalogue: make one with `python -m fashion_lsh merge`")
        try:
            content = json.loads((self.root / SOURCES).read_text())
            self.origins = {name: Origin(*origin) for name, origin in content["sources"].items()}
            self.checksum = self._merged_checksum = str(content["images"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{self.root / SOURCES} is damaged ({error!r}): merge anew") from error
        self.skipped: dict[str, str] = {}
        self._opened: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": {}}  # each process opens what it reads

    def catalogue(self, filters: Filters = None) -> Catalogue:
        """The rows wanted (see `Catalogue.filter`), with their splits.

        Raises:
            ValueError: the file is damaged, or its pictures are gone.
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
        log.warning("%d garments are left out, the first: %s", len(self.skipped), first)
        if len(self.skipped) == len(rows):
            raise ValueError(f"no picture of {self.root} is of use any more; the first: {first}")
        return rows.take(np.flatnonzero([name not in self.skipped for name in ids]))

    def image(self, key: str) -> np.ndarray:
        """(H, W, 3) uint8 RGB, upright.  Raises ImageError."""
        name, _, key_in_source = key.partition("/")
        return self._source(name).image(key_in_source)

    def _source(self, name: str) -> Any:
        if name not in self.origins:
            raise ImageError(f"{self.root} has no source {name!r} any more, it was merged anew: make the run again")
        if name not in self._opened:
            dataset, root = self.origins[name]
            source_root = (
                self.root / root if root is not None and (self.root / root).exists() else root
            )  # crops lie inside
            self._opened[name] = self.opener(dataset, None if source_root is None else str(source_root))
        return self._opened[name]

    def _find_changes(self, images: set[str]) -> dict[str, ChangedImage]:
        """What is seen now of those pictures whose files are not as they were, and whether they show the same."""
        try:
            table = pq.read_table(self.root / IMAGES)
            names, states = (table[column].to_pylist() for column in ("image", "state"))
        except (OSError, KeyError, pa.ArrowException) as error:
            raise ValueError(f"{self.root / IMAGES} is damaged or missing ({error}): merge anew") from error
        digests = table["digest"].to_pylist() if "digest" in table.column_names else [""] * len(names)
        sources = {name: self._source(name) for name in {image.partition("/")[0] for image in images}}
        folders = {name: str(opened.folder) for name, opened in sources.items() if isinstance(opened, ImageFiles)}
        changes: dict[str, ChangedImage] = {}
        for image, state, digest in zip(names, states, digests, strict=True):
            source, _, key_in_source = image.partition("/")
            if image in images and source in folders:
                current_state = file_state(f"{folders[source]}/{key_in_source}")
                if current_state != state or current_state == MISSING:  # it may have gone while it was merged
                    scanned = scan_image(Path(folders[source]) / key_in_source)
                    changes[image] = ChangedImage(scanned, scanned.digest == digest)
        if changes:
            log.warning("%d pictures have changed since they were merged", len(changes))
        return changes


def save(folder: Path, catalogue: Catalogue, scanned: Mapping[str, ImageInfo], origins: Mapping[str, Origin]) -> None:
    """Write a merged catalogue; sources.json comes last: without it the folder is none.

    Args:
        folder: where to.
        catalogue: its rows.
        scanned: of each picture.
        origins: of each source.
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
    """Make a folder, in which another catalogue may lie, none of a merged one."""
    (folder / SOURCES).unlink(missing_ok=True)


def _updated_checksum(checksum: str, changed: Mapping[str, ChangedImage]) -> str:
    """The checksum of the pictures as they are now, where some show something else than when they were merged."""
    others = [f"{name} {change.scanned.digest}" for name, change in sorted(changed.items()) if not change.same_bytes]
    return sha256(" ".join([checksum, *others]).encode()).hexdigest() if others else checksum
