"""A filed gallery: index, embeddings and catalogue, added to and removed from as one."""

from collections import Counter
from functools import cached_property
from pathlib import Path

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.gallery import files as files
from fashion_lsh.gallery.embeddings import Embeddings
from fashion_lsh.gallery.files import GalleryFiles
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import FloatIndex, HashIndex
from fashion_lsh.models.encoding import Encoded, Model


class Gallery:
    """What is searched.

    A garment gets a row number when it is filed: its place in the embeddings. Removing one leaves a hole there, until
    `compact` numbers all anew. The catalogue holds the garments that are there, in the order of their rows: line n is
    that of the n-th row. While one thread asks it, no other may change it.

    Args:
        index: codes by predicted category, or embeddings where there is no hash layer.
        embeddings: (R, D), for re-ranking, by row.
        catalogue: N <= R lines, what is known of the garments.
        fingerprint: of the model that made codes and embeddings.
        pending: hashes of the paths whose images were being added at the last save (see `updates.add`).

    Raises:
        ValueError: they do not belong together.
    """

    def __init__(
        self,
        index: HashIndex | FloatIndex,
        embeddings: Embeddings,
        catalogue: Catalogue,
        fingerprint: str,
        pending: frozenset[str] = frozenset(),
    ) -> None:
        self.index, self.embeddings, self.catalogue = index, embeddings, catalogue
        self.fingerprint, self.pending = fingerprint, pending
        if len(index) != len(catalogue) or self.rows.max(initial=-1) >= len(embeddings):
            raise ValueError(
                f"the index holds {len(index)} rows up to {self.rows.max(initial=-1)}, the catalogue {len(catalogue)} "
                f"lines, and there are {len(embeddings)} embeddings: they are of different galleries"
            )

    @classmethod
    def build(cls, model: Model, encoded: Encoded, catalogue: Catalogue) -> "Gallery":
        """File encoded pictures, in the order of `catalogue`, each under its predicted category."""
        lists = len(model.categories)
        index: HashIndex | FloatIndex
        if encoded.codes is None or model.bits is None:
            index = FloatIndex(encoded.embeddings.shape[1], lists)
        else:
            index = HashIndex(model.bits, lists)
        index.add(_vectors(index, encoded), encoded.predicted, np.arange(len(catalogue)))
        return cls(index, Embeddings.from_array(encoded.embeddings), catalogue, model.fingerprint())

    def __len__(self) -> int:
        return len(self.catalogue)

    @cached_property
    def rows(self) -> np.ndarray:
        """(N,) int64, ascending: the row of each line."""
        return self._contents[0]

    @cached_property
    def lists(self) -> np.ndarray:
        """(N,) int64: the list of each line, its predicted category."""
        return self._contents[1]

    @cached_property
    def codes(self) -> np.ndarray | None:
        """(N, ceil(bits / 8)) uint8: the code of each line; None without a hash layer."""
        return self._contents[2]

    @property
    def tombstones(self) -> int:
        """Embeddings of garments that were removed."""
        return len(self.embeddings) - len(self)

    def to_catalogue_rows(self, hits: Hits) -> Hits:
        """Hits by row, as an index finds them -> hits by line of the catalogue."""
        if not self.tombstones:
            return hits
        catalogue_rows = np.where(hits.rows < 0, -1, np.searchsorted(self.rows, hits.rows))
        return Hits(catalogue_rows, hits.distances)

    def add(self, encoded: Encoded, catalogue: Catalogue) -> None:
        """File further pictures, encoded by the same model, in the order of `catalogue`.

        Raises:
            ValueError: an id is there already, or pictures and lines are not as many. Nothing was added then.
        """
        self.check_new_ids(catalogue)
        embeddings = self.embeddings.concatenate(Embeddings.from_array(encoded.embeddings))
        rows = len(self.embeddings) + np.arange(len(catalogue))
        self.index.add(_vectors(self.index, encoded), encoded.predicted, rows)
        self._update(embeddings, self.catalogue.concatenate(catalogue))

    def check_new_ids(self, catalogue: Catalogue) -> None:
        """Hold ids that are to be filed to those that are.

        Raises:
            ValueError: an id is there already.
        """
        known = np.isin(catalogue.column("id").astype(str), self.catalogue.column("id").astype(str))
        if known.any():
            raise ValueError(
                f"{catalogue.column('id')[known][0]!r} is in the gallery already ({known.sum()} of {len(known)} are): "
                "remove it first, or give it another id"
            )

    def remove(self, ids: np.ndarray) -> None:
        """Take garments out, (n,) str ids; their embeddings stay as holes.

        Raises:
            ValueError: an id is not there, or stands twice. Nothing was removed then.
        """
        ids = np.asarray(ids, dtype=str)
        known_ids = self.catalogue.column("id").astype(str)
        unknown = ~np.isin(ids, known_ids)
        if unknown.any():
            raise ValueError(
                f"{str(ids[unknown][0])!r} is not in the gallery: {unknown.sum()} of {len(ids)} ids are not"
            )
        removed = np.isin(known_ids, ids)
        if removed.sum() < len(ids):
            repeated = next(name for name, count in Counter(ids.tolist()).items() if count > 1)
            raise ValueError(f"{repeated!r} stands twice among the ids: name each once")
        self.index.remove(self.rows[removed])
        self._update(self.embeddings, self.catalogue.take(np.flatnonzero(~removed)))

    def compact(self) -> None:
        """Number all rows anew, list after list, and copy the embeddings in that order into one segment in memory."""
        rows, lists, vectors = self.index.contents()
        order = np.argsort(lists, kind="stable")
        index = self.index.empty()
        index.add(vectors[order], lists[order], np.arange(len(order)))
        embeddings = self.embeddings.take(rows[order])
        self.index = index
        self._update(embeddings, self.catalogue.take(order))

    @cached_property
    def float_index(self) -> FloatIndex:
        """Embeddings by category, for exact Euclid, in memory: the index itself, or one made of the embeddings, which
        beside codes are rounded to float16."""
        if isinstance(self.index, FloatIndex):
            return self.index
        index, start = FloatIndex(self.embeddings.shape[1], self.index.lists), 0
        for block in self.embeddings.blocks():
            block_rows = np.s_[np.searchsorted(self.rows, start) : np.searchsorted(self.rows, start + len(block))]
            index.add(block[self.rows[block_rows] - start], self.lists[block_rows], self.rows[block_rows])
            start += len(block)
        return index

    def save(self, folder: Path) -> None:
        """Write what is not there yet, then the manifest that names all files; what it no longer names is removed.

        A save that is cut short leaves the old gallery whole.

        Raises:
            OSError: a file could not be written; the folder is as it was.
        """
        files.save(folder, GalleryFiles(self.index, self.embeddings, self.catalogue, self.fingerprint, self.pending))

    @classmethod
    def open(cls, folder: Path, fingerprint: str, verify: bool = False) -> "Gallery":
        """Read what `save` wrote.  Embeddings are mapped, not read.

        Args:
            folder: of the gallery.
            fingerprint: of the model that will ask.
            verify: read the embeddings through, too, and hold them to their checksums; all else always is.

        Raises:
            FileNotFoundError: there is no gallery.
            ValueError: a file is damaged, of another format, or codes are another model's.
        """
        read = files.read(folder, verify)
        files.check_fingerprint(f"the gallery in {folder}", read.fingerprint, fingerprint)
        try:
            return cls(read.index, read.embeddings, read.catalogue, fingerprint, read.pending)
        except ValueError as error:
            raise ValueError(f"the gallery in {folder} is damaged ({error}): {files.REBUILD_HINT}") from error

    @cached_property
    def _contents(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Rows, lists, and codes; no second copy of embeddings, which are large."""
        rows, lists, vectors = self.index.contents()
        return rows, lists, vectors if isinstance(self.index, HashIndex) else None

    def _update(self, embeddings: Embeddings, catalogue: Catalogue) -> None:
        """Take over what was changed, and forget what was read of it."""
        self.embeddings, self.catalogue = embeddings, catalogue
        for name in ("rows", "lists", "codes", "float_index", "_contents"):
            self.__dict__.pop(name, None)


def _vectors(index: HashIndex | FloatIndex, encoded: Encoded) -> np.ndarray:
    """What this kind of index files of encoded pictures."""
    if isinstance(index, FloatIndex):
        return encoded.embeddings
    if encoded.codes is None:
        raise ValueError("the gallery holds codes, and these pictures have none: encode them with the run's own model")
    return encoded.codes
