"""Catalogue schema: columns, types and defaults; a user's further columns; read catalogue files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
import pyarrow.types as types

from fashion_lsh.io.files import csv_rows

SPLITS = ("train", "val", "query", "gallery")

# column -> (type, default for a missing column or cell; None: no default)
COLUMNS: dict[str, tuple[pa.DataType, Any]] = {
    "id": (pa.string(), None),  # unique name of the garment; if the column is missing, the image key is used
    "image": (pa.string(), None),  # image key: path relative to the root of the source, or a key of the source
    "x1": (pa.float32(), float("nan")),  # box in pixels, with the EXIF orientation applied; NaN: the whole image
    "y1": (pa.float32(), float("nan")),
    "x2": (pa.float32(), float("nan")),
    "y2": (pa.float32(), float("nan")),
    "category": (pa.string(), None),
    "supercategory": (pa.string(), ""),  # group of categories; "": unknown
    "item": (pa.string(), ""),  # product; "": unknown
    "group": (
        pa.string(),
        "",
    ),  # copies or views of a garment, which must not be in both training and test splits; "": none
    "split": (pa.string(), ""),  # train | val | query | gallery; "": not assigned
    "view": (pa.string(), ""),  # shop | street | ""
    "source": (pa.string(), ""),
    "main": (
        pa.bool_(),
        True,
    ),  # False: for the detector only, neither trained on, queried nor in the gallery
}
BOX_COLUMNS = ("x1", "y1", "x2", "y2")
MAX_COORDINATE = 1e6  # pixels; larger coordinates are errors
FURTHER_TYPES = (  # (test of a type, type in which a user's further column is stored); other columns are not kept
    (types.is_null, pa.null()), (types.is_boolean, pa.bool_()), (types.is_integer, pa.int64()),
    (types.is_float64, pa.float64()), (types.is_floating, pa.float32()), (types.is_decimal, pa.float64()),
    (types.is_string, pa.string()), (types.is_large_string, pa.string()), (types.is_string_view, pa.string()),
    (types.is_date, pa.string()), (types.is_time, pa.string()), (types.is_timestamp, pa.string()),
)  # fmt: skip
COLUMN_ALIASES = {"path": "image", "picture": "image", "label": "category", "near_dup_group": "group"}


def parse_box(values: Any) -> tuple[float, float, float, float] | None:
    """Parse four numbers or numeric strings (such as `065`) as x1, y1, x2, y2; return None for an invalid box."""
    try:
        x1, y1, x2, y2 = map(float, values)
    except (TypeError, ValueError):
        return None
    is_valid = -MAX_COORDINATE < x1 < x2 < MAX_COORDINATE and -MAX_COORDINATE < y1 < y2 < MAX_COORDINATE
    return (x1, y1, x2, y2) if is_valid else None


def box_columns(boxes: np.ndarray) -> dict[str, np.ndarray]:
    """Split boxes, (N, 4) xyxy, into columns: name in BOX_COLUMNS -> (N,)."""
    return dict(zip(BOX_COLUMNS, boxes.T, strict=True))


def read_table(path: str | Path) -> pa.Table:
    """Read a `.parquet` file, or a `.csv` file with a header; rename the columns in COLUMN_ALIASES.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file has another type or is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: catalogue not found; pass a .parquet or .csv file")
    if path.suffix.lower() not in (".parquet", ".csv"):
        raise ValueError(f"{path}: not a catalogue; pass a folder, or a .parquet or .csv file")
    try:
        table = _read_csv(path) if path.suffix.lower() == ".csv" else pa.parquet.read_table(path)
    except (ValueError, OSError, pa.ArrowException) as error:  # pyarrow raises any of these on damaged files
        hint = "; save it as CSV in UTF-8" if "UTF8" in str(error) else ""
        raise ValueError(f"{path}: {error}{hint}") from error
    if table.num_columns == 1 and any(separator in table.column_names[0] for separator in ";\t"):
        raise ValueError(f"{path}: only one column, {table.column_names[0]!r}; separate cells by commas")
    table = table.rename_columns([name.strip() for name in table.column_names])
    existing = set(table.column_names)
    if len(existing) < table.num_columns:
        raise ValueError(f"{path}: duplicate name in columns {', '.join(table.column_names)}; rename one of them")
    return table.rename_columns([_canonical_name(name, existing) for name in table.column_names])


