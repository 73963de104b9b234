"""The columns of a catalogue, and the files they are read from."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from fashion_lsh.io.files import csv_rows

SPLITS = ("train", "val", "query", "gallery")

# name: (type, value where the column or cell is missing)
COLUMNS: dict[str, tuple[pa.DataType, Any]] = {
    "id": (pa.string(), None),  # unique; what a user calls the garment; left out: the picture's name
    "image": (pa.string(), None),  # path below the source's root, or the source's own key
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
BOX_COLUMNS = ("x1", "y1", "x2", "y2")
MAX_COORDINATE = 1e6  # pixels from the corner; no picture is so large
COLUMN_ALIASES = {"path": "image", "picture": "image", "label": "category", "near_dup_group": "group"}


def parse_box(values: Any) -> tuple[float, float, float, float] | None:
    """x1, y1, x2, y2 of four numbers, or texts that are some (`065`); None: it is no box, or has no area."""
    try:
        x1, y1, x2, y2 = map(float, values)
    except (TypeError, ValueError):
        return None
    valid = -MAX_COORDINATE < x1 < x2 < MAX_COORDINATE and -MAX_COORDINATE < y1 < y2 < MAX_COORDINATE  # NaN is not
    return (x1, y1, x2, y2) if valid else None


def box_columns(boxes: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of BOX, (N,) each, of boxes (N, 4)."""
    return dict(zip(BOX_COLUMNS, boxes.T, strict=True))


def read_table(path: str | Path) -> pa.Table:
    """Read `*.parquet`, or `*.csv` with a header line; columns of COLUMN_ALIASES get the catalogue's names.

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
    if table.num_columns == 1 and any(separator in table.column_names[0] for separator in ";\t"):
        raise ValueError(f"{path} has one column, {table.column_names[0]!r}: part its cells by commas")
    table = table.rename_columns([name.strip() for name in table.column_names])
    existing = set(table.column_names)
    if len(existing) < table.num_columns:
        raise ValueError(f"{path}: a name stands twice among its columns {', '.join(table.column_names)}: rename one")
    return table.rename_columns([_canonical_name(name, existing) for name in table.column_names])


def _canonical_name(column: str, existing: set[str]) -> str:
    name = COLUMN_ALIASES.get(column, column)
    return column if name in existing else name


def _read_csv(path: Path) -> pa.Table:
    """Text columns stay text (`007`), empty cells and all.  ValueError: a quote is not closed."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        for _ in csv_rows(file):  # where one is not, pyarrow takes the rows after it for one cell, without a word
            pass
    text_types = {name: dtype for name, (dtype, _) in COLUMNS.items() if dtype == pa.string()}
    text_types |= {alias: COLUMNS[name][0] for alias, name in COLUMN_ALIASES.items()}
    convert = pa.csv.ConvertOptions(column_types=text_types, strings_can_be_null=False)
    return pa.csv.read_csv(path, parse_options=pa.csv.ParseOptions(newlines_in_values=True), convert_options=convert)


def to_schema(table: pa.Table) -> pa.Table:
    """Bring a table to the columns and types of COLUMNS; other columns are dropped."""
    columns = {name: _column(table, name) for name in COLUMNS if name != "id"}
    columns["id"] = _column(table, "id") if "id" in table.column_names else columns["image"]
    return pa.table({name: columns[name] for name in COLUMNS})


def _column(table: pa.Table, name: str) -> pa.Array | pa.ChunkedArray:
    """One column in its type, its empty cells filled with the default."""
    dtype, default = COLUMNS[name]
    count = table.column_names.count(name)
    if count == 0 and default is not None:
        return pa.repeat(pa.scalar(default, dtype), table.num_rows)
    if count != 1:
        names = ", ".join(table.column_names)
        raise ValueError(f"a catalogue needs one column {name!r}, here are {count}: its columns are {names}")
    try:
        column = table[name].cast(dtype).combine_chunks()
    except pa.ArrowException as error:
        raise ValueError(f"column {name!r} of the catalogue holds what is no {dtype} ({error}): correct it") from error
    if default is not None:
        return column.fill_null(default)
    empty = column.null_count + (pc.sum(pc.equal(column, "")).as_py() or 0)
    if empty:
        raise ValueError(f"column {name!r} of the catalogue has {empty} empty cells: fill them")
    return column
