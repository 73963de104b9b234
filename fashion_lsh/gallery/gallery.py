"""Gallery: index, embeddings and catalogue, which are updated at the same time."""

from collections import Counter
from functools import cached_property
from pathlib import Path

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.gallery import files as files
from fashion_lsh.gallery.embeddings import Embeddings
from fashion_lsh.gallery.files import GalleryFiles
from fashion_lsh.index.asymmetric import CodeLists
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.indexes import FloatIndex, HashIndex
from fashion_lsh.models.encoding import Encoded, Model


class Gallery:
    """Searchable gallery of garments.

    The index row of a garment is the position of its embedding. The embedding of a removed garment remains as a
    tombstone until `compact` renumbers all rows. The catalogue contains the garments that were not removed, in the
    order of their index rows. The class is not thread-safe: do not update a gallery during a search.

    Args:
        index: index of codes, or of embeddings for a model without a hash layer, with one list per predicted category.
        embeddings: (R, D) embeddings for re-ranking, by index row; (R, 0) for a gallery that stores none.
        catalogue: N <= R rows with the metadata of the garments.
        fingerprint: fingerprint of the model that computed codes and embeddings.
        pending_keys: keys of the additions that were interrupted, hashes of their `root` paths (see `updates.add`).

    Raises:
        ValueError: the sizes of index, embeddings and catalogue do not match.
    """

    def __init__(
        self,
        index: HashIndex | FloatIndex,
        embeddings: Embeddings,
        catalogue: Catalogue,
        fingerprint: str,
        pending_keys: frozenset[str] = frozenset(),
    ) -> None:
        self.index, self.embeddings, self.catalogue = index, embeddings, catalogue
        self.fingerprint, self.pending_keys = fingerprint, pending_keys
        if len(index) != len(catalogue) or self.rows.max(initial=-1) >= len(embeddings):
            raise ValueError(
                f"index has {len(index)} rows up to {self.rows.max(initial=-1)}, catalogue {len(catalogue)} rows, "
                f"embeddings {len(embeddings)} rows; pass those of the same gallery"
            )

    @classmethod
    def build(cls, model: Model, encoded: Encoded, catalogue: Catalogue, store_embeddings: bool = True) -> "Gallery":
        """Build a gallery: assign each encoded garment to the inverted list of its predicted category.

        Args:
            model: model that encoded the garments.
            encoded: N encoded garments.
            catalogue: N catalogue rows, in the order of `encoded`.
            store_embeddings: store embeddings; without them, search by `hamming` or `asymmetric` distance only.
        """
        num_lists = len(model.categories)
        index: HashIndex | FloatIndex
        if encoded.codes is None or model.bits is None:
            index = FloatIndex(encoded.embeddings.shape[1], num_lists)
        else:
            index = HashIndex(model.bits, num_lists)
        index.add(_vectors(index, encoded), encoded.predicted, np.arange(len(catalogue)))
        stored = encoded.embeddings if store_embeddings else encoded.embeddings[:, :0]
        return cls(index, Embeddings.from_array(stored), catalogue, model.fingerprint())

    def __len__(self) -> int:
        return len(self.catalogue)

    @cached_property
    def rows(self) -> np.ndarray:
        """Index row of each catalogue row: (N,) int64, ascending."""
        return self._contents[0]

    @cached_property
    def lists(self) -> np.ndarray:
        """List id (predicted category) of each catalogue row: (N,) int64."""
        return self._contents[1]

    @cached_property
    def codes(self) -> np.ndarray | None:
        """Code of each catalogue row: (N, ⌈bits/8⌉) uint8; None without a hash layer."""
        return self._contents[2]

    @property
    def has_embeddings(self) -> bool:
        """True if the gallery stores embeddings, for search by embeddings or for re-ranking."""
        return self.embeddings.shape[1] > 0

    @property
    def tombstones(self) -> int:
        """Number of embeddings of removed garments."""
        return len(self.embeddings) - len(self)

    def to_catalogue_rows(self, hits: Hits) -> Hits:
        """Convert hits from index rows to catalogue rows."""
        if not self.tombstones:
            return hits
        catalogue_rows = np.where(hits.rows < 0, -1, np.searchsorted(self.rows, hits.rows))
        return Hits(catalogue_rows, hits.distances)

    def add(self, encoded: Encoded, catalogue: Catalogue) -> None:
        """Add garments that were encoded by the same model, with their catalogue rows in the order of `encoded`.

        Raises:
            ValueError: an id is already in the gallery, or the numbers of codes and catalogue rows differ. The
                gallery is unchanged.
        """
        self.check_new_ids(catalogue)
        stored = encoded.embeddings if self.has_embeddings else encoded.embeddings[:, :0]
        embeddings = self.embeddings.concatenate(Embeddings.from_array(stored))
        rows = len(self.embeddings) + np.arange(len(catalogue))
        self.index.add(_vectors(self.index, encoded), encoded.predicted, rows)
        self._update(embeddings, self.catalogue.concatenate(catalogue))

    def check_new_ids(self, catalogue: Catalogue) -> None:
        """Check that no id of `catalogue` is in the gallery.

        Raises:
            ValueError: an id is already in the gallery.
        """
        is_indexed = np.isin(catalogue.column("id").astype(str), self.catalogue.column("id").astype(str))
        if is_indexed.any():
            raise ValueError(
                f"{is_indexed.sum():,} of {len(is_indexed):,} ids are already in the gallery, for example "
                f"{catalogue.column('id')[is_indexed][0]!r}; remove them first, rename the files, "
                "or pass a manifest with a column 'id' (the default id of an image is its path below the folder)"
            )

    def remove(self, ids: np.ndarray) -> None:
        """Remove garments by id, (n,) str; their embeddings become tombstones.

        Raises:
            ValueError: an id is not in the gallery or is repeated. The gallery is unchanged.
        """
        ids = np.asarray(ids, dtype=str)
        indexed_ids = self.catalogue.column("id").astype(str)
        is_missing = ~np.isin(ids, indexed_ids)
        if is_missing.any():
            raise ValueError(
                f"id={str(ids[is_missing][0])!r} is not in the gallery ({is_missing.sum()} of {len(ids)} ids are not); "
                "pass only ids of the gallery"
            )
        is_removed = np.isin(indexed_ids, ids)
        if is_removed.sum() < len(ids):
            repeated_id = next(name for name, count in Counter(ids.tolist()).items() if count > 1)
            raise ValueError(f"id={repeated_id!r} is repeated; pass each id once")
        self.index.remove(self.rows[is_removed])
        self._update(self.embeddings, self.catalogue.take(np.flatnonzero(~is_removed)))

    def compact(self) -> None:
        """Renumber all rows, list after list, and copy the embeddings in that order to one segment in memory."""
        rows, list_ids, vectors = self.index.contents()
        order = np.argsort(list_ids, kind="stable")
        index = self.index.empty()
        index.add(vectors[order], list_ids[order], np.arange(len(order)))
        embeddings = self.embeddings.take(rows[order])
        self.index = index
        self._update(embeddings, self.catalogue.take(order))

    @cached_property
    def float_index(self) -> FloatIndex:
        """Index of the embeddings, in memory, for exact search by Euclidean distance.

        For a gallery of codes, the index is built from `embeddings`, which are rounded to float16.
        """
        if isinstance(self.index, FloatIndex):
            return self.index
        index, start = FloatIndex(self.embeddings.shape[1], self.index.num_lists), 0
        for block in self.embeddings.blocks():
            block_rows = np.s_[np.searchsorted(self.rows, start) : np.searchsorted(self.rows, start + len(block))]
            index.add(block[self.rows[block_rows] - start], self.lists[block_rows], self.rows[block_rows])
            start += len(block)
        return index

    @cached_property
    def code_lists(self) -> CodeLists:
        """Codes list after list, in memory, for search by asymmetric distance.  Raises ValueError without codes."""
        if not isinstance(self.index, HashIndex):
            raise ValueError("search=asymmetric needs codes, but the gallery has none; set search=euclidean")
        return CodeLists.from_index(self.index)

    def save(self, folder: Path) -> None:
        """Write new files, then the manifest, then delete the files that are no longer in the manifest.

        An interrupted save leaves the old or the new gallery.

        Raises:
            OSError: a file could not be written; the gallery in the folder is unchanged.
        """
        files.save(
            folder, GalleryFiles(self.index, self.embeddings, self.catalogue, self.fingerprint, self.pending_keys)
        )

    @classmethod
    def open(cls, folder: str | Path, fingerprint: str | None, verify_embeddings: bool = False) -> "Gallery":
        """Open a gallery written by `save`.  Embeddings are memory-mapped.

        Args:
            folder: folder of the gallery.
            fingerprint: fingerprint of the model in use; None to read the gallery without a model.
            verify_embeddings: verify the checksums of the embeddings too, which reads all embeddings. The checksums of
                other files are always verified.

        Raises:
            FileNotFoundError: the folder has no gallery.
            ValueError: a file is damaged or has another format, or another model built the gallery.
        """
        contents = files.read(Path(folder), verify_embeddings)
        if fingerprint is not None:
            files.check_fingerprint(f"the gallery in {folder}", contents.fingerprint, fingerprint)
        try:
            return cls(
                contents.index, contents.embeddings, contents.catalogue, contents.fingerprint, contents.pending_keys
            )
        except ValueError as error:
            raise ValueError(f"the gallery in {folder} is damaged ({error}); {files.REBUILD_HINT}") from error

    @cached_property
    def _contents(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Rows, list ids and codes; embeddings, which need much memory, are not copied."""
        rows, list_ids, vectors = self.index.contents()
        return rows, list_ids, vectors if isinstance(self.index, HashIndex) else None

    def _update(self, embeddings: Embeddings, catalogue: Catalogue) -> None:
        """Replace embeddings and catalogue, and clear cached properties."""
        self.embeddings, self.catalogue = embeddings, catalogue
        for name in ("rows", "lists", "codes", "float_index", "code_lists", "_contents"):
            self.__dict__.pop(name, None)


def _vectors(index: HashIndex | FloatIndex, encoded: Encoded) -> np.ndarray:
    """Select the embeddings or the codes, as the index requires."""
    if isinstance(index, FloatIndex):
        return encoded.embeddings
    if encoded.codes is None:
        raise ValueError("encoded.codes=None, but the gallery stores codes; encode the images with the run's own model")
    return encoded.codes
