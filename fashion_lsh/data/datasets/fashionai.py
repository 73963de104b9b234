"""FashionAI: pictures of one garment each, by the attribute that is asked of them or with key points."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.image_files import Expected, PictureFiles, Published, unread
from fashion_lsh.data.schema import BOX
from fashion_lsh.io.files import csv_rows

log = logging.getLogger(__name__)

SUFFIX = "_labels"  # of an attribute's name
HEADER = ["image_id", "image_category"]  # how a table of key points begins; one of attributes has no header
DEEPEST = 4  # folders below the root in which tables are looked for
Box = tuple[float, ...]


class Line(NamedTuple):
    """A row of a table: where it stands, its picture below the release, category, box xyxy in pixels, its problem."""

    place: str
    release: Path
    kind: str
    path: str
    category: str
    box: Box = (float("nan"),) * 4
    problem: str = ""

    @property
    def id(self) -> str:
        return f"{self.kind}/{self.path}"


class FashionAI(PictureFiles):
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
        Expected("**/Annotations/label.csv", "attributes of the base release, with Images beside Annotations", False),
        Expected("**/Annotations/skirt_length_labels.csv", "attributes of the warm-up release", False),
        Expected("**/Annotations/train.csv", "key points", False),
    )
    # attributes, warm-up and base; key points and answers to the tests come on top
    published = Published({"": 89_683})

    def listed(self) -> tuple[Catalogue, dict[str, str]]:
        if not self.root.is_dir():
            raise FileNotFoundError(f"no folder {self.root}: give data.root the folder of FashionAI's releases")
        closed: list[OSError] = []
        lines = [line for table in _tables(self.root, closed) for line in _lines(table, self.root)]
        if not lines:
            raise FileNotFoundError(
                f"no table of FashionAI in {self.root}: unpack a release there, with its Annotations/*.csv and Images"
            )
        kept, left_out = _once(lines)
        left_out |= unread(closed)
        if not kept:
            raise ValueError(f"no row of {self.root} has an answer; the first: {next(iter(left_out.values()))}")
        columns: dict[str, Sequence[object]] = {
            "id": [line.id for line in kept],
            "picture": [(line.release / line.path).as_posix() for line in kept],
            "category": [line.category for line in kept],
            "source": ["fashionai"] * len(kept),
            **dict(zip(BOX, zip(*(line.box for line in kept), strict=True), strict=True)),
        }
        return Catalogue.of(columns), left_out


def _tables(root: Path, closed: list[OSError]) -> Iterator[Path]:
    """CSV files below a folder, by name; folders of pictures are not entered; `closed` gets those that cannot be."""
    for folder, folders, names in os.walk(root, onerror=closed.append, followlinks=True):
        depth = len(Path(folder).relative_to(root).parts)
        folders[:] = sorted(name for name in folders if name != "Images" and name[0] != "." and depth < DEEPEST)
        yield from (Path(folder, name) for name in sorted(names) if name.lower().endswith(".csv") and name[0] != ".")


def _lines(table: Path, root: Path) -> Iterator[Line]:
    """The rows of a table of either contest; none of another one's, which is named in the log."""
    rows: list[tuple[int, list[str]]] = []
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            for number, (_, row) in enumerate(csv_rows(file), start=1):
                if row:
                    rows.append((number, row))
    except ValueError as error:
        if not rows or isinstance(error, UnicodeDecodeError) or _reader(rows[0][1]):
            raise ValueError(f"{table}: {error}: save it as CSV in UTF-8, or move it out of {root}") from error
    name, release = table.relative_to(root), _release(table, root).relative_to(root)
    read = _reader(rows[0][1]) if rows else None
    if read is None:
        log.warning("%s is no table of FashionAI: passed over", table)
        return
    for number, row in rows[1:] if read is _key_points else rows:
        yield read(f"{name}, row {number}", release, [cell.strip() for cell in row])


def _reader(row: Sequence[str]) -> Callable[[str, Path, Sequence[str]], Line] | None:
    """What reads the rows of a table that begins with this one; None: it is of no contest."""
    first = [cell.strip().lower() for cell in row]
    if first[:2] == HEADER:
        return _key_points
    return _attribute if len(first) == 3 and first[1].endswith(SUFFIX) else None


def _release(table: Path, root: Path) -> Path:
    """The folder in which a table's paths (`Images/...`) begin: its own, or the one above."""
    near = [folder for folder in (table.parent, table.parent.parent) if folder.is_relative_to(root)]
    return next((folder for folder in near if (folder / "Images").is_dir()), near[-1])


def _attribute(place: str, release: Path, row: Sequence[str]) -> Line:
    path, key, value = [*row, "", "", ""][:3]
    category = key.removesuffix(SUFFIX)
    problem = ""
    if not path or len(row) != 3 or category in ("", key):
        problem = f"{place}: is no line of a path, an attribute and its values"
    elif not value.strip("?"):
        problem = f"{place}: has no answer, but {value!r}"
    return Line(place, release, "attributes", path, category, problem=problem)


def _key_points(place: str, release: Path, row: Sequence[str]) -> Line:
    path, category = [*row, "", ""][:2]
    line = Line(place, release, "key_points", path, category)
    if not path or not category:
        return line._replace(problem=f"{place}: has no {HEADER[bool(path)]}")
    try:
        points = [_point(cell) for cell in row[2:]]
    except ValueError as error:
        return line._replace(problem=f"{place}: {error}")
    defined = [(x, y) for x, y, seen in points if seen >= 0]
    box = _hull(defined)
    if box is None:
        return line._replace(problem=f"{place}: its {len(defined)} key points span no area")
    return line._replace(box=box)


def _point(cell: str) -> tuple[int, int, int]:
    """`232_100_1`: x, y in pixels, and 1 visible, 0 hidden, -1 not defined."""
    try:
        x, y, seen = map(int, cell.split("_"))
    except ValueError as error:
        raise ValueError(f"{cell!r} is no key point as 232_100_1") from error
    return x, y, seen


def _hull(points: Sequence[tuple[int, int]]) -> Box | None:
    """The smallest xyxy box around points, in pixels; None: it has no area."""
    if not points:
        return None
    xs, ys = zip(*points, strict=True)
    box = (float(min(xs)), float(min(ys)), float(max(xs)), float(max(ys)))
    return box if box[2] > box[0] and box[3] > box[1] else None


def _once(lines: Sequence[Line]) -> tuple[list[Line], dict[str, str]]:
    """The first good row of each picture; the other rows: id -> reason."""
    first: dict[str, Line] = {}
    for line in lines:
        if not line.problem:
            first.setdefault(line.id, line)
    left_out: dict[str, str] = {}
    for line in lines:
        if line is first.get(line.id):
            continue
        taken = line.id in first or line.id in left_out
        name = f"{line.id} ({line.place})" if taken else line.id
        left_out[name] = line.problem or f"{line.place}: the same path as {first[line.id].place}, which is kept"
    return list(first.values()), left_out
