"""The catalogue: one row a garment, with all that is known of it but its pixels."""

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
    """Rows of garments; row numbers are positions in this table.

    Raises:
        ValueError: a column is missing or has empty or unfit cells, an id is used twice, a box has no area, a split
            is unknown.
    """

    table: pa.Table

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", to_schema(self.table))
        _check_ids(self.table["id"])
        _check_boxes(self.column("id"), self.boxes)
        unknown = sorted(set(pc.unique(self.table["split"]).to_pylist()) - {"", *SPLITS})
        if unknown:
            raise ValueError(f"split {unknown[0]!r} is unknown: give one of {', '.join(SPLITS)}, or leave it empty")

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any] | np.ndarray]) -> "Catalogue":
        """From columns by name; those left out get their default (see COLUMNS)."""
        return cls(pa.table({name: pa.array(values) for name, values in columns.items()}))

    @classmethod
    def open(cls, path: str | Path) -> "Catalogue":
        """Read `*.parquet`, or `*.csv` with a header line.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is neither, it is damaged, or its rows make no catalogue; names the file.
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
        """The values of one row by column, whatever the number of rows."""
        return dict(self.table.slice(int(number), 1).to_pylist()[0])

    @property
    def boxes(self) -> np.ndarray:
        """(N, 4) float32 xyxy in pixels of the upright picture; NaN where the whole picture is the garment."""
        return np.stack([self.column(name) for name in BOX_COLUMNS], axis=1).astype(np.float32)

    @property
    def categories(self) -> list[str]:
        """Names of the categories of main garments, sorted."""
        return sorted(pc.unique(self.table["category"].filter(self.table["main"])).to_pylist())

    def labels(self, categories: Sequence[str]) -> np.ndarray:
        """(N,) int64: each row's position in `categories`; -1 for what is of none of them."""
        position = {name: number for number, name in enumerate(categories)}
        return np.array([position.get(name, -1) for name in self.column("category")], dtype=np.int64)

    def rows(self, split: str) -> np.ndarray:
        """(n,) int64 row numbers of the main garments of one split, ascending."""
        return np.flatnonzero((self.column("split") == split) & self.column("main"))

    def take(self, rows: np.ndarray, ids: Sequence[str] | None = None) -> "Catalogue":
        """The given rows, (n,) int, in the given order, under other ids where n are given."""
        selected = self.table.take(pa.array(rows, pa.int64()))
        if ids is not None:
            selected = selected.set_column(selected.column_names.index("id"), "id", pa.array(ids, pa.string()))
        return Catalogue(selected)

    def concatenate(self, other: "Catalogue") -> "Catalogue":
        """These rows, then those of another catalogue.

        Raises:
            ValueError: an id is in both.
        """
        return Catalogue(pa.concat_tables([self.table, other.table]))

    def filter(self, filters: Filters) -> "Catalogue":
        """The rows whose columns hold one of the values wanted.

        Raises:
            ValueError: a value occurs nowhere.
        """
        kept = self
        for name, values in (filters or {}).items():
            if values is None:
                continue
            known = set(kept.column(name))
            unknown = sorted(set(values) - known)
            if unknown:
                raise ValueError(
                    f"{name} {unknown[0]!r} is unknown; known are {', '.join(sorted(known - {''})) or 'none'}"
                )
            kept = kept.take(np.flatnonzero(np.isin(kept.column(name).astype(str), list(values))))
        return kept

    def with_columns(self, **columns: np.ndarray | Sequence[Any]) -> "Catalogue":
        """The same rows with these columns replaced."""
        table = self.table
        for name, values in columns.items():
            column = pa.array(values, type=COLUMNS[name][0])
            table = table.set_column(table.column_names.index(name), name, column)
        return Catalogue(table)

    @property
    def checksum(self) -> str:
        """SHA-256 over all values, in hex: the same rows and splits give the same text on every machine."""
        digest = hashlib.sha256()
        for name in COLUMNS:
            digest.update(json.dumps([name, self.column(name).tolist()]).encode())
        return digest.hexdigest()


def _check_ids(ids: pa.ChunkedArray) -> None:
    if pc.count_distinct(ids).as_py() < len(ids):
        duplicate = min(name for name, count in Counter(ids.to_pylist()).items() if count > 1)
        raise ValueError(
            f"id {duplicate!r} stands in the catalogue more than once: ids must be unique; where a "
            "picture shows two garments, give them a column `id`"
        )


def _check_boxes(ids: np.ndarray, boxes: np.ndarray) -> None:
    has_box = ~np.isnan(boxes).all(axis=1)
    valid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])  # NaN in one corner makes this False
    if (has_box & ~valid).any():
        row = int(np.flatnonzero(has_box & ~valid)[0])
        raise ValueError(f"box {boxes[row].tolist()} of {ids[row]!r} has no area: give x1 y1 x2 y2, x2 > x1, y2 > y1")
