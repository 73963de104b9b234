"""The text files of DeepFashion's first three benchmarks: a count, names of columns, rows with blanks between cells."""

import logging
from collections.abc import Container, Iterable, Mapping, Sequence, Set
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.schema import BOX_COLUMNS

log = logging.getLogger(__name__)

CLOTHES_TYPES = {"1": "upper", "2": "lower", "3": "full"}  # of clothes_type and category_type
MAX_PATH_BYTES = 500  # bytes at the head of a row that hold the picture's path
LICENCE = "research and teaching without commerce; the pictures are not the authors' own"
ROW_COLUMNS = ("image", "category", "supercategory", "item", "group", "split", "view", "source")  # columns

Reasons = dict[str, str]  # why rows are left out, by picture
Cells = tuple[str, ...]  # no list: of 289,222 rows the garbage collector takes notice


class Table(NamedTuple):
    """Rows by their first cell, the picture's path in the list; and the pictures with a bad row: path -> reason."""

    rows: dict[str, Cells]
    bad: Reasons


def find_file(root: Path, name: str, *folders: str) -> Path:
    """The file `name` in the first of the folders that has it.  FileNotFoundError: none has."""
    for folder in folders:
        if (path := root / folder / name).is_file():
            return path
    tried = " or ".join(str(root / folder) for folder in folders)
    raise FileNotFoundError(f"no {name} in {tried}: give data.root the folder that holds {folders[0]}")


def read_lines(path: Path) -> list[str]:
    r"""The lines without `\r\n` and without the empty ones at the end; UTF-8, else GB18030 (Chinese), with a warning.

    Raises:
        ValueError: it is of neither encoding.
    """
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        log.warning("%s is not in UTF-8: it is read as GB18030", path)
        try:
            text = content.decode("gb18030")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is neither in UTF-8 nor in GB18030 ({error}): unpack it anew") from error
    return text.rstrip().replace("\r\n", "\n").split("\n")


def read_list(path: Path) -> list[str]:
    """The entries of a list that has a count but no names of columns, as `list_item_*.txt`."""
    first, *rest = read_lines(path)
    entries = [line.strip() for line in rest if line.strip()]
    check_count(path, first, len(entries))
    return entries


def read_names(path: Path) -> list[tuple[str, str]]:
    """Name and type of each row; names may hold blanks; a row of one word has a name alone, which the log tells."""
    first, _, body = _split_header(path)
    cells = [line.rsplit(None, 1) for line in body if line.strip()]
    check_count(path, first, len(cells))
    if short := [cell[0] for cell in cells if len(cell) < 2]:
        log.warning("%s: %d rows have no type behind their name, the first is %r", path, len(short), short[0])
    return [(cell[0].strip(), cell[1] if len(cell) > 1 else "") for cell in cells]


def read_rows(path: Path, columns: Sequence[str]) -> tuple[list[Cells], Reasons]:
    """The cells of each row, in the order of `columns`; and rows of another length: first cell -> reason.

    Raises:
        ValueError: the file has other columns. Names that are merely spelled otherwise are read in their order, with a
            warning.
    """
    first, header, body = _split_header(path)
    order = _column_order(path, header.lower().split(), columns)
    reorder, width = itemgetter(*order), len(order)
    rows: list[Cells] = []
    bad: Reasons = {}
    for number, line in enumerate(body, start=3):
        cells = line.split()
        if len(cells) == width:
            rows.append(reorder(cells))
        elif cells:
            name = f"{cells[0]} (line {number})" if cells[0] in bad else cells[0]  # each row counts
            bad[name] = f"line {number} of {path.name} has {len(cells)} cells, not {width}"
    check_count(path, first, sum(bool(line.strip()) for line in body))
    return rows, bad


def read_table(path: Path, columns: Sequence[str]) -> Table:
    """Rows by picture; one that stands twice with other values is bad."""
    rows, bad = read_rows(path, columns)
    table: dict[str, Cells] = {}
    for row in rows:
        name, cells = row[0], row[1:]
        if table.setdefault(name, cells) != cells:
            bad[name] = f"it stands twice in {path.name}: {' '.join(table[name])}, and {' '.join(cells)}"
    return Table({name: cells for name, cells in table.items() if name not in bad}, bad)


