"""A user's own pictures: in folders by category, or listed in a manifest."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from fashion_lsh.catalogue.catalogue import BOX, Catalogue, read_table
from fashion_lsh.catalogue.sources.picture_files import SPLIT_WORDS, PictureFiles, one_spelling

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")


class Folder(PictureFiles):
    """Pictures in `<root>/<category>/`, in `<root>/<split>/<category>/`, or listed in a manifest.

    A manifest is CSV or Parquet with the columns of a Catalogue, `picture` (or `path`, relative to the manifest's own
    folder) and `category` (or `label`) at least. Category names that differ in case or blanks alone are one. Splits
    may be called train, val, query, gallery, or training, valid, validation, test (which asks, as query does).
    """

    def listed(self) -> tuple[Catalogue, dict[str, str]]:
        if self.root.is_dir():
            return _in_folders(self.root)
        table = read_table(self.root)
        try:
            if not {"picture", "category"} <= set(table.column_names):
                return Catalogue(table), {}  # raises, and names the columns
            table = _with_ids(_tidy(table))
            left_out = _left_out(table)
            kept = pa.array([name not in left_out for name in _texts(table, "id")], pa.bool_())
            return Catalogue(table.filter(kept)), left_out
        except ValueError as error:
            raise ValueError(f"{self.root}: {error}") from error


def _in_folders(root: Path) -> tuple[Catalogue, dict[str, str]]:
    """The picture files below a folder, and the other files: id -> reason."""
    files = [path.relative_to(root) for path in sorted(root.rglob("*")) if path.is_file()]
    files = [path for path in files if not any(part.startswith(".") for part in path.parts)]
    by_split = _are_splits({path.parts[0] for path in files if len(path.parts) > 1})
    depth = 3 if by_split else 2
    reasons = {path: _passed_over(path, depth) for path in files}
    pictures = [path for path in files if not reasons[path]]
    if not pictures:
        raise ValueError(f"{root} holds no pictures: put them into a folder a category, as {root}/<category>/1.jpg")
    columns = {
        "picture": [path.as_posix() for path in pictures],
        "category": one_spelling([path.parts[depth - 2] for path in pictures]),
        "split": [SPLIT_WORDS[path.parts[0].lower()] if by_split else "" for path in pictures],
    }
    return Catalogue.of(columns), {path.as_posix(): reason for path, reason in reasons.items() if reason}


def _passed_over(path: Path, depth: int) -> str:
    if path.suffix.lower() not in ENDINGS:
        return f"{path}: no picture by its ending; read are {' '.join(ENDINGS)}"
    return f"{path}: lies in no category's folder" if len(path.parts) < depth else ""


def _are_splits(names: set[str]) -> bool:
    return bool(names) and all(name.lower() in SPLIT_WORDS for name in names)


def _tidy(table: pa.Table) -> pa.Table:
    """Categories in one spelling, splits by the catalogue's words."""
    table = _replaced(table, "category", one_spelling(_texts(table, "category")))
    if "split" not in table.column_names:
        return table
    words = _texts(table, "split")
    return _replaced(table, "split", [SPLIT_WORDS.get(word.strip().lower(), word) for word in words])


def _with_ids(table: pa.Table) -> pa.Table:
    """Where the manifest names no ids: the picture, numbered from its second row on; the row where it has none."""
    if "id" in table.column_names:
        return table
    seen: Counter[str] = Counter()
    ids = []
    for number, picture in enumerate(_texts(table, "picture"), start=1):
        seen[picture] += 1
        ids.append(f"{picture}#{seen[picture]}" if seen[picture] > 1 else picture or f"row {number}")
    return table.append_column("id", pa.array(ids, pa.string()))


def _left_out(table: pa.Table) -> dict[str, str]:
    """Rows without a path or category, and those that repeat an earlier one: id -> reason."""
    boxes = zip(*(_values(table, name) for name in BOX), strict=True)
    texts = (_texts(table, name) for name in ("id", "picture", "category"))
    known: set[tuple[Any, ...]] = set()
    reasons: dict[str, str] = {}
    for name, picture, category, box in zip(*texts, boxes, strict=True):
        if not picture or not category:
            reasons[name] = f"the manifest names no {'category' if picture else 'path'}"
        elif (picture, box) in known:
            reasons[name] = f"{picture}: listed before with the same box; the first is kept"
        else:
            known.add((picture, box))
    return reasons


def _values(table: pa.Table, name: str) -> list[Any]:
    return table[name].to_pylist() if name in table.column_names else [None] * len(table)


def _texts(table: pa.Table, name: str) -> list[str]:
    return ["" if value is None else str(value) for value in _values(table, name)]


def _replaced(table: pa.Table, name: str, values: Sequence[str]) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values, pa.string()))
