"""A user's own pictures: in folders by category, or listed in a manifest."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.image_files import SPLIT_WORDS, PictureFiles, one_spelling, unread
from fashion_lsh.data.schema import BOX, read_table

UNKNOWN = "unknown"  # the category of pictures that nobody has named: relevant to nothing that is asked
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")


class Folder(PictureFiles):
    """Pictures in `<root>/<category>/`, in `<root>/<split>/<category>/`, or listed in a manifest.

    A manifest is CSV or Parquet with the columns of a Catalogue, `picture` (or `path`, relative to the manifest's own
    folder) and `category` (or `label`) at least. Category names that differ in case or blanks alone are one. Splits
    may be called train, val, query, gallery, or training, valid, validation, test (which asks, as query does).

    Args:
        root: a folder, or a manifest.
        unlabelled: take pictures without a category, too, as UNKNOWN: in the root itself, or by a manifest's rows.
    """

    def __init__(self, root: str, unlabelled: bool = False) -> None:
        super().__init__(root)
        self.unlabelled = unlabelled

    def listed(self) -> tuple[Catalogue, dict[str, str]]:
        if not self.root.exists():
            raise FileNotFoundError(
                f"no folder or file {self.root}: give a folder of pictures, or a manifest (.csv, .parquet)"
            )
        if self.root.is_dir():
            return _in_folders(self.root, self.unlabelled)
        table = read_table(self.root)
        if self.unlabelled:
            table = _labelled(table)
        try:
            if not {"picture", "category"} <= set(table.column_names):
                return Catalogue(table), {}  # raises, and names the columns
            table = _with_ids(_tidy(_with_sides(table), self.folder))
            reasons = _reasons(table)
            ids, kept = _texts(table, "id"), pa.array([not reason for reason in reasons], pa.bool_())
            named = enumerate(zip(ids, reasons, strict=True), start=1)
            left_out: dict[str, str] = {}
            for row, (name, reason) in named:
                if reason:
                    key = f"{name} (row {row})" if name in left_out else name or f"row {row}"
                    left_out[key] = f"row {row}: {reason}"
            return Catalogue(table.filter(kept)), left_out
        except ValueError as error:
            raise ValueError(f"{self.root}: {error}") from error


def _in_folders(root: Path, unlabelled: bool) -> tuple[Catalogue, dict[str, str]]:
    """The picture files below a folder, and the other files: id -> reason."""
    closed: list[OSError] = []
    found = [path for path in sorted(_below(root, closed)) if path.is_file() or not path.exists()]  # a link to nowhere
    files = [path.relative_to(root) for path in found]
    files = [path for path in files if not any(part.startswith(".") for part in path.parts)]
    by_split = _are_splits(root, {path.parts[0] for path in files if len(path.parts) > 1 and _is_picture(path)})
    depth = 3 if by_split else 2
    reasons = {path: _passed_over(path, 1 if unlabelled else depth) for path in files}
    pictures = [path for path in files if not reasons[path]]
    if not pictures:
        raise ValueError(f"{root} holds no pictures: put them into a folder a category, as {root}/<category>/1.jpg")
    columns = {
        "picture": [path.as_posix() for path in pictures],
        "category": one_spelling([path.parts[depth - 2] if len(path.parts) >= depth else UNKNOWN for path in pictures]),
        "split": [SPLIT_WORDS[path.parts[0].lower()] if by_split and len(path.parts) > 1 else "" for path in pictures],
    }
    gone = {_shown(Path(name)): reason for name, reason in unread(closed).items()}
    return Catalogue.of(columns), gone | {_shown(path): reason for path, reason in reasons.items() if reason}


def _below(root: Path, closed: list[OSError]) -> Iterator[Path]:
    """All files below a folder; linked folders are entered, but none twice; `closed` gets those that cannot be."""
    seen = set()
    for folder, folders, names in os.walk(root, onerror=closed.append, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(folder, name) for name in names)


def _passed_over(path: Path, depth: int) -> str:
    if not _is_picture(path):
        return f"{_shown(path)}: no picture by its name; read are {' '.join(ENDINGS)}"
    return f"{_shown(path)}: lies in no category's folder" if len(path.parts) < depth else ""


def _shown(path: Path) -> str:
    """The name, with `?` for what is no text."""
    return path.as_posix().encode(errors="replace").decode()


def _is_picture(path: Path) -> bool:
    """By its name, which must be text: old archives hold names in codes of their time."""
    return path.suffix.lower() in ENDINGS and not any("\udc80" <= sign <= "\udcff" for sign in str(path))


def _are_splits(root: Path, names: set[str]) -> bool:
    """Whether the first folders are splits.  ValueError: some are, and some not."""
    others = {name for name in names if name.lower() not in SPLIT_WORDS}
    if others and others != names:
        splits = ", ".join(sorted(names - others))
        raise ValueError(
            f"{root} holds folders of splits ({splits}) beside {min(others)!r}: rename or remove those of one kind"
        )
    return bool(names) and not others


def _tidy(table: pa.Table, folder: Path) -> pa.Table:
    """Categories in one spelling, splits by the catalogue's words, pictures below the folder by their relative path."""
    pictures = [name.removeprefix(f"{folder}/") for name in _texts(table, "picture")]
    table = _replaced(table, "picture", pictures)
    table = _replaced(table, "category", one_spelling(_texts(table, "category")))
    if "split" not in table.column_names:
        return table
    words = _texts(table, "split")
    return _replaced(table, "split", [SPLIT_WORDS.get(word.strip().lower(), word) for word in words])


