"""Read DeepFashion's text files: row count in line 1, column names in line 2, then whitespace-separated rows."""

import logging
from collections.abc import Container, Iterable, Mapping, Sequence, Set
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.schema import BOX_COLUMNS

log = logging.getLogger(__name__)

CLOTHES_TYPES = {"1": "upper", "2": "lower", "3": "full"}  # clothes_type or category_type -> supercategory
MAX_PATH_BYTES = 500  # maximum length of the image path at the start of a row
LICENCE = "non-commercial research and teaching; the authors do not own the images"
ROW_COLUMNS = ("image", "category", "supercategory", "item", "group", "split", "view", "source")

Reasons = dict[str, str]  # image path -> reason to skip it
Cells = tuple[str, ...]  # 289,222 lists instead of tuples would slow down the garbage collector


class Table(NamedTuple):
    """Table with one row per image.

    Attributes:
        rows: Image path (first cell) -> other cells.
        bad: Reasons for images with an invalid row.
    """

    rows: dict[str, Cells]
    bad: Reasons


def find_file(root: Path, name: str, *folders: str) -> Path:
    """Return the file `name` from the first folder that contains it.  Raises FileNotFoundError."""
    for folder in folders:
        if (path := root / folder / name).is_file():
            return path
    candidates = " or ".join(str(root / folder) for folder in folders)
    raise FileNotFoundError(f"data.root={root}: no {name} in {candidates}; set data.root to the parent of {folders[0]}")


def read_lines(path: Path) -> list[str]:
    r"""Read the lines of a file, without line ends (`\n` or `\r\n`) and without trailing empty lines.

    The encoding is UTF-8, or GB18030 (Chinese) with a warning.

    Raises:
        ValueError: The file is neither UTF-8 nor GB18030.
    """
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        log.warning("%s: not UTF-8; reading the file as GB18030", path)
        try:
            text = content.decode("gb18030")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: neither UTF-8 nor GB18030 ({error}); unpack the file again") from error
    return text.rstrip().replace("\r\n", "\n").split("\n")


def read_list(path: Path) -> list[str]:
    """Read a list that has a row count but no column names, for example `list_item_*.txt`."""
    first, *rest = read_lines(path)
    entries = [line.strip() for line in rest if line.strip()]
    check_count(path, first, len(entries))
    return entries


def read_names(path: Path) -> list[tuple[str, str]]:
    """Read (name, type) rows. A name may contain blanks; a row of a single word has type "", with a warning."""
    first, _, body = _split_header(path)
    cells = [line.rsplit(None, 1) for line in body if line.strip()]
    check_count(path, first, len(cells))
    if untyped_names := [cell[0] for cell in cells if len(cell) < 2]:
        log.warning("%s: names without a type: %d (first: %r)", path, len(untyped_names), untyped_names[0])
    return [(cell[0].strip(), cell[1] if len(cell) > 1 else "") for cell in cells]


