"""Read DeepFashion's text files: line 1 is the row count, line 2 the column names, then whitespace-separated rows."""

import logging
from collections.abc import Container, Iterable, Mapping, Sequence, Set
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.schema import BOX_COLUMNS

log = logging.getLogger(__name__)

CLOTHES_TYPES = {"1": "upper", "2": "lower", "3": "full"}  # of clothes_type and category_type
MAX_PATH_BYTES = 500  # the image path is within the first bytes of a row
LICENCE = "non-commercial research and teaching; the authors do not own the images"
ROW_COLUMNS = ("image", "category", "supercategory", "item", "group", "split", "view", "source")

Reasons = dict[str, str]  # image path -> reason to skip it
Cells = tuple[str, ...]  # tuples, because 289,222 lists slow down the garbage collector


class Table(NamedTuple):
    """Rows by listed image path (their first cell), and reasons for images with an invalid row."""

    rows: dict[str, Cells]
    bad: Reasons


def find_file(root: Path, name: str, *folders: str) -> Path:
    """Return the file `name` from the first folder that contains it.  Raises FileNotFoundError."""
    for folder in folders:
        if (path := root / folder / name).is_file():
            return path
    tried = " or ".join(str(root / folder) for folder in folders)
    raise FileNotFoundError(f"data.root={root}: no {name} in {tried}; set data.root to the parent of {folders[0]}")


def read_lines(path: Path) -> list[str]:
    r"""Read lines without line ends (`\n` or `\r\n`) and trailing empty lines.

    Decodes UTF-8, or GB18030 (Chinese) with a warning.

    Raises:
        ValueError: Neither encoding fits.
    """
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        log.warning("%s: not UTF-8; reading it as GB18030", path)
        try:
            text = content.decode("gb18030")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: neither UTF-8 nor GB18030 ({error}); unpack it again") from error
    return text.rstrip().replace("\r\n", "\n").split("\n")


def read_list(path: Path) -> list[str]:
    """Read a list with a count but no column names, for example `list_item_*.txt`."""
    first, *rest = read_lines(path)
    entries = [line.strip() for line in rest if line.strip()]
    check_count(path, first, len(entries))
    return entries


def read_names(path: Path) -> list[tuple[str, str]]:
    """Read (name, type) rows. Names may contain blanks; a row of one word has type "", with a warning."""
    first, _, body = _split_header(path)
    cells = [line.rsplit(None, 1) for line in body if line.strip()]
    check_count(path, first, len(cells))
    if short := [cell[0] for cell in cells if len(cell) < 2]:
        log.warning("%s: %d rows have a name without a type (first: %r)", path, len(short), short[0])
    return [(cell[0].strip(), cell[1] if len(cell) > 1 else "") for cell in cells]


def read_rows(path: Path, columns: Sequence[str]) -> tuple[list[Cells], Reasons]:
    """Read the cells of each row in the order of `columns`, and reasons for rows of the wrong length (by first cell).

    If only some column names match, the columns are read in the order of `columns`, with a warning.

    Raises:
        ValueError: The number of columns differs, or no column name matches.
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
            name = f"{cells[0]} (line {number})" if cells[0] in bad else cells[0]  # one reason per row
            bad[name] = f"line {number} of {path.name} has {len(cells)} cells instead of {width}"
    check_count(path, first, sum(bool(line.strip()) for line in body))
    return rows, bad


def read_table(path: Path, columns: Sequence[str]) -> Table:
    """Read rows by image; an image listed twice with different values is invalid."""
    rows, bad = read_rows(path, columns)
    table: dict[str, Cells] = {}
    for row in rows:
        name, cells = row[0], row[1:]
        if table.setdefault(name, cells) != cells:
            bad[name] = f"listed twice in {path.name}, with {' '.join(table[name])} and {' '.join(cells)}"
    return Table({name: cells for name, cells in table.items() if name not in bad}, bad)


def read_cell(path: Path, column_index: int, width: int, requested: Container[bytes]) -> Table:
    """Read one value per requested image: column `column_index` (from 0) of `width` values.

    Streams the file and splits only rows of requested images, so that 870 MB take seconds.
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
                    bad[name.decode()] = f"row of {path.name} has {len(cells) - 1} values instead of {width}"
    check_count(path, first.decode("ascii", "replace"), number)
    return Table(rows, bad)