def _canonical_name(column: str, existing: set[str]) -> str:
    name = COLUMN_ALIASES.get(column, column)
    return column if name in existing else name


def _read_csv(path: Path) -> pa.Table:
    """Read a CSV file; string columns are not converted, so that `007` stays a string.  Raises ValueError.

    The types of further columns are inferred from all rows: the first fraction may come after 100,000 integers.
    """
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        for _ in csv_rows(file):  # raises ValueError for an unclosed quote, which pyarrow would read as one long cell
            pass
    string_types = {name: dtype for name, (dtype, _) in COLUMNS.items() if dtype == pa.string()}
    string_types |= {alias: COLUMNS[name][0] for alias, name in COLUMN_ALIASES.items()}
    convert = pa.csv.ConvertOptions(column_types=string_types, strings_can_be_null=False)
    one_block = pa.csv.ReadOptions(block_size=min(max(path.stat().st_size + 1, 2**20), 2**31 - 1))
    options = pa.csv.ParseOptions(newlines_in_values=True)
    return pa.csv.read_csv(path, one_block, parse_options=options, convert_options=convert)


def to_schema(table: pa.Table) -> pa.Table:
    """Convert a table to the columns and types of COLUMNS, followed by its further columns (see FURTHER_TYPES)."""
    columns = {name: _column(table, name) for name in COLUMNS if name != "id"}
    columns["id"] = _column(table, "id") if "id" in table.column_names else columns["image"]
    further = {name: _further_column(table, name) for name in table.column_names if name not in COLUMNS}
    kept = {name: column for name, column in further.items() if column is not None}
    return pa.table({name: columns[name] for name in COLUMNS} | kept)


def _further_column(table: pa.Table, name: str) -> pa.Array | pa.ChunkedArray | None:
    """Return a user's column in the type of FURTHER_TYPES, with null for empty strings and NaN; None: not kept.

    Dates and times become strings such as `2024-01-31 12:30:00`, whose alphabetical order is that of time.
    """
    if table.column_names.count(name) > 1:
        raise ValueError(f"column {name!r} is given {table.column_names.count(name)} times; rename or remove one")
    column = table[name].combine_chunks()
    if types.is_dictionary(column.type):
        column = column.dictionary_decode()
    dtype = next((stored for is_type, stored in FURTHER_TYPES if is_type(column.type)), None)
    if dtype is None:
        return None
    try:
        column = column.cast(dtype)
    except pa.ArrowException as error:
        raise ValueError(f"column {name!r}: not {dtype} ({error}); correct the values") from error
    if types.is_string(dtype):
        return pc.if_else(pc.equal(column, ""), pa.scalar(None, dtype), column)
    return pc.if_else(pc.is_nan(column), pa.scalar(None, dtype), column) if types.is_floating(dtype) else column


def infer_type(cells: Sequence[str]) -> pa.Array:
    """Convert the cells of a text file to integers, floats or booleans if all can be converted; "" becomes null."""
    strings = pa.array([cell or None for cell in cells], pa.string())
    if strings.null_count == len(strings):
        return pa.nulls(len(strings))
    for dtype in (pa.int64(), pa.float64(), pa.bool_()):
        try:
            return strings.cast(dtype)
        except pa.ArrowInvalid:
            continue
    return strings


def _column(table: pa.Table, name: str) -> pa.Array | pa.ChunkedArray:
    """Return one column, cast to its type, with missing cells set to the default."""
    dtype, default = COLUMNS[name]
    count = table.column_names.count(name)
    if count == 0 and default is not None:
        return pa.repeat(pa.scalar(default, dtype), table.num_rows)
    if count != 1:
        names = ", ".join(table.column_names)
        aliases = [alias for alias, column in COLUMN_ALIASES.items() if column == name]
        problem = "missing" if not count else f"given {count} times"
        raise ValueError(
            f"column {name!r} is {problem} (columns: {names}); add one column named {' or '.join([name, *aliases])}"
        )
    try:
        column = table[name].cast(dtype).combine_chunks()
    except pa.ArrowException as error:
        raise ValueError(f"column {name!r}: not {dtype} ({error}); correct the values") from error
    if default is not None:
        return column.fill_null(default)
    num_empty = column.null_count + (pc.sum(pc.equal(column, "")).as_py() or 0)
    if num_empty:
        raise ValueError(f"column {name!r}: empty cells: {num_empty}; fill them")
    return column
