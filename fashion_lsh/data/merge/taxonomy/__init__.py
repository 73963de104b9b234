"""The 30 categories, and label maps that assign the labels of each source to categories.

A label map is a CSV file with the columns `label,category,group,reason`. The first matching line applies, and `*`
matches any characters. A label that covers several categories, or belongs to none of the 30, has no category. Such a
label has a group if all its garments belong to one group.
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

COLUMNS = ("label", "category", "group", "reason")
FOLDER = files(__name__)
SHARED_MAPS = {  # source -> other source whose label map is used
    "deepfashion_fine": "deepfashion_category",
    "deepfashion_consumer_val": "deepfashion_consumer",
    "modanet_corrected": "modanet",
}

NumberedLine = tuple[int, dict[str, str]]  # line number, cells by column


@dataclass(frozen=True)
class LabelMap:
    """Label map.

    Attributes:
        entries: label or pattern -> (category, group); "" stands for no category or no group.
    """

    entries: Mapping[str, tuple[str, str]]

    def lookup(self, labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Map N labels to categories (N,) and groups (N,), object arrays of str; "" for no category or no group."""
        label_entries = {label: self._find_entry(label) or ("", "") for label in set(labels)}
        categories, groups = ([label_entries[label][index] for label in labels] for index in (0, 1))
        return np.array(categories, dtype=object), np.array(groups, dtype=object)

    def count_unmatched(self, labels: Sequence[str]) -> dict[str, int]:
        """Count the labels that match no line: label -> number of occurrences, sorted by label."""
        return {label: count for label, count in sorted(Counter(labels).items()) if self._find_entry(label) is None}

    def _find_entry(self, label: str) -> tuple[str, str] | None:
        matches = (entry for name, entry in self.entries.items() if name == label or fnmatchcase(label, name))
        return next(matches, None)


def load_label_map(source: str | Path) -> LabelMap:
    """Load the label map of a source, or a label map from a .csv file.

    Args:
        source: One of SOURCES, or the path of a .csv file.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The source has no label map, or the file is invalid: wrong columns, a duplicate label, or an unknown
            category or group.
    """
    if str(source).lower().endswith(".csv"):
        return _read_map(Path(source))
    if source not in SOURCES:
        raise ValueError(f"label map {str(source)!r} not found; use one of {', '.join(SOURCES)}, or a .csv file")
    return _read_map(FOLDER / "maps" / f"{SHARED_MAPS.get(str(source), source)}.csv")


def find_group(label: str) -> str:
    """Return the group of a category, or of a label on whose group all built-in label maps agree; otherwise ""."""
    if label in GROUPS:
        return GROUPS[label]
    groups = {group for source in SOURCES for group in load_label_map(source).lookup([label])[1]} - {""}
    return groups.pop() if len(groups) == 1 else ""


def _read_map(file: Traversable) -> LabelMap:
    entries: dict[str, tuple[str, str]] = {}
    for line, cells in _read_lines(file, COLUMNS):
        try:
            if cells["label"] in entries:
                raise ValueError(f"duplicate label {cells['label']!r}; remove one of the lines")
            entries[cells["label"]] = _parse_entry(cells["label"], cells["category"], cells["group"])
        except ValueError as error:
            raise ValueError(f"{file}, line {line}: {error}") from error
    return LabelMap(entries)


def _parse_entry(label: str, category: str, group: str) -> tuple[str, str]:
    """Validate the cells of a line and return (category, group); a category implies its group."""
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
            f"group {group!r} of label {label!r} is not the group of category {category!r}; "
            f"use {expected_group!r}, or leave the cell empty"
        )
    return category, expected_group


def _read_lines(file: Traversable, columns: Sequence[str]) -> Iterator[NumberedLine]:
    """Yield the non-empty lines below the header of a CSV file, with stripped cells."""
    cell_lists = _read_cells(file)
    header = [name.strip() for name in next(cell_lists, (1, []))[1]]
    if sorted(header) != sorted(columns):
        raise ValueError(f"{file}, line 1: columns {','.join(header)!r}; use {','.join(columns)!r}")
    for line, cells in cell_lists:
        if cells and len(cells) != len(header):
            counts = f"{len(cells)} cells for {len(header)} columns"
            raise ValueError(f"{file}, line {line}: {counts}; quote cells that contain a comma")
        if any(cells):
            yield line, dict(zip(header, (cell.strip() for cell in cells), strict=True))


def _read_cells(file: Traversable) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and cells of each row of a CSV file, with the file name in errors."""
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
        raise ValueError(f"{file}: {error}; save the file as CSV in UTF-8") from error


GROUPS: dict[str, str] = {
    cells["category"]: cells["group"]
    for _, cells in _read_lines(FOLDER / "categories.csv", ("category", "group", "meaning"))
}  # category -> group, in the order of the file
CATEGORIES: tuple[str, ...] = tuple(GROUPS)
SOURCES: tuple[str, ...] = tuple(
    sorted([*SHARED_MAPS, *(file.name[:-4] for file in (FOLDER / "maps").iterdir() if file.name.endswith(".csv"))])
)
