"""The catalogue: one row a garment, with all that is known of it but its pixels."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from fashion_lsh.files import written

SPLITS = ("train", "val", "query", "gallery")

# name: (type, value where the column or cell is missing)
COLUMNS: dict[str, tuple[pa.DataType, Any]] = {
    "id": (pa.string(), None),  # unique; what a user calls the garment
    "picture": (pa.string(), None),  # path below the source's root, or the source's own key
    "x1": (pa.float32(), float("nan")),  # box, pixels of the upright picture; NaN: the whole picture
    "y1": (pa.float32(), float("nan")),
    "x2": (pa.float32(), float("nan")),
    "y2": (pa.float32(), float("nan")),
    "category": (pa.string(), None),
    "item": (pa.string(), ""),  # one product; "": not known
    "group": (pa.string(), ""),  # rows that must share a split (copies, views of one garment); "": stands alone
    "split": (pa.string(), ""),  # train | val | query | gallery; "": none yet
    "view": (pa.string(), ""),  # shop | street | ""
    "source": (pa.string(), ""),
    "main": (pa.bool_(), True),  # the picture is about this garment: others in it serve the detector only
}
BOX = ("x1", "y1", "x2", "y2")


@dataclass(frozen=True)
class Catalogue:
    """Rows of garments; row numbers are positions in this table.

    Raises:
        ValueError: a column is missing, an id is empty or used twice, a box has no area, a split is unknown.
    """

    table: pa.Table

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", _complete(self.table))
        _check_ids(self.column("id"))
        _check_boxes(self.column("id"), self.boxes)
        unknown = sorted(set(self.column("split")) - {"", *SPLITS})
        if unknown:
            raise ValueError(f"split {unknown[0]!r} is unknown: give one of {', '.join(SPLITS)}, or leave it empty")

    @classmethod
    def of(cls, columns: Mapping[str, Sequence[Any] | np.ndarray]) -> "Catalogue":
        """From columns by name; those left out get their default (see COLUMNS)."""
        return cls(pa.table({name: pa.array(values) for name, values in columns.items()}))

    @classmethod
    def open(cls, path: str | Path) -> "Catalogue":
        """Read `*.parquet`, or `*.csv` with a header line.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is neither, or a column is missing.
        """
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"no catalogue at {path}: give a .parquet or .csv file")
        if path.suffix == ".parquet":
            return cls(pa.parquet.read_table(path))
        if path.suffix == ".csv":
            text = dict.fromkeys((name for name, (kind, _) in COLUMNS.items() if kind == pa.string()), pa.string())
            options = pa.csv.ConvertOptions(column_types=text, strings_can_be_null=False)
            parse = pa.csv.ParseOptions(newlines_in_values=True)
            return cls(pa.csv.read_csv(path, parse_options=parse, convert_options=options))
        raise ValueError(f"{path} is no catalogue: give a .parquet or .csv file")

    def save(self, path: str | Path) -> None:
        """Write Parquet."""
        with written(path) as draft:
            pa.parquet.write_table(self.table, draft)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def column(self, name: str) -> np.ndarray:
        """(N,) values of one column: str objects, float32 or bool."""
        return np.asarray(self.table[name].to_numpy(zero_copy_only=False))

    @property
    def boxes(self) -> np.ndarray:
        """(N, 4) float32 xyxy in pixels of the upright picture; NaN where the whole picture is the garment."""
        return np.stack([self.column(name) for name in BOX], axis=1).astype(np.float32)

    @property
    def categories(self) -> list[str]:
        """Names of the categories that occur, sorted."""
        return sorted(set(self.column("category")))

    def labels(self, categories: Sequence[str]) -> np.ndarray:
        """(N,) int64: each row's position in `categories`.

        Raises:
            ValueError: a row's category is not among them.
        """
        position = {name: number for number, name in enumerate(categories)}
        unknown = sorted(set(self.categories) - set(position))
        if unknown:
            raise ValueError(f"category {unknown[0]!r} is unknown here: known are {', '.join(categories)}")
        return np.array([position[name] for name in self.column("category")], dtype=np.int64)

    def rows(self, split: str) -> np.ndarray:
        """(n,) int64 row numbers of the main garments of one split, ascending."""
        return np.flatnonzero((self.column("split") == split) & self.column("main"))

    def take(self, rows: np.ndarray) -> "Catalogue":
        """The given rows, in the given order."""
        return Catalogue(self.table.take(pa.array(rows)))

    def having(self, **columns: np.ndarray | Sequence[Any]) -> "Catalogue":
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
            values = self.column(name)
            digest.update(values.tobytes() if values.dtype != object else "\0".join(values).encode())
        return digest.hexdigest()


def _complete(table: pa.Table) -> pa.Table:
    """Bring a table to the columns and types of COLUMNS; other columns are dropped."""
    if "picture" in table.column_names and "id" not in table.column_names:
        table = table.append_column("id", table["picture"])
    columns = {}
    for name, (kind, default) in COLUMNS.items():
        if name not in table.column_names:
            if default is None:
                raise ValueError(f"the catalogue has no column {name!r}: it has {', '.join(table.column_names)}")
            columns[name] = pa.array([default] * table.num_rows, type=kind)
            continue
        column = table[name].cast(kind).combine_chunks()
        if default is None and column.null_count:
            raise ValueError(f"column {name!r} of the catalogue has {column.null_count} empty cells: fill them")
        columns[name] = column if default is None else column.fill_null(default)
    return pa.table(columns)


def _check_ids(ids: np.ndarray) -> None:
    names, counts = np.unique(ids.astype(str), return_counts=True)
    if "" in names:
        raise ValueError("a row of the catalogue has an empty id: give each garment its own")
    if (counts > 1).any():
        raise ValueError(f"id {str(names[counts > 1][0])!r} stands in the catalogue more than once: ids must be unique")


def _check_boxes(ids: np.ndarray, boxes: np.ndarray) -> None:
    given = ~np.isnan(boxes).all(axis=1)
    good = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])  # NaN in one corner makes this False
    if (given & ~good).any():
        row = int(np.flatnonzero(given & ~good)[0])
        raise ValueError(f"box {boxes[row].tolist()} of {ids[row]!r} has no area: give x1 y1 x2 y2, x2 > x1, y2 > y1")