def read_rows(path: Path, columns: Sequence[str]) -> tuple[list[Cells], Reasons]:
    """Read the cells of each row in the order of `columns`, and reasons for rows of the wrong length, by first cell.

    If only some column names match, the file is assumed to have the order of `columns`, with a warning.

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
            name = f"{cells[0]} (line {number})" if cells[0] in bad else cells[0]  # each bad row needs its own key
            bad[name] = f"line {number} of {path.name} has {len(cells)} cells instead of {width}"
    check_count(path, first, sum(bool(line.strip()) for line in body))
    return rows, bad


def read_table(path: Path, columns: Sequence[str]) -> Table:
    """Read a table with one row per image; an image listed twice with different values is invalid."""
    rows, bad = read_rows(path, columns)
    table: dict[str, Cells] = {}
    for row in rows:
        name, cells = row[0], row[1:]
        if table.setdefault(name, cells) != cells:
            bad[name] = f"listed twice in {path.name}, with {' '.join(table[name])} and {' '.join(cells)}"
    return Table({name: cells for name, cells in table.items() if name not in bad}, bad)


def read_cell(path: Path, column_index: int, width: int, requested: Container[bytes]) -> Table:
    """Read one value per requested image: column `column_index` (from 0) of `width` columns.

    The file is streamed, and only rows of requested images are split, so that reading 870 MB takes seconds.
    """
    rows: dict[str, Cells] = {}
    bad: Reasons = {}
    with path.open("rb") as file:
        first, _ = file.readline(), file.readline()
        num_rows = 0
        for line in file:
            name = b"".join(line[:MAX_PATH_BYTES].split(None, 1)[:1])
            num_rows += bool(name)
            if name in requested:
                cells = line.split()
                if len(cells) == width + 1:
                    rows[name.decode()] = (cells[column_index + 1].decode(),)
                else:
                    bad[name.decode()] = f"row of {path.name} has {len(cells) - 1} values instead of {width}"
    check_count(path, first.decode("ascii", "replace"), num_rows)
    return Table(rows, bad)


def inner_join(tables: Mapping[str, Table]) -> tuple[list[str], Reasons]:
    """Return the images present in all tables, in the order of the first table, and reasons for the other images."""
    skipped: Reasons = {}
    for name in dict.fromkeys(name for table in tables.values() for name in table.rows):
        missing = [file for file, table in tables.items() if name not in table.rows]
        if missing:
            skipped[name] = f"no row in {', '.join(missing)}"
    for table in tables.values():
        skipped |= table.bad
    return [name for name in next(iter(tables.values())).rows if name not in skipped], skipped


def parse_clothes_type(cell: str) -> str:
    """Return `upper`, `lower` or `full` for type 1, 2 or 3, and "" for any other type."""
    return CLOTHES_TYPES.get(cell.lstrip("0"), "")


def parse_category(path: str, clothes_type: str) -> str | None:
    """Return `WOMEN/Dresses/full` for `img/WOMEN/Dresses/id_00000002/02_1_front.jpg` and type 3; None if invalid."""
    parts = path.split("/")
    supercategory = parse_clothes_type(clothes_type)
    return f"{parts[1]}/{parts[2]}/{supercategory}" if len(parts) == 5 and supercategory else None


def build_catalogue(rows: Iterable[tuple[str, Mapping[str, Any] | str]], skipped: Reasons) -> tuple[Catalogue, Reasons]:
    """Build a catalogue from (id, row) pairs; return the catalogue and all reasons for skipped ids.

    A row contains ROW_COLUMNS and `box` (xyxy). A string instead of a row is the reason to skip the id.
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
    """Warn about items that are missing in the item list, if the list exists."""
    if path.is_file() and (missing := items - set(read_list(path))):
        log.warning("%s: number of missing items: %d (first: %s)", path, len(missing), min(missing))


def check_count(path: Path, first: str, num_rows: int) -> None:
    """Warn if the row count in the first line differs from the number of rows.

    Raises:
        ValueError: The first line is not a row count.
    """
    stated = _parse_count(path, first)
    if stated != num_rows:
        log.warning("%s: %d rows, but the count in line 1 is %d; using all rows", path, num_rows, stated)


def _parse_count(path: Path, first: str) -> int:
    if not first.strip().isdecimal():
        raise ValueError(f"{path}: line 1 is {first.strip()[:60]!r} instead of a row count; use the official file")
    return int(first)


def _split_header(path: Path) -> tuple[str, str, list[str]]:
    """Return the first line, the line with the column names, and the lines of the rows."""
    first, header, *body = [*read_lines(path), ""]  # the file may have only one line
    _parse_count(path, first)
    if not header.strip() or any("/" in word or word.isdecimal() for word in header.split()):
        raise ValueError(f"{path}: line 2 is {header.strip()[:60]!r} instead of column names; use the official file")
    return first, header, body


def _column_order(path: Path, header: Sequence[str], columns: Sequence[str]) -> list[int]:
    """Return the position of each expected column in the header."""
    if sorted(header) == sorted(columns):
        return [list(header).index(column) for column in columns]
    names = f"columns {' '.join(header)} instead of {' '.join(columns)}"
    if len(header) != len(columns) or not set(header) & set(columns):
        raise ValueError(
            f"{path}: {names}; use a separate root per benchmark, because several benchmarks have a file of this name"
        )
    log.warning("%s: %s; reading the columns in the expected order", path, names)
    return list(range(len(columns)))
