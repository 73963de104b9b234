"""The 30 categories, and what the labels of each source become among them.

A label is what a source calls a garment. A map of labels is a CSV file of the columns `label,category,group,why`, read
from top to bottom: the first line that fits a label counts, and `*` stands for any letters. A label that spans several
categories, or is none of the 30, has no category; it keeps its group where all of it lies in one.
"""

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np

from fashion_lsh.io.files import csv_rows

COLUMNS = ("label", "category", "group", "why")
FOLDER = files(__name__)
SHARED_MAPS = {  # sources that share a map: source -> name of the map
    "deepfashion_fine": "deepfashion_category",
    "deepfashion_consumer_val": "deepfashion_consumer",
    "modanet_corrected": "modanet",
}

NumberedRow = tuple[int, dict[str, str]]  # its number in the file, its cells by column


@dataclass(frozen=True)
class LabelMap:
    """What labels become: label, or pattern of labels -> its category and group, "" where it has none."""

    entries: Mapping[str, tuple[str, str]]

    def lookup(self, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """(N,) categories and (N,) groups, str objects, of N labels; "" where a label has none or is not named."""
        found = {label: self._find_entry(label) or ("", "") for label in set(labels)}
        categories, groups = ([found[label][index] for label in labels] for index in (0, 1))
        return np.array(categories, dtype=object), np.array(groups, dtype=object)

    def unknown(self, labels: Sequence[str]) -> dict[str, int]:
        """Labels that no line fits, each with how often it occurs, sorted."""
        return {label: count for label, count in sorted(Counter(labels).items()) if self._find_entry(label) is None}

    def _find_entry(self, label: str) -> tuple[str, str] | None:
        matches = (entry for name, entry in self.entries.items() if name == label or fnmatchcase(label, name))
        return next(matches, None)


def load_label_map(source: str | Path) -> LabelMap:
    """The map of one of SOURCES, or of a file that ends in .csv.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no source is called so; or the file is no map: it lacks a column, names a label twice, or a category
            or group that is none of ours; names file, line and value.
    """
    if str(source).lower().endswith(".csv"):
        return _read_map(Path(source))
    if source not in SOURCES:
        raise ValueError(
            f"no map of labels for {source!r}: give one of {', '.join(SOURCES)}, or a file that ends in .csv"
        )
    return _read_map(FOLDER / "maps" / f"{SHARED_MAPS.get(str(source), source)}.csv")


def _read_map(file: Traversable) -> LabelMap:
    entries: dict[str, tuple[str, str]] = {}
    for number, cells in _lines(file, COLUMNS):
        try:
            if cells["label"] in entries:
                raise ValueError(f"label {cells['label']!r} stands there twice: keep one of the lines")
            entries[cells["label"]] = _parse_entry(cells["label"], cells["category"], cells["group"])
        except ValueError as error:
            raise ValueError(f"{file}, line {number}: {error}") from error
    return LabelMap(entries)


def _parse_entry(label: str, category: str, group: str) -> tuple[str, str]:
    """Category and group of a line; the group of a category need not be given."""
    if not label:
        raise ValueError("it has no label: give one, or remove the line")
    if category and category not in GROUPS:
        raise ValueError(f"category {category!r} of {label!r} is none of the 30: give one of {', '.join(CATEGORIES)}")
    groups = list(dict.fromkeys(GROUPS.values()))
    if group and group not in groups:
        raise ValueError(f"group {group!r} of {label!r} is unknown: give one of {', '.join(groups)}")
    expected_group = GROUPS.get(category, group)
    if group and group != expected_group:
        raise ValueError(
            f"group {group!r} of {label!r} is not that of {category!r}: give {expected_group!r}, or leave it empty"
        )
    return category, expected_group


def _lines(file: Traversable, columns: Sequence[str]) -> Iterator[NumberedRow]:
    """The lines below the header of a CSV file, their cells without outer blanks; empty lines are passed over."""
    rows = _rows(file)
    header = [name.strip() for name in next(rows, (1, []))[1]]
    if sorted(header) != sorted(columns):
        raise ValueError(f"{file}, line 1: its columns are {','.join(header)!r}: give {','.join(columns)!r}")
    for line, cells in rows:
        if cells and len(cells) != len(header):
            counts = f"{len(cells)} cells for {len(header)} columns"
            raise ValueError(f"{file}, line {line}: {counts}: quote a cell that holds a comma")
        if any(cells):
            yield line, dict(zip(header, (cell.strip() for cell in cells), strict=True))


def _rows(file: Traversable) -> Iterator[tuple[int, list[str]]]:
    try:
        yield from csv_rows(io.StringIO(_read_text(file), newline=""))
    except ValueError as error:
        raise ValueError(f"{file}, {error}") from error


def _read_text(file: Traversable) -> str:
    if not file.is_file():
        raise FileNotFoundError(f"no map of labels at {file}: give a CSV file of the columns {','.join(COLUMNS)}")
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: {error}: save it as CSV in UTF-8") from error


GROUPS: dict[str, str] = {
    cells["category"]: cells["group"]
    for _, cells in _lines(FOLDER / "categories.csv", ("category", "group", "meaning"))
}  # category -> group, in the order of the file
CATEGORIES: tuple[str, ...] = tuple(GROUPS)
SOURCES: tuple[str, ...] = tuple(
    sorted([*SHARED_MAPS, *(file.name[:-4] for file in (FOLDER / "maps").iterdir() if file.name.endswith(".csv"))])
)