def read_cell(path: Path, column_index: int, width: int, requested: Container[bytes]) -> Table:
    """One of the `width` values of the wanted pictures' rows (1,000 attributes, say), by position from 0.

    The file is not held in memory, and rows of other pictures are not cut up: 870 MB take seconds.
    """
    rows: dict[str, Cells] = {}
    bad: Reasons = {}
    with path.open("rb") as file:
        first, _ = file.readline(), file.readline()
        number = 0
        for line in file:
            name = b"".join(line[:MAX_PATH_BYTES].split(None, 1)[:1])
            number += bool(name)
            if name in requested:
                cells = line.split()
                if len(cells) == width + 1:
                    rows[name.decode()] = (cells[column_index + 1].decode(),)
                else:
                    bad[name.decode()] = f"its row of {path.name} has {len(cells) - 1} values, not {width}"
    check_count(path, first.decode("ascii", "replace"), number)
    return Table(rows, bad)


def inner_join(tables: Mapping[str, Table]) -> tuple[list[str], Reasons]:
    """Pictures that all files have, in the order of the first; and why the others are left out."""
    left_out: Reasons = {}
    for name in dict.fromkeys(name for table in tables.values() for name in table.rows):
        missing = [file for file, table in tables.items() if name not in table.rows]
        if missing:
            left_out[name] = f"it has no row in {', '.join(missing)}"
    for table in tables.values():
        left_out |= table.bad
    return [name for name in next(iter(tables.values())).rows if name not in left_out], left_out


def parse_clothes_type(cell: str) -> str:
    """upper | lower | full; "" for a type that is none of 1, 2, 3."""
    return CLOTHES_TYPES.get(cell.lstrip("0"), "")


def parse_category(path: str, kind: str) -> str | None:
    """`WOMEN/Dresses/full` of `img/WOMEN/Dresses/id_00000002/02_1_front.jpg` and type 3; None: there is no such."""
    parts = path.split("/")
    return f"{parts[1]}/{parts[2]}/{parse_clothes_type(kind)}" if len(parts) == 5 and parse_clothes_type(kind) else None


def build_catalogue(
    rows: Iterable[tuple[str, Mapping[str, Any] | str]], left_out: Reasons
) -> tuple[Catalogue, Reasons]:
    """A catalogue of (id, row) pairs; one whose row is a text is left out for that reason, beside those given.

    A row holds ROW_COLUMNS and `box`, its four corners.
    """
    columns: dict[str, list[Any]] = {name: [] for name in ("id", *ROW_COLUMNS, *BOX_COLUMNS)}
    reasons = dict(left_out)
    for name, row in rows:
        if isinstance(row, str):
            reasons[name] = row
            continue
        columns["id"].append(name)
        for column in ROW_COLUMNS:
            columns[column].append(row[column])
        for column, coordinate in zip(BOX_COLUMNS, row["box"], strict=True):
            columns[column].append(coordinate)
    return Catalogue.from_columns(columns), reasons


def check_items(path: Path, items: Set[str]) -> None:
    """Warn of items that a list of items, where it is there, does not have."""
    if path.is_file() and (unknown := items - set(read_list(path))):
        log.warning("%d items are not in %s, the first is %s", len(unknown), path, min(unknown))


def check_count(path: Path, first: str, rows: int) -> None:
    """Warn where the count in a file's first line is not that of its rows.  ValueError: it is no count."""
    stated = _parse_count(path, first)
    if stated != rows:
        log.warning("%s has %d rows, its first line says %d: the rows count", path, rows, stated)


def _parse_count(path: Path, first: str) -> int:
    if not first.strip().isdecimal():
        raise ValueError(f"{path}: its first line {first.strip()[:60]!r} is no count of rows: give the official file")
    return int(first)


def _split_header(path: Path) -> tuple[str, str, list[str]]:
    """First line, line of column names, lines of the rows."""
    first, header, *body = [*read_lines(path), ""]  # a file may be its first line alone
    _parse_count(path, first)
    if not header.strip() or any("/" in word or word.isdecimal() for word in header.split()):
        raise ValueError(f"{path}: its second line {header.strip()[:60]!r} names no columns: give the official file")
    return first, header, body


def _column_order(path: Path, header: Sequence[str], columns: Sequence[str]) -> list[int]:
    """Where each column stands."""
    if sorted(header) == sorted(columns):
        return [list(header).index(column) for column in columns]
    names = f"its columns are called {' '.join(header)}, expected are {' '.join(columns)}"
    if len(header) != len(columns) or not set(header) & set(columns):
        raise ValueError(f"{path}: {names}: several benchmarks have files of this name, give each a root of its own")
    log.warning("%s: %s: they are read in this order", path, names)
    return list(range(len(columns)))
