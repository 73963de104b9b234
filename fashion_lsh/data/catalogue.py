"""Catalogue: table of garments with image key, box, labels and split, without pixels."""

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

Filters = Mapping[str, Sequence[str] | None] | None  # column -> allowed values; None: all values


@dataclass(frozen=True)
class Catalogue:
    """Table with one row per garment; a row number is a position in the table.

    The columns of COLUMNS come first. A user's further columns (price, colour, …) follow, see `to_schema`.

    Raises:
        ValueError: a column is missing or has empty or invalid cells, an id is not unique, a box has no area, or a
            split is unknown.
    """

    table: pa.Table

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", to_schema(self.table))
        _check_ids(self.table["id"])
        _check_boxes(self.column("id"), self.boxes)
        unknown_splits = sorted(set(pc.unique(self.table["split"]).to_pylist()) - {"", *SPLITS})
        if unknown_splits:
            raise ValueError(
                f"split={unknown_splits[0]!r}: unknown split; use {', '.join(SPLITS)}, or leave the cell empty"
            )

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any] | np.ndarray]) -> "Catalogue":
        """Build a catalogue from columns: name -> values; a missing column gets its default (see COLUMNS)."""
        return cls(pa.table({name: pa.array(values) for name, values in columns.items()}))

    @classmethod
    def open(cls, path: str | Path) -> "Catalogue":
        """Read a `.parquet` file, or a `.csv` file with a header.

        Raises:
            FileNotFoundError: the file does not exist.
            ValueError: the file has another type or is damaged, or its rows are not a valid catalogue.
        """
        table = read_table(path)
        try:
            return cls(table)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write the catalogue to a Parquet file."""
        with atomic_write(path) as temporary:
            pa.parquet.write_table(self.table, temporary)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> np.ndarray:
        """Return one column, (N,): str objects, float32 or bool; of a further column also int64, float64 or None."""
        return np.asarray(self.table[name].to_numpy(zero_copy_only=False))

    def row(self, number: int) -> dict[str, Any]:
        """Return one row as a dictionary, column -> value, in constant time."""
        return dict(self.table.slice(int(number), 1).to_pylist()[0])

    @property
    def boxes(self) -> np.ndarray:
        """Boxes (N, 4), float32 xyxy in pixels with the EXIF orientation applied; NaN: no box (the whole image)."""
        return np.stack([self.column(name) for name in BOX_COLUMNS], axis=1).astype(np.float32)

    @property
    def categories(self) -> list[str]:
        """Sorted category names of the main garments."""
        return sorted(pc.unique(self.table["category"].filter(self.table["main"])).to_pylist())

    def labels(self, categories: Sequence[str]) -> np.ndarray:
        """Position of each row's category in `categories`, (N,) int64; -1 for a category not in `categories`."""
        positions = {name: position for position, name in enumerate(categories)}
        return np.array([positions.get(name, -1) for name in self.column("category")], dtype=np.int64)

    def rows(self, split: str) -> np.ndarray:
        """Row numbers of the main garments of one split, (n,) int64, ascending."""
        return np.flatnonzero((self.column("split") == split) & self.column("main"))

    def take(self, rows: np.ndarray, ids: Sequence[str] | None = None) -> "Catalogue":
        """Select rows, (n,) int, in this order.

        Args:
            rows: row numbers; a row may be repeated if `ids` is passed.
            ids: n new ids; None: keep the ids.
        """
        selected = self.table.take(pa.array(rows, pa.int64()))
        if ids is not None:
            selected = selected.set_column(selected.column_names.index("id"), "id", pa.array(ids, pa.string()))
        return Catalogue(selected)

    def concatenate(self, other: "Catalogue") -> "Catalogue":
        """Append the rows of another catalogue; a further column that one of both lacks is null in its rows.

        Raises:
            ValueError: both catalogues contain the same id, or a further column has types that cannot be combined.
        """
        try:
            table = pa.concat_tables([self.table, other.table], promote_options="permissive")
        except pa.ArrowException as error:
            raise ValueError(f"{error}; convert the column to one type, or rename it") from error
        return Catalogue(table)

    def filter(self, filters: Filters) -> "Catalogue":
        """Select the rows with an allowed value in each filtered column.

        Raises:
            ValueError: a value does not occur in its column.
        """
        selected = self
        for name, values in (filters or {}).items():
            if values is None:
                continue
            existing_values = set(selected.column(name))
            unknown_values = sorted(set(values) - existing_values)
            if unknown_values:
                choices = ", ".join(sorted(existing_values - {""})) or "none"
                raise ValueError(f"{name}={unknown_values[0]!r}: not in the data; choose from {choices}")
            selected = selected.take(np.flatnonzero(np.isin(selected.column(name).astype(str), list(values))))
        return selected

    def with_columns(self, **columns: np.ndarray | Sequence[Any]) -> "Catalogue":
        """Return a copy with these columns replaced."""
        table = self.table
        for name, values in columns.items():
            column = pa.array(values, type=COLUMNS[name][0])
            table = table.set_column(table.column_names.index(name), name, column)
        return Catalogue(table)

    @property
    def checksum(self) -> str:
        """SHA-256 of all values in the columns of COLUMNS, in hex; equal on all machines.

        Further columns take no part: a changed price does not require a new training.
        """
        digest = hashlib.sha256()
        for name in COLUMNS:
            digest.update(json.dumps([name, self.column(name).tolist()]).encode())
        return digest.hexdigest()


def _check_ids(ids: pa.ChunkedArray) -> None:
    if pc.count_distinct(ids).as_py() < len(ids):
        duplicate = min(name for name, count in Counter(ids.to_pylist()).items() if count > 1)
        raise ValueError(
            f"id={duplicate!r} occurs more than once; make the ids unique (if an image shows several garments, add a "
            "column `id`)"
        )


def _check_boxes(ids: np.ndarray, boxes: np.ndarray) -> None:
    has_box = ~np.isnan(boxes).all(axis=1)
    is_valid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])  # comparisons with NaN are False
    if (has_box & ~is_valid).any():
        row = int(np.flatnonzero(has_box & ~is_valid)[0])
        raise ValueError(f"id={ids[row]!r}: box {boxes[row].tolist()} has no area; use x1 < x2 and y1 < y2")
