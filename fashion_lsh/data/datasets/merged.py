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

from fashion_lsh.data.catalogue import Catalogue, Wanted
from fashion_lsh.data.datasets.image_files import PictureFiles
from fashion_lsh.data.image_scan import MISSING, Seen, look, off, state_of
from fashion_lsh.data.images import PictureError
from fashion_lsh.io.files import written

log = logging.getLogger(__name__)

CATALOGUE, PICTURES, SOURCES = "catalogue.parquet", "pictures.parquet", "sources.json"


class Origin(NamedTuple):
    """Where a source's pictures lie: the name of its data set, and its root, as `open_source` takes them."""

    data_set: str
    root: str | None


class Change(NamedTuple):
    """A file that has changed since it was merged: what is seen of it now, and whether its bytes are the same."""

    seen: Seen
    alike: bool


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
            told = json.loads((self.root / SOURCES).read_text())
            self.origins = {name: Origin(*origin) for name, origin in told["sources"].items()}
            self.checksum = self._merged = str(told["pictures"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{self.root / SOURCES} is damaged ({error!r}): merge anew") from error
        self.skipped: dict[str, str] = {}
        self._opened: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": {}}  # each process opens what it reads

    def catalogue(self, wanted: Wanted = None) -> Catalogue:
        """The rows wanted (see `Catalogue.only`), with their splits.

        Raises:
            ValueError: the file is damaged, or its pictures are gone.
        """
        rows = Catalogue.open(self.root / CATALOGUE).only(wanted)
        pictures, ids, boxes = rows.column("picture"), rows.column("id"), rows.boxes
        changed = self._changed(set(pictures))
        self.skipped = {}
        self.checksum = _with(self._merged, changed)
        for row in np.flatnonzero([name in changed for name in pictures]):
            seen = changed[pictures[row]].seen
            if reason := seen.problem or off(pictures[row], boxes[row], seen):
                self.skipped[ids[row]] = reason
        if not self.skipped:
            return rows
        first = next(iter(self.skipped.values()))
        log.warning("%d garments are left out, the first: %s", len(self.skipped), first)
        if len(self.skipped) == len(rows):
            raise ValueError(f"no picture of {self.root} is of use any more; the first: {first}")
        return rows.take(np.flatnonzero([name not in self.skipped for name in ids]))

    def picture(self, key: str) -> np.ndarray:
        """(H, W, 3) uint8 RGB, upright.  Raises PictureError."""
        name, _, own = key.partition("/")
        return self._source(name).picture(own)

    def _source(self, name: str) -> Any:
        if name not in self.origins:
            raise PictureError(f"{self.root} has no source {name!r} any more, it was merged anew: make the run again")
        if name not in self._opened:
            data_set, root = self.origins[name]
            own = self.root / root if root is not None and (self.root / root).exists() else root  # crops lie inside
            self._opened[name] = self.opener(data_set, None if own is None else str(own))
        return self._opened[name]

    def _changed(self, pictures: set[str]) -> dict[str, Change]:
        """What is seen now of those pictures whose files are not as they were, and whether they show the same."""
        try:
            table = pq.read_table(self.root / PICTURES)
            names, states = (table[column].to_pylist() for column in ("picture", "state"))
        except (OSError, KeyError, pa.ArrowException) as error:
            raise ValueError(f"{self.root / PICTURES} is damaged or missing ({error}): merge anew") from error
        digests = table["digest"].to_pylist() if "digest" in table.column_names else [""] * len(names)
        sources = {name: self._source(name) for name in {picture.partition("/")[0] for picture in pictures}}
        folders = {name: str(one.folder) for name, one in sources.items() if isinstance(one, PictureFiles)}
        found: dict[str, Change] = {}
        for picture, state, digest in zip(names, states, digests, strict=True):
            source, _, own = picture.partition("/")
            if picture in pictures and source in folders:
                now = state_of(f"{folders[source]}/{own}")
                if now != state or now == MISSING:  # it may have gone while it was merged
                    seen = look(Path(folders[source]) / own)
                    found[picture] = Change(seen, seen.digest == digest)
        if found:
            log.warning("%d pictures have changed since they were merged", len(found))
        return found


def save(folder: Path, catalogue: Catalogue, seen: Mapping[str, Seen], origins: Mapping[str, Origin]) -> None:
    """Write a merged catalogue; sources.json comes last: without it the folder is none.

    Args:
        folder: where to.
        catalogue: its rows.
        seen: of each picture.
        origins: of each source.
    """
    forget(folder)
    catalogue.save(folder / CATALOGUE)
    pictures = sorted(set(catalogue.column("picture")))
    columns = {"state": [seen[name].state for name in pictures], "digest": [seen[name].digest for name in pictures]}
    with written(folder / PICTURES) as draft:
        pq.write_table(pa.table({"picture": pictures, **columns}), draft)
    checksum = sha256("".join(seen[name].digest for name in catalogue.column("picture")).encode()).hexdigest()
    with written(folder / SOURCES) as draft:
        draft.write_text(json.dumps({"sources": dict(origins), "pictures": checksum}, indent=1))


def forget(folder: Path) -> None:
    """Make a folder, in which another catalogue may lie, none of a merged one."""
    (folder / SOURCES).unlink(missing_ok=True)


def _with(checksum: str, changed: Mapping[str, Change]) -> str:
    """The checksum of the pictures as they are now, where some show something else than when they were merged."""
    others = [f"{name} {change.seen.digest}" for name, change in sorted(changed.items()) if not change.alike]
    return sha256(" ".join([checksum, *others]).encode()).hexdigest() if others else checksum
