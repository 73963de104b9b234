"""Corrections of a data set: relabel or leave out rows, as decided in a reviewed CSV file."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fashion_lsh.data.catalogue import Catalogue, Filters
from fashion_lsh.data.datasets import Source
from fashion_lsh.io.files import csv_rows

COLUMNS = ("number", "id", "image", "category", "suggested", "reason", "score", "action", "new_category")
REQUIRED_COLUMNS = ("id", "action")
RELABEL, EXCLUDE = "relabel", "exclude"
ACTIONS = ("", "keep", RELABEL, EXCLUDE)  # "": not decided, which keeps the row as `keep` does


class Correction(NamedTuple):
    """Decision on one row of a data set.

    Attributes:
        file: reviewed CSV file.
        line: line of the decision in the file, from 1.
        id: id of the row.
        category: category of the row when it was reviewed; "" if the file does not say.
        action: one of ACTIONS.
        new_category: category of a relabelled row; "" for other actions.
    """

    file: Path
    line: int
    id: str
    category: str
    action: str
    new_category: str

    def error(self, problem: str) -> ValueError:
        """Build an error that names the file and the line."""
        return ValueError(f"{self.file}, line {self.line}: {problem}")


class CorrectedSource:
    """Data set with corrections, applied to all its rows before categories and sources are selected.

    Args:
        source: data set to correct.
        files: reviewed CSV files (see `read_corrections`), applied one after another.

    Attributes:
        changes: applied corrections, set by `catalogue`; rows kept as they are are not in the list.
    """

    def __init__(self, source: Source, files: Sequence[str | Path]) -> None:
        self.source = source
        self.files = [read_corrections(file) for file in files]
        self.changes: list[Correction] = []

    def catalogue(self, filters: Filters = None) -> Catalogue:
        """Return the corrected rows, filtered (see `Catalogue.filter`).

        Raises:
            ValueError: a correction does not fit the data (see `apply_corrections`).
        """
        rows, known_ids = self.source.catalogue(), set(self._source_skipped)
        self.changes = []
        for corrections in self.files:
            rows, changes = apply_corrections(rows, corrections, known_ids)
            self.changes += changes
        return rows.filter(filters)

    def image(self, key: str) -> np.ndarray:
        """Load an image by key, (H, W, 3) uint8 RGB."""
        return self.source.image(key)

    @property
    def skipped(self) -> dict[str, str]:
        """Rows skipped by the data set or left out by a correction: id -> reason."""
        excluded = {
            change.id: f"left out by {change.file.name}, line {change.line}"
            for change in self.changes
            if change.action == EXCLUDE
        }
        return {**self._source_skipped, **excluded}

    @property
    def checksum(self) -> str:
        """Checksum of the image bytes of the data set, or "" (see `GarmentData.checksum`)."""
        return str(getattr(self.source, "checksum", ""))

    @property
    def _source_skipped(self) -> dict[str, str]:
        return dict(getattr(self.source, "skipped", {}))


def correct(source: Source, files: str | Sequence[str] | None) -> Source:
    """Return the data set with the corrections of one or several files; without files, the data set itself."""
    if not files:
        return source
    return CorrectedSource(source, [files] if isinstance(files, str) else files)


def uncorrected(source: Source) -> Source:
    """Return the data set without corrections, to test for its class."""
    return source.source if isinstance(source, CorrectedSource) else source


def read_corrections(path: str | Path) -> list[Correction]:
    """Read a CSV file of decisions, with a header and one row per decision.

    Columns: `id` and `action` (keep, relabel, exclude, or empty); for relabel also `new_category`, where an empty cell
    accepts the category in `suggested`. `category` is the category that was reviewed. Other columns are ignored.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: a column or a value is missing or invalid, or two lines decide differently on one row. The message
            names the file, the line and the value.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"data.corrections={path}: no such file; pass a CSV file written by fashion-lsh review")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            (_, header), *lines = [(line, cells) for line, cells in csv_rows(file) if any(cells)] or [(1, [""])]
    except ValueError as error:  # includes UnicodeDecodeError
        raise ValueError(f"{path}: {error}; save the file as CSV in UTF-8") from error
    header = [name.strip() for name in header]
    for name in REQUIRED_COLUMNS:
        if header.count(name) != 1:
            raise ValueError(
                f"{path}, line 1: column {name!r} is given {header.count(name)} times in {header}; "
                f"give it once, and separate cells by commas"
            )
    corrections = [_parse(path, line, header, cells) for line, cells in lines]
    _check_conflicts(corrections)
    return corrections


