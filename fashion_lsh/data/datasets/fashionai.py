"""FashionAI: one garment per image, with attribute or key-point annotations."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.image_files import ExpectedFile, ImageFiles, PublishedCounts, report_unreadable
from fashion_lsh.data.schema import BOX_COLUMNS
from fashion_lsh.io.files import csv_rows

log = logging.getLogger(__name__)

ATTRIBUTE_SUFFIX = "_labels"  # suffix of all attribute names
KEY_POINT_HEADER = ["image_id", "image_category"]  # first columns of a key-point table
MAX_DEPTH = 4  # maximum depth of the folders that are searched for tables
Box = tuple[float, ...]  # xyxy in pixels


class Line(NamedTuple):
    """Row of a table.

    Attributes:
        location: Table and row number, for messages.
        release: Folder of the release, relative to the root.
        contest: `attributes` or `key_points`.
        path: Image path, relative to the release.
        category: Category of the garment.
        box: Box, xyxy in pixels; NaN: the whole image.
        problem: Reason to skip the row, or "".
    """

    location: str
    release: Path
    contest: str
    path: str
    category: str
    box: Box = (float("nan"),) * 4
    problem: str = ""

    @property
    def id(self) -> str:
        return f"{self.contest}/{self.path}"


class FashionAI(ImageFiles):
    """FashionAI data set: all images in the attribute and key-point tables of one or more releases, without splits.

    Attribute tables (`label.csv` and others) have no header. The category is the attribute without `_labels`
    (`skirt_length`), and the garment fills the whole image. Key-point tables have a header. The category is
    `image_category`, and the box is the bounding box of the defined points. If several releases list a path, the first
    labelled row is kept. Rows without a label, and rows whose points have no area, are skipped.

    Args:
        root: Folder with one or more releases, each with tables and `Images`.
    """

    licence = "terms of the Tianchi contests (not confirmed)"
    expected = (
        ExpectedFile(
            "**/Annotations/label.csv",
            "attributes of the base release; the folder Images is next to Annotations",
            False,
        ),
        ExpectedFile("**/Annotations/skirt_length_labels.csv", "attributes of the warm-up release", False),
        ExpectedFile("**/Annotations/train.csv", "key points", False),
    )
    # images of the warm-up and base attribute releases, without key points and test answers
    published = PublishedCounts({"": 89_683})

    def list_garments(self) -> tuple[Catalogue, dict[str, str]]:
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"data.root={self.root}: no such folder; set data.root to the folder of FashionAI releases"
            )
        read_errors: list[OSError] = []
        lines = [line for table in _find_tables(self.root, read_errors) for line in _read_lines(table, self.root)]
        if not lines:
            raise FileNotFoundError(
                f"data.root={self.root}: no FashionAI table; unpack a release there, with Annotations/*.csv and Images"
            )
        kept, skipped = _deduplicate(lines)
        skipped |= report_unreadable(read_errors)
        if not kept:
            raise ValueError(f"{self.root}: no usable row; the first problem is: {next(iter(skipped.values()))}")
        columns: dict[str, Sequence[object]] = {
            "id": [line.id for line in kept],
            "image": [(line.release / line.path).as_posix() for line in kept],
            "category": [line.category for line in kept],
            "source": ["fashionai"] * len(kept),
            **dict(zip(BOX_COLUMNS, zip(*(line.box for line in kept), strict=True), strict=True)),
        }
        return Catalogue.from_columns(columns), skipped


def _find_tables(root: Path, read_errors: list[OSError]) -> Iterator[Path]:
    """List the CSV files below a folder, sorted, except in `Images`; read errors are added to `read_errors`."""
    for folder, folders, names in os.walk(root, onerror=read_errors.append, followlinks=True):
        depth = len(Path(folder).relative_to(root).parts)
        folders[:] = sorted(name for name in folders if name != "Images" and name[0] != "." and depth < MAX_DEPTH)
        yield from (Path(folder, name) for name in sorted(names) if name.lower().endswith(".csv") and name[0] != ".")


def _read_lines(table: Path, root: Path) -> Iterator[Line]:
    """Parse the rows of an attribute or key-point table; other tables are skipped with a warning."""
    rows: list[tuple[int, list[str]]] = []
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            for number, (_, row) in enumerate(csv_rows(file), start=1):
                if row:
                    rows.append((number, row))
    except ValueError as error:
        if not rows or isinstance(error, UnicodeDecodeError) or _select_parser(rows[0][1]):
            raise ValueError(
                f"{table}: {error}; save the file as CSV in UTF-8, or move the file out of {root}"
            ) from error
    name, release = table.relative_to(root), _find_release(table, root).relative_to(root)
    parse_line = _select_parser(rows[0][1]) if rows else None
    if parse_line is None:
        log.warning("Skipped %s: not a FashionAI table", table)
        return
    for number, row in rows[1:] if parse_line is _parse_key_points else rows:
        yield parse_line(f"{name}, row {number}", release, [cell.strip() for cell in row])


def _select_parser(row: Sequence[str]) -> Callable[[str, Path, Sequence[str]], Line] | None:
    """Select the row parser by the first row of a table; None: not a FashionAI table."""
    first_cells = [cell.strip().lower() for cell in row]
    if first_cells[:2] == KEY_POINT_HEADER:
        return _parse_key_points
    return _parse_attribute if len(first_cells) == 3 and first_cells[1].endswith(ATTRIBUTE_SUFFIX) else None


def _find_release(table: Path, root: Path) -> Path:
    """Return the base folder of the paths in a table (`Images/...`): the folder of the table or its parent."""
    candidates = [folder for folder in (table.parent, table.parent.parent) if folder.is_relative_to(root)]
    return next((folder for folder in candidates if (folder / "Images").is_dir()), candidates[-1])


def _parse_attribute(location: str, release: Path, row: Sequence[str]) -> Line:
    path, attribute, value = [*row, "", "", ""][:3]
    category = attribute.removesuffix(ATTRIBUTE_SUFFIX)
    problem = ""
    if not path or len(row) != 3 or category in ("", attribute):
        problem = f"{location}: expected a path, an attribute and a value"
    elif not value.strip("?"):
        problem = f"{location}: no label (value {value!r})"
    return Line(location, release, "attributes", path, category, problem=problem)


def _parse_key_points(location: str, release: Path, row: Sequence[str]) -> Line:
    path, category = [*row, "", ""][:2]
    line = Line(location, release, "key_points", path, category)
    if not path or not category:
        return line._replace(problem=f"{location}: {KEY_POINT_HEADER[bool(path)]} is empty")
    try:
        points = [_parse_point(cell) for cell in row[2:]]
    except ValueError as error:
        return line._replace(problem=f"{location}: {error}")
    defined_points = [(x, y) for x, y, visibility in points if visibility >= 0]
    box = _bounding_box(defined_points)
    if box is None:
        return line._replace(problem=f"{location}: the bounding box of {len(defined_points)} key points has no area")
    return line._replace(box=box)


def _parse_point(cell: str) -> tuple[int, int, int]:
    """Parse a key point such as `232_100_1`: x and y in pixels, visibility (1 visible, 0 hidden, -1 undefined)."""
    try:
        x, y, visibility = map(int, cell.split("_"))
    except ValueError as error:
        raise ValueError(f"{cell!r} is not a key point like 232_100_1") from error
    return x, y, visibility


def _bounding_box(points: Sequence[tuple[int, int]]) -> Box | None:
    """Return the bounding box of points, xyxy in pixels; None if the box has no area."""
    if not points:
        return None
    xs, ys = zip(*points, strict=True)
    box = (float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys)))
    return box if box[2] > box[0] and box[3] > box[1] else None


def _deduplicate(lines: Sequence[Line]) -> tuple[list[Line], dict[str, str]]:
    """Return the first valid row of each image, and reasons for the other rows: id -> reason."""
    first_lines: dict[str, Line] = {}
    for line in lines:
        if not line.problem:
            first_lines.setdefault(line.id, line)
    skipped: dict[str, str] = {}
    for line in lines:
        if line is first_lines.get(line.id):
            continue
        is_duplicate = line.id in first_lines or line.id in skipped
        name = f"{line.id} ({line.location})" if is_duplicate else line.id
        skipped[name] = line.problem or f"{line.location}: same path as {first_lines[line.id].location}, which is kept"
    return list(first_lines.values()), skipped
