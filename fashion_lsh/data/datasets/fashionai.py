"""FashionAI: pictures of one garment each, by the attribute that is asked of them or with key points."""

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

SUFFIX = "_labels"  # of an attribute's name
HEADER = ["image_id", "image_category"]  # how a table of key points begins; one of attributes has no header
MAX_DEPTH = 4  # folders below the root in which tables are looked for
Box = tuple[float, ...]


class Line(NamedTuple):
    """A row of a table: where it stands, its picture below the release, category, box xyxy in pixels, its problem."""

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
    """Every picture that a table of FashionAI lists, of both contests, all releases below the root.

    Of the attribute contest (`label.csv` and others, no header) the category is the attribute without `_labels`
    (`skirt_length`), and the whole picture is the box. Of the key point contest (a header) it is `image_category`, and
    the box is the hull of the points that are defined. A path that stands in two releases is one picture: the first
    row with an answer is kept. Left out are rows without an answer, and those whose points span no area. No splits.

    Args:
        root: a folder with one release or several, each with its tables and `Images`.
    """

    licence = "those of Tianchi's contests (not confirmed)"
    expected = (
        ExpectedFile(
            "**/Annotations/label.csv", "attributes of the base release, with Images beside Annotations", False
        ),
        ExpectedFile("**/Annotations/skirt_length_labels.csv", "attributes of the warm-up release", False),
        ExpectedFile("**/Annotations/train.csv", "key points", False),
    )
    # attributes, warm-up and base; key points and answers to the tests come on top
    published = PublishedCounts({"": 89_683})

    def list_garments(self) -> tuple[Catalogue, dict[str, str]]:
        if not self.root.is_dir():
            raise FileNotFoundError(f"no folder {self.root}: give data.root the folder of FashionAI's releases")
        read_errors: list[OSError] = []
        lines = [line for table in _find_tables(self.root, read_errors) for line in _read_lines(table, self.root)]
        if not lines:
            raise FileNotFoundError(
                f"no table of FashionAI in {self.root}: unpack a release there, with its Annotations/*.csv and Images"
            )
        kept, left_out = _deduplicate(lines)
        left_out |= report_unreadable(read_errors)
        if not kept:
            raise ValueError(f"no row of {self.root} has an answer; the first: {next(iter(left_out.values()))}")
        columns: dict[str, Sequence[object]] = {
            "id": [line.id for line in kept],
            "image": [(line.release / line.path).as_posix() for line in kept],
            "category": [line.category for line in kept],
            "source": ["fashionai"] * len(kept),
            **dict(zip(BOX_COLUMNS, zip(*(line.box for line in kept), strict=True), strict=True)),
        }
        return Catalogue.from_columns(columns), left_out


def _find_tables(root: Path, read_errors: list[OSError]) -> Iterator[Path]:
    """CSV files below a folder, by name; image folders are not entered; `read_errors` gets those that cannot be."""
    for folder, folders, names in os.walk(root, onerror=read_errors.append, followlinks=True):
        depth = len(Path(folder).relative_to(root).parts)
        folders[:] = sorted(name for name in folders if name != "Images" and name[0] != "." and depth < MAX_DEPTH)
        yield from (Path(folder, name) for name in sorted(names) if name.lower().endswith(".csv") and name[0] != ".")


def _read_lines(table: Path, root: Path) -> Iterator[Line]:
    """The rows of a table of either contest; none of another one's, which is named in the log."""
    rows: list[tuple[int, list[str]]] = []
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            for number, (_, row) in enumerate(csv_rows(file), start=1):
                if row:
                    rows.append((number, row))
    except ValueError as error:
        if not rows or isinstance(error, UnicodeDecodeError) or _parser_for(rows[0][1]):
            raise ValueError(f"{table}: {error}: save it as CSV in UTF-8, or move it out of {root}") from error
    name, release = table.relative_to(root), _find_release(table, root).relative_to(root)
    parse_line = _parser_for(rows[0][1]) if rows else None
    if parse_line is None:
        log.warning("%s is no table of FashionAI: passed over", table)
        return
    for number, row in rows[1:] if parse_line is _parse_key_points else rows:
        yield parse_line(f"{name}, row {number}", release, [cell.strip() for cell in row])


def _parser_for(row: Sequence[str]) -> Callable[[str, Path, Sequence[str]], Line] | None:
    """What reads the rows of a table that begins with this one; None: it is of no contest."""
    first = [cell.strip().lower() for cell in row]
    if first[:2] == HEADER:
        return _parse_key_points
    return _parse_attribute if len(first) == 3 and first[1].endswith(SUFFIX) else None


def _find_release(table: Path, root: Path) -> Path:
    """The folder in which a table's paths (`Images/...`) begin: its own, or the one above."""
    candidates = [folder for folder in (table.parent, table.parent.parent) if folder.is_relative_to(root)]
    return next((folder for folder in candidates if (folder / "Images").is_dir()), candidates[-1])


def _parse_attribute(location: str, release: Path, row: Sequence[str]) -> Line:
    path, key, value = [*row, "", "", ""][:3]
    category = key.removesuffix(SUFFIX)
    problem = ""
    if not path or len(row) != 3 or category in ("", key):
        problem = f"{location}: is no line of a path, an attribute and its values"
    elif not value.strip("?"):
        problem = f"{location}: has no answer, but {value!r}"
    return Line(location, release, "attributes", path, category, problem=problem)


def _parse_key_points(location: str, release: Path, row: Sequence[str]) -> Line:
    path, category = [*row, "", ""][:2]
    line = Line(location, release, "key_points", path, category)
    if not path or not category:
        return line._replace(problem=f"{location}: has no {HEADER[bool(path)]}")
    try:
        points = [_parse_point(cell) for cell in row[2:]]
    except ValueError as error:
        return line._replace(problem=f"{location}: {error}")
    defined = [(x, y) for x, y, visibility in points if visibility >= 0]
    box = _bounding_box(defined)
    if box is None:
        return line._replace(problem=f"{location}: its {len(defined)} key points span no area")
    return line._replace(box=box)


def _parse_point(cell: str) -> tuple[int, int, int]:
    """`232_100_1`: x, y in pixels, and 1 visible, 0 hidden, -1 not defined."""
    try:
        x, y, visibility = map(int, cell.split("_"))
    except ValueError as error:
        raise ValueError(f"{cell!r} is no key point as 232_100_1") from error
    return x, y, visibility


def _bounding_box(points: Sequence[tuple[int, int]]) -> Box | None:
    """The smallest xyxy box around points, in pixels; None: it has no area."""
    if not points:
        return None
    xs, ys = zip(*points, strict=True)
    box = (float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys)))
    return box if box[2] > box[0] and box[3] > box[1] else None


def _deduplicate(lines: Sequence[Line]) -> tuple[list[Line], dict[str, str]]:
    """The first good row of each picture; the other rows: id -> reason."""
    first: dict[str, Line] = {}
    for line in lines:
        if not line.problem:
            first.setdefault(line.id, line)
    left_out: dict[str, str] = {}
    for line in lines:
        if line is first.get(line.id):
            continue
        is_duplicate = line.id in first or line.id in left_out
        name = f"{line.id} ({line.location})" if is_duplicate else line.id
        left_out[name] = line.problem or f"{line.location}: the same path as {first[line.id].location}, which is kept"
    return list(first.values()), left_out
