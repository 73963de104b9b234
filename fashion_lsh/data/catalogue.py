"""The catalogue: a table with one row per garment (image, box, labels, split), without pixels."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from fashion_lsh.data.schema import BOX_COLUMNS, COLUMNS, SPLITS, read_table, to_schema
from fashion_lsh.io.files import atomic_write

Filters = Mapping[str, Sequence[str] | None] | None  # values by column; None: any


@dataclass(frozen=True)
class Catalogue:
    """Table of garments; row numbers are positions in this table.

    Raises:
        ValueError: a column is missing or has empty or invalid cells, an id is not unique, a box is empty, a split is
            unknown.
    """

    table: pa.Table

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", to_schema(self.table))
        _check_ids(self.table["id"])
        _check_boxes(self.column("id"), self.boxes)
        unknown = sorted(set(pc.unique(self.table["split"]).to_pylist()) - {"", *SPLITS})
        if unknown:
            raise ValueError(f"split={unknown[0]!r}: unknown split; use {', '.join(SPLITS)}, or leave the cell empty")

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any] | np.ndarray]) -> "Catalogue":
        """Build a catalogue from columns by name; missing columns get their default (see COLUMNS)."""
        return cls(pa.table({name: pa.array(values) for name, values in columns.items()}))

    @classmethod
    def open(cls, path: str | Path) -> "Catalogue":
        """Read a `.parquet` file, or a `.csv` file with a header.

        Raises:
            FileNotFoundError: the file does not exist.
            ValueError: the file has another type, is damaged, or its rows are not a valid catalogue; names the file.
        """
        table = read_table(path)
        try:
            return cls(table)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write Parquet."""
        with atomic_write(path) as temporary:
            pa.parquet.write_table(self.table, temporary)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> np.ndarray:
        """(N,) values of one column: str objects, float32 or bool."""
        return np.asarray(self.table[name].to_numpy(zero_copy_only=False))

    def row(self, number: int) -> dict[str, Any]:
        """One row as a dictionary, column -> value; the cost does not depend on the number of rows."""
        return dict(self.table.slice(int(number), 1).to_pylist()[0])

    @property
    def boxes(self) -> np.ndarray:
        """(N, 4) float32 xyxy in pixels of the upright image; NaN if the garment has no box (whole image)."""
        return np.stack([self.column(name) for name in BOX_COLUMNS], axis=1).astype(np.float32)

    @property
    def categories(self) -> list[str]:
        """Names of the categories of main garments, sorted."""
        return sorted(pc.unique(self.table["category"].filter(self.table["main"])).to_pylist())

    def labels(self, categories: Sequence[str]) -> np.ndarray:
        """(N,) int64: position of each row's category in `categories`; -1 if it is not in the list."""
        position = {name: number for number, name in enumerate(categories)}
        return np.array([position.get(name, -1) for name in self.column("category")], dtype=np.int64)

    def rows(self, split: str) -> np.ndarray:
        """(n,) int64 row numbers of the main garments of one split, ascending."""
        return np.flatnonzero((self.column("split") == split) & self.column("main"))

    def take(self, rows: np.ndarray, ids: Sequence[str] | None = None) -> "Catalogue":
        """Select rows, (n,) int, in this order; `ids`, if passed, are the n new ids."""
        selected = self.table.take(pa.array(rows, pa.int64()))
        if ids is not None:
            selected = selected.set_column(selected.column_names.index("id"), "id", pa.array(ids, pa.string()))
        return Catalogue(selected)

    def concatenate(self, other: "Catalogue") -> "Catalogue":
        """Append the rows of another catalogue.

        Raises:
            ValueError: both catalogues contain the same id.
        """
        return Catalogue(pa.concat_tables([self.table, other.table]))

    def filter(self, filters: Filters) -> "Catalogue":
        """Keep the rows that have one of the given values in each filtered column.

        Raises:
            ValueError: a value does not occur in its column.
        """
        kept = self
        for name, values in (filters or {}).items():
            if values is None:
                continue
            known = set(kept.column(name))
            unknown = sorted(set(values) - known)
            if unknown:
                raise ValueError(
                    f"{name}={unknown[0]!r}: not in the data; choose from {', '.join(sorted(known - {''})) or 'none'}"
                )
            kept = kept.take(np.flatnonzero(np.isin(kept.column(name).astype(str), list(values))))
        return kept

    def with_columns(self, **columns: np.ndarray | Sequence[Any]) -> "Catalogue":
        """Return a copy with these columns replaced."""
        table = self.table
        for name, values in columns.items():
            column = pa.array(values, type=COLUMNS[name][0])
            table = table.set_column(table.column_names.index(name), name, column)
        return Catalogue(table)

    @property
    def checksum(self) -> str:
        """SHA-256 of all values, in hex; the same on every machine."""
        digest = hashlib.sha256()
        for name in COLUMNS:
            digest.update(json.dumps([name, self.column(name).tolist()]).encode())
        return digest.hexdigest()


def _check_ids(ids: pa.ChunkedArray) -> None:
    if pc.count_distinct(ids).as_py() < len(ids):
        duplicate = min(name for name, count in Counter(ids.to_pylist()).items() if count > 1)
        raise ValueError(
            f"id={duplicate!r} occurs more than once; make ids unique (if an image shows several garments, add an `id` "
            "column)"
        )


def _check_boxes(ids: np.ndarray, boxes: np.ndarray) -> None:
    has_box = ~np.isnan(boxes).all(axis=1)
    valid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])  # NaN in one corner makes this False
    if (has_box & ~valid).any():
        row = int(np.flatnonzero(has_box & ~valid)[0])
        raise ValueError(f"id={ids[row]!r}: box {boxes[row].tolist()} is empty; use x1 < x2 and y1 < y2")