def inner_join(tables: Mapping[str, Table]) -> tuple[list[str], Reasons]:
    """Return images present in all tables, in the order of the first, and reasons for the others."""
    skipped: Reasons = {}
    for name in dict.fromkeys(name for table in tables.values() for name in table.rows):
        missing = [file for file, table in tables.items() if name not in table.rows]
        if missing:
            skipped[name] = f"no row in {', '.join(missing)}"
    for table in tables.values():
        skipped |= table.bad
    return [name for name in next(iter(tables.values())).rows if name not in skipped], skipped


def parse_clothes_type(cell: str) -> str:
    """Return upper, lower or full for 1, 2 or 3, and "" for any other type."""
    return CLOTHES_TYPES.get(cell.lstrip("0"), "")


def parse_category(path: str, kind: str) -> str | None:
    """Return `WOMEN/Dresses/full` for `img/WOMEN/Dresses/id_00000002/02_1_front.jpg` and type 3; None if invalid."""
    parts = path.split("/")
    return f"{parts[1]}/{parts[2]}/{parse_clothes_type(kind)}" if len(parts) == 5 and parse_clothes_type(kind) else None


def build_catalogue(rows: Iterable[tuple[str, Mapping[str, Any] | str]], skipped: Reasons) -> tuple[Catalogue, Reasons]:
    """Build a catalogue from (id, row) pairs and add reasons to those given.

    A row has ROW_COLUMNS and `box` (xyxy); a string in its place is the reason to skip the id.
    """
    columns: dict[str, list[Any]] = {name: [] for name in ("id", *ROW_COLUMNS, *BOX_COLUMNS)}
    reasons = dict(skipped)
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
    """Warn about items missing in the item list, if that file exists."""
    if path.is_file() and (unknown := items - set(read_list(path))):
        log.warning("%d items are missing in %s (first: %s)", len(unknown), path, min(unknown))


def check_count(path: Path, first: str, rows: int) -> None:
    """Warn if the count in the first line differs from the number of rows.

    Raises:
        ValueError: The first line is not a count.
    """
    stated = _parse_count(path, first)
    if stated != rows:
        log.warning("%s: %d rows, but the count in line 1 is %d; using all rows", path, rows, stated)


def _parse_count(path: Path, first: str) -> int:
    if not first.strip().isdecimal():
        raise ValueError(f"{path}: line 1 is {first.strip()[:60]!r} instead of a row count; use the official file")
    return int(first)


def _split_header(path: Path) -> tuple[str, str, list[str]]:
    """Return the first line, the line of column names and the lines of the rows."""
    first, header, *body = [*read_lines(path), ""]  # a file may have one line only
    _parse_count(path, first)
    if not header.strip() or any("/" in word or word.isdecimal() for word in header.split()):
        raise ValueError(f"{path}: line 2 is {header.strip()[:60]!r} instead of column names; use the official file")
    return first, header, body


def _column_order(path: Path, header: Sequence[str], columns: Sequence[str]) -> list[int]:
    """Return the position of each column in the header."""
    if sorted(header) == sorted(columns):
        return [list(header).index(column) for column in columns]
    names = f"columns {' '.join(header)} instead of {' '.join(columns)}"
    if len(header) != len(columns) or not set(header) & set(columns):
        raise ValueError(f"{path}: {names}; use a separate root per benchmark, as several have a file of this name")
    log.warning("%s: %s; reading them in the expected order", path, names)
    return list(range(len(columns)))
