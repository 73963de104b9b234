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
import pyarrow.csv
import pyarrow.parquet

from fashion_lsh.files import written

SPLITS = ("train", "val", "query", "gallery")

# name: (type, value where the column or cell is missing)
COLUMNS: dict[str, tuple[pa.DataType, Any]] = {
    "id": (pa.string(), None),  # unique; what a user calls the garment; left out: the picture's name
    "picture": (pa.string(), None),  # path below the source's root, or the source's own key
    "x1": (pa.float32(), float("nan")),  # box, pixels of the upright picture; NaN: the whole picture
    "y1": (pa.float32(), float("nan")),
    "x2": (pa.float32(), float("nan")),
    "y2": (pa.float32(), float("nan")),
    "category": (pa.string(), None),
    "supercategory": (pa.string(), ""),  # a kind of categories; "": not known
    "item": (pa.string(), ""),  # one product; "": not known
    "group": (pa.string(), ""),  # rows that must share a split (copies, views of one garment); "": stands alone
    "split": (pa.string(), ""),  # train | val | query | gallery; "": none yet
    "view": (pa.string(), ""),  # shop | street | ""
    "source": (pa.string(), ""),
    "main": (pa.bool_(), True),  # the picture is about this garment: others in it neither train nor are searched
}
BOX = ("x1", "y1", "x2", "y2")
Wanted = Mapping[str, Sequence[str] | None] | None  # values by column; None: any
OTHER_NAMES = {"path": "picture", "label": "category", "near_dup_group": "group"}  # that columns have in manifests


@dataclass(frozen=True)
class Catalogue:
    """Rows of garments; row numbers are positions in this table.

    Raises:
        ValueError: a column is missing or has empty or unfit cells, an id is used twice, a box has no area, a split
            is unknown.
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
            ValueError: it is neither, it is damaged, or its rows make no catalogue; names the file.
        """
        table = read_table(path)
        try:
            return cls(table)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

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
        """The given rows, in the given order; one that is taken a second time is the garment `<id>#2`, and so on."""
        taken = self.table.take(pa.array(rows, pa.int64()))
        if len(np.unique(rows)) < len(rows):
            at = taken.column_names.index("id")
            taken = taken.set_column(at, "id", pa.array(_numbered(taken["id"].to_pylist())))
        return Catalogue(taken)

    def joined(self, other: "Catalogue") -> "Catalogue":
        """These rows, then those of another catalogue.

        Raises:
            ValueError: an id is in both.
        """
        return Catalogue(pa.concat_tables([self.table, other.table]))

    def only(self, wanted: Wanted) -> "Catalogue":
        """The rows whose columns hold one of the values wanted.

        Raises:
            ValueError: a value occurs nowhere.
        """
        kept = self
        for name, values in (wanted or {}).items():
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
            digest.update(json.dumps([name, self.column(name).tolist()]).encode())
        return digest.hexdigest()


def read_table(path: str | Path) -> pa.Table:
    """Read `*.parquet`, or `*.csv` with a header line; columns of OTHER_NAMES get the catalogue's names.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is neither, or it is damaged; names the file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no catalogue at {path}: give a .parquet or .csv file")
    if path.suffix.lower() not in (".parquet", ".csv"):
        raise ValueError(f"{path} is no catalogue: give a .parquet or .csv file")
    try:
        table = _read_csv(path) if path.suffix.lower() == ".csv" else pa.parquet.read_table(path)
    except (ValueError, OSError, pa.ArrowException) as error:  # pyarrow has all three for a damaged file
        hint = ": save it as CSV in UTF-8" if "UTF8" in str(error) else ""
        raise ValueError(f"{path}: {error}{hint}") from error
    if table.num_columns == 1 and any(sign in table.column_names[0] for sign in ";\t"):
        raise ValueError(f"{path} has one column, {table.column_names[0]!r}: part its cells by commas")
    table = table.rename_columns([name.strip() for name in table.column_names])
    taken = set(table.column_names)
    if len(taken) < table.num_columns:
        raise ValueError(f"{path}: a name stands twice among its columns {', '.join(table.column_names)}: rename one")
    return table.rename_columns([_renamed(name, taken) for name in table.column_names])


def _renamed(column: str, taken: set[str]) -> str:
    name = OTHER_NAMES.get(column, column)
    return column if name in taken else name


def _read_csv(path: Path) -> pa.Table:
    """Text columns stay text (`007`), empty cells and all."""
    text = {name: kind for name, (kind, _) in COLUMNS.items() if kind == pa.string()}
    text |= {other: COLUMNS[name][0] for other, name in OTHER_NAMES.items()}
    convert = pa.csv.ConvertOptions(column_types=text, strings_can_be_null=False)
    return pa.csv.read_csv(path, parse_options=pa.csv.ParseOptions(newlines_in_values=True), convert_options=convert)


def _complete(table: pa.Table) -> pa.Table:
    """Bring a table to the columns and types of COLUMNS; other columns are dropped."""
    columns = {name: _column(table, name) for name in COLUMNS if name != "id"}
    columns["id"] = _column(table, "id") if "id" in table.column_names else columns["picture"]
    return pa.table({name: columns[name] for name in COLUMNS})


def _column(table: pa.Table, name: str) -> pa.Array | pa.ChunkedArray:
    """One column in its type, its empty cells filled with the default."""
    kind, default = COLUMNS[name]
    count = table.column_names.count(name)
    if count == 0 and default is not None:
        return pa.repeat(pa.scalar(default, kind), table.num_rows)
    if count != 1:
        has = ", ".join(table.column_names)
        raise ValueError(f"a catalogue needs one column {name!r}, here are {count}: its columns are {has}")
    try:
        column = table[name].cast(kind).combine_chunks()
    except pa.ArrowException as error:
        raise ValueError(f"column {name!r} of the catalogue holds what is no {kind} ({error}): correct it") from error
    if default is not None:
        return column.fill_null(default)
    empty = column.null_count + (pc.sum(pc.equal(column, "")).as_py() or 0)
    if empty:
        raise ValueError(f"column {name!r} of the catalogue has {empty} empty cells: fill them")
    return column


def _numbered(names: Sequence[str]) -> list[str]:
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(f"{name}#{seen[name]}" if seen[name] > 1 else name)
    return numbered


def _check_ids(ids: np.ndarray) -> None:
    if len(set(ids)) < len(ids):
        twice = min(name for name, count in Counter(ids).items() if count > 1)
        raise ValueError(
            f"id {twice!r} stands in the catalogue more than once: ids must be unique; where a "
            "picture shows two garments, give them a column `id`"
        )


def _check_boxes(ids: np.ndarray, boxes: np.ndarray) -> None:
    given = ~np.isnan(boxes).all(axis=1)
    good = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])  # NaN in one corner makes this False
    if (given & ~good).any():
        row = int(np.flatnonzero(given & ~good)[0])
        raise ValueError(f"box {boxes[row].tolist()} of {ids[row]!r} has no area: give x1 y1 x2 y2, x2 > x1, y2 > y1")
