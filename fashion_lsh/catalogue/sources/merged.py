"""A catalogue that was merged from several sources: one folder, that remembers where their pictures lie."""

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fashion_lsh.catalogue.catalogue import Catalogue, Wanted
from fashion_lsh.catalogue.scan import MISSING, look, state_of
from fashion_lsh.catalogue.sources.picture_files import PictureFiles
from fashion_lsh.files import written

log = logging.getLogger(__name__)

CATALOGUE, PICTURES, SOURCES = "catalogue.parquet", "pictures.parquet", "sources.json"


class Origin(NamedTuple):
    """Where a source's pictures lie: the name of its data set, and its root, as `open_source` takes them."""

    data_set: str
    root: str | None


class Merged:
    """The catalogue in `<root>/catalogue.parquet`, whose pictures are named `<source>/<picture>`.

    A picture that has changed since it was merged is opened again: where it is still a picture it is used, and counted
    in the log; otherwise its garments are left out and named in `skipped`.

    Args:
        root: a folder that merge.py made.
        opener: gives the source of a data set and root.

    Raises:
        FileNotFoundError: it is none.
        ValueError: one of its files is damaged.
    """

    def __init__(self, root: str, opener: Callable[[str, str | None], Any]) -> None:
        self.root, self.opener = Path(root).expanduser(), opener
        if not (self.root / SOURCES).is_file():
            raise FileNotFoundError(f"{self.root} is no merged catalogue: give data.root a folder that merge.py made")
        try:
            told = json.loads((self.root / SOURCES).read_text())
            self.origins = {name: Origin(*origin) for name, origin in told["sources"].items()}
            self.checksum = str(told["pictures"])
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
        gone = self._gone(set(rows.column("picture")))
        if not gone:
            return rows
        pictures, ids = rows.column("picture"), rows.column("id")
        lost = np.array([name in gone for name in pictures])
        self.skipped = {ids[row]: gone[pictures[row]] for row in np.flatnonzero(lost)}
        log.warning("%d garments are left out, the first: %s", lost.sum(), next(iter(self.skipped.values())))
        if lost.all():
            raise ValueError(f"no picture of {self.root} is to be found; the first: {next(iter(gone.values()))}")
        return rows.take(np.flatnonzero(~lost))

    def picture(self, key: str) -> np.ndarray:
        """(H, W, 3) uint8 RGB, upright.  Raises PictureError."""
        name, _, own = key.partition("/")
        return self._source(name).picture(own)

    def _source(self, name: str) -> Any:
        if name not in self._opened:
            data_set, root = self.origins[name]
            own = self.root / root if root is not None and (self.root / root).exists() else root  # crops lie inside
            self._opened[name] = self.opener(data_set, None if own is None else str(own))
        return self._opened[name]

    def _gone(self, pictures: set[str]) -> dict[str, str]:
        """Pictures that are of no use any more: why."""
        table = pq.read_table(self.root / PICTURES)
        names, states = (table[column].to_pylist() for column in ("picture", "state"))
        sources = {name: self._source(name) for name in self.origins}
        folders = {name: str(one.folder) for name, one in sources.items() if isinstance(one, PictureFiles)}
        changed, gone = 0, {}
        for picture, state in zip(names, states, strict=True):
            source, _, own = picture.partition("/")
            if picture not in pictures or source not in folders:
                continue
            now = state_of(f"{folders[source]}/{own}")
            if now != state or now == MISSING:  # it may have gone while it was merged
                changed += 1
                if problem := look(Path(folders[source]) / own).problem:
                    gone[picture] = problem
        if changed:
            log.warning("%d pictures have changed since they were merged, %d are of no use now", changed, len(gone))
        return gone


def save(
    folder: Path, catalogue: Catalogue, states: Mapping[str, str], origins: Mapping[str, Origin], checksum: str
) -> None:
    """Write a merged catalogue; sources.json comes last: without it the folder is none.

    Args:
        folder: where to.
        catalogue: its rows.
        states: of each picture, see `state_of`.
        origins: of each source.
        checksum: of the pictures' bytes.
    """
    (folder / SOURCES).unlink(missing_ok=True)
    catalogue.save(folder / CATALOGUE)
    with written(folder / PICTURES) as draft:
        pq.write_table(pa.table({"picture": list(states), "state": list(states.values())}), draft)
    with written(folder / SOURCES) as draft:
        draft.write_text(json.dumps({"sources": dict(origins), "pictures": checksum}, indent=1))