def _parse(path: Path, line: int, header: Sequence[str], cells: Sequence[str]) -> Correction:
    if len(cells) != len(header):
        raise ValueError(f"{path}, line {line}: {len(cells)} cells instead of {len(header)}; give one per column")
    values = dict(zip(header, cells, strict=True))
    action, typed = values["action"].strip().lower(), values.get("new_category", "").strip()
    new_category = (typed or values.get("suggested", "").strip()) if action == RELABEL else ""
    correction = Correction(path, line, values["id"], values.get("category", ""), action, new_category)
    if not values["id"]:
        raise correction.error("id is empty; set it to the id of a row")
    if action not in ACTIONS:
        raise correction.error(f"action={values['action']!r}: unknown; use {', '.join(ACTIONS[1:])} or leave it empty")
    if action == RELABEL and not new_category:
        raise correction.error("new_category is empty; set it to the category of a relabelled row")
    if action != RELABEL and typed:
        raise correction.error(f"new_category={typed!r} with action={action!r}; set action=relabel, or empty the cell")
    return correction


def _check_conflicts(corrections: Iterable[Correction]) -> None:
    """Raise ValueError if two lines decide differently on one row; undecided lines do not count."""
    decided: dict[str, Correction] = {}
    for correction in filter(lambda each: each.action, corrections):
        first = decided.setdefault(correction.id, correction)
        if (first.action, first.new_category) != (correction.action, correction.new_category):
            raise correction.error(
                f"id={correction.id!r}: {_decision(correction)}, but {_decision(first)} in line {first.line}; "
                "remove one of the lines"
            )


def _decision(correction: Correction) -> str:
    return f"{correction.action} {correction.new_category}".strip()


def apply_corrections(
    catalogue: Catalogue, corrections: Iterable[Correction], known_ids: Iterable[str] = ()
) -> tuple[Catalogue, list[Correction]]:
    """Relabel and leave out rows. A relabelled row gets the most frequent supercategory of its new category.

    Args:
        catalogue: rows to correct.
        corrections: decisions without conflicts.
        known_ids: ids of rows that the data set has, but does not use; decisions on them have no effect.

    Returns:
        The corrected rows; the decisions that changed them, one per row.

    Raises:
        ValueError: an id or a new category is not in the data, or the category of a row is not the reviewed one.
    """
    row_by_id = {name: row for row, name in enumerate(catalogue.column("id"))}
    old_categories, supercategories = catalogue.column("category"), catalogue.column("supercategory").copy()
    supercategory_of = _most_frequent(old_categories, supercategories)
    categories, is_kept, known = old_categories.copy(), np.ones(len(catalogue), dtype=bool), set(known_ids)
    changes: dict[str, Correction] = {}
    for correction in corrections:
        row = row_by_id.get(correction.id)
        if row is None:
            if correction.action and correction.id not in known:
                raise correction.error(f"id={correction.id!r}: not in the data; correct the id, or remove the line")
            continue
        _check_categories(correction, old_categories[row], supercategory_of)
        if correction.action == EXCLUDE:
            is_kept[row] = False
        elif correction.action == RELABEL:
            categories[row], supercategories[row] = correction.new_category, supercategory_of[correction.new_category]
        if not is_kept[row] or categories[row] != old_categories[row]:
            changes[correction.id] = correction
    corrected = catalogue.with_columns(category=categories, supercategory=supercategories)
    return corrected.take(np.flatnonzero(is_kept)), list(changes.values())


def _check_categories(correction: Correction, category: str, names: Collection[str]) -> None:
    """Raise ValueError if the row's category is not the reviewed one, or the new category is not in `names`."""
    if correction.category and correction.category != category:
        raise correction.error(
            f"category={correction.category!r}: the data have {category!r} for id={correction.id!r}; write a new "
            "category to new_category instead, or remove the line if the data have changed since the review"
        )
    if correction.action == RELABEL and correction.new_category not in names:
        known = ", ".join(sorted(names))
        raise correction.error(f"new_category={correction.new_category!r}: not in the data; choose from {known}")


def _most_frequent(categories: np.ndarray, supercategories: np.ndarray) -> dict[str, str]:
    """Most frequent supercategory of each category; of equally frequent ones, the last in alphabetical order."""
    counts = Counter(zip(categories, supercategories, strict=True))
    return dict(sorted(counts, key=lambda pair: (counts[pair], pair[1])))