def _with_sides(table: pa.Table) -> pa.Table:
    """A column `box`, of four numbers a cell (as `10 20 110 220`, `[10,20,110,220]` or a list), as x1, y1, x2, y2."""
    if "box" not in table.column_names:
        return table
    if both := [name for name in BOX if name in table.column_names]:
        raise ValueError(f"its columns are both box and {', '.join(both)}: give boxes in one way")
    boxes = [_sides(value) for value in table["box"].to_pylist()]
    for name, sides in zip(BOX, zip(*boxes, strict=True) if boxes else [()] * len(BOX), strict=True):
        table = table.append_column(name, pa.array(sides, pa.string()))
    return table


def _sides(cell: Any) -> tuple[str | None, ...]:
    """The four sides as they are written; a cell of another length stands whole as the first: it is no number."""
    text = "" if cell is None else str(cell)
    sides = re.findall(r"[^\s,;()\[\]]+", text)
    if len(sides) == len(BOX):
        return tuple(sides)
    return (text if sides else None, None, None, None)


def _labelled(table: pa.Table) -> pa.Table:
    """Every row with a category: UNKNOWN where the manifest names none."""
    names = [name if name.strip() else UNKNOWN for name in _texts(table, "category")]
    others = table.select([name for name in table.column_names if name != "category"])
    return others.append_column("category", pa.array(names, pa.string()))


def _with_ids(table: pa.Table) -> pa.Table:
    """Where the manifest names no ids: the picture, numbered from its second row on; the row where it has none."""
    if "id" in table.column_names:
        return table
    seen: Counter[str] = Counter()
    ids = []
    for number, picture in enumerate(_texts(table, "picture"), start=1):
        seen[picture] += 1
        ids.append(f"{picture}#{seen[picture]}" if seen[picture] > 1 and picture else picture or f"row {number}")
    return table.append_column("id", pa.array(ids, pa.string()))


def _reasons(table: pa.Table) -> list[str]:
    """Why each row is of no use; "": it is."""
    boxes = zip(*(_values(table, name) for name in BOX), strict=True)
    known: set[tuple[Any, ...]] = set()
    reasons = []
    for picture, category, box in zip(_texts(table, "picture"), _texts(table, "category"), boxes, strict=True):
        box = tuple(map(_number, box))
        reasons.append(_reason(picture, category, box, known))
        if not reasons[-1]:
            known.add((picture, box))
    return reasons


def _reason(picture: str, category: str, box: tuple[Any, ...], known: set[tuple[Any, ...]]) -> str:
    if not picture or not category:
        return f"the manifest names no {'category' if picture else 'path'}"
    if words := [side for side in box if isinstance(side, str)]:
        return f"the box of {picture} holds {words[0]!r}, which is no number"
    if any(side is not None for side in box) and (None in box or box[2] <= box[0] or box[3] <= box[1]):
        return f"the box {list(box)} of {picture} has no area"
    return f"{picture} was listed before with the same box; the first is kept" if (picture, box) in known else ""


def _number(side: Any) -> float | str | None:
    """A side of a box; as it stands where it is no number, None where there is none: Parquet has NaN for that."""
    try:
        number = float(side) if side not in (None, "") else float("nan")
    except (TypeError, ValueError):
        return str(side)
    return None if number != number else number


def _values(table: pa.Table, name: str) -> list[Any]:
    return table[name].to_pylist() if name in table.column_names else [None] * len(table)


def _texts(table: pa.Table, name: str) -> list[str]:
    return ["" if value is None else str(value) for value in _values(table, name)]


def _replaced(table: pa.Table, name: str, values: Sequence[str]) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values, pa.string()))
