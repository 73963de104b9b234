"""The 30 categories, and label maps from each source's labels to them.

A label map is a CSV file with the columns `label,category,group,why`. The first matching line applies, and `*` matches
any characters. A label that spans several categories, or none of the 30, has no category; it has a group if all its
garments belong to one group.
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
SHARED_MAPS = {  # source -> source whose map it uses
    "deepfashion_fine": "deepfashion_category",
    "deepfashion_consumer_val": "deepfashion_consumer",
    "modanet_corrected": "modanet",
}

NumberedRow = tuple[int, dict[str, str]]  # line number, cells by column


@dataclass(frozen=True)
class LabelMap:
    """Label map: label or pattern -> (category, group), "" if there is none."""

    entries: Mapping[str, tuple[str, str]]

    def lookup(self, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Map N labels to (N,) categories and (N,) groups, object arrays of str; "" if there is none."""
        found = {label: self._find_entry(label) or ("", "") for label in set(labels)}
        categories, groups = ([found[label][index] for label in labels] for index in (0, 1))
        return np.array(categories, dtype=object), np.array(groups, dtype=object)

    def unknown(self, labels: Sequence[str]) -> dict[str, int]:
        """Count the labels that match no line, sorted by label."""
        return {label: count for label, count in sorted(Counter(labels).items()) if self._find_entry(label) is None}

    def _find_entry(self, label: str) -> tuple[str, str] | None:
        matches = (entry for name, entry in self.entries.items() if name == label or fnmatchcase(label, name))
        return next(matches, None)


def load_label_map(source: str | Path) -> LabelMap:
    """Load the label map of one of SOURCES, or from a .csv file.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: Unknown source, or an invalid file: wrong columns, a duplicate label, or an unknown category or
            group.
    """
    if str(source).lower().endswith(".csv"):
        return _read_map(Path(source))
    if source not in SOURCES:
        raise ValueError(f"no label map for {source!r}; use one of {', '.join(SOURCES)}, or a .csv file")
    return _read_map(FOLDER / "maps" / f"{SHARED_MAPS.get(str(source), source)}.csv")


def _read_map(file: Traversable) -> LabelMap:
    entries: dict[str, tuple[str, str]] = {}
    for number, cells in _lines(file, COLUMNS):
        try:
            if cells["label"] in entries:
                raise ValueError(f"duplicate label {cells['label']!r}; keep one of the lines")
            entries[cells["label"]] = _parse_entry(cells["label"], cells["category"], cells["group"])
        except ValueError as error:
            raise ValueError(f"{file}, line {number}: {error}") from error
    return LabelMap(entries)


def _parse_entry(label: str, category: str, group: str) -> tuple[str, str]:
    """Validate a line and return its category and group; a category implies its group."""
    if not label:
        raise ValueError("label is empty; fill it in, or remove the line")
    if category and category not in GROUPS:
        raise ValueError(f"unknown category {category!r} of label {label!r}; use one of {', '.join(CATEGORIES)}")
    groups = list(dict.fromkeys(GROUPS.values()))
    if group and group not in groups:
        raise ValueError(f"unknown group {group!r} of label {label!r}; use one of {', '.join(groups)}")
    expected_group = GROUPS.get(category, group)
    if group and group != expected_group:
        raise ValueError(
            f"group {group!r} of label {label!r} is not the group of {category!r}; "
            f"use {expected_group!r}, or leave it empty"
        )
    return category, expected_group


def _lines(file: Traversable, columns: Sequence[str]) -> Iterator[NumberedRow]:
    """Yield the lines below the header of a CSV file, with stripped cells and without empty lines."""
    rows = _rows(file)
    header = [name.strip() for name in next(rows, (1, []))[1]]
    if sorted(header) != sorted(columns):
        raise ValueError(f"{file}, line 1: columns {','.join(header)!r}; use {','.join(columns)!r}")
    for line, cells in rows:
        if cells and len(cells) != len(header):
            counts = f"{len(cells)} cells for {len(header)} columns"
            raise ValueError(f"{file}, line {line}: {counts}; quote cells that contain a comma")
        if any(cells):
            yield line, dict(zip(header, (cell.strip() for cell in cells), strict=True))


def _rows(file: Traversable) -> Iterator[tuple[int, list[str]]]:
    try:
        yield from csv_rows(io.StringIO(_read_text(file), newline=""))
    except ValueError as error:
        raise ValueError(f"{file}, {error}") from error


def _read_text(file: Traversable) -> str:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: no such label map; use a CSV file with the columns {','.join(COLUMNS)}")
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: {error}; save it as CSV in UTF-8") from error


GROUPS: dict[str, str] = {
    cells["category"]: cells["group"]
    for _, cells in _lines(FOLDER / "categories.csv", ("category", "group", "meaning"))
}  # category -> group, in the order of the file
CATEGORIES: tuple[str, ...] = tuple(GROUPS)
SOURCES: tuple[str, ...] = tuple(
    sorted([*SHARED_MAPS, *(file.name[:-4] for file in (FOLDER / "maps").iterdir() if file.name.endswith(".csv"))])
)
