"""User-supplied images, in one folder per category or listed in a manifest."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.image_files import SPLIT_ALIASES, ImageFiles, normalise_spelling, report_unreadable
from fashion_lsh.data.schema import BOX_COLUMNS, read_table

UNKNOWN_CATEGORY = "unknown"  # category of unlabelled images, which are distractors: relevant to no query
IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")


class Folder(ImageFiles):
    """Images in `<root>/<category>/`, in `<root>/<split>/<category>/`, or listed in a manifest.

    A manifest is a CSV or Parquet file with columns of a Catalogue: at least `image` (or `path`) and `category` (or
    `label`); further columns (price, colour, …) are kept. Image paths are relative to the folder of the manifest.
    Category names that differ only in case or whitespace are merged. Splits are named train, val, query, gallery, or
    training, valid, validation, test (test images are queries).

    Args:
        root: Folder or manifest.
        unlabelled: Whether images without a category are included, with UNKNOWN_CATEGORY.
    """

    def __init__(self, root: str, unlabelled: bool = False) -> None:
        super().__init__(root)
        self.unlabelled = unlabelled

    def list_garments(self) -> tuple[Catalogue, dict[str, str]]:
        if not self.root.exists():
            raise FileNotFoundError(
                f"{self.root}: no such folder or file; pass a folder of images, or a manifest (.csv or .parquet)"
            )
        if self.root.is_dir():
            return _list_folders(self.root, self.unlabelled)
        table = read_table(self.root)
        if self.unlabelled:
            table = _fill_categories(table)
        try:
            if not {"image", "category"} <= set(table.column_names):
                return Catalogue(table), {}  # raises ValueError, which lists the columns
            table = _add_ids(_normalise(_expand_box_column(table), self.folder))
            reasons = _skip_reasons(table)
            ids, is_usable = _column_strings(table, "id"), pa.array([not reason for reason in reasons], pa.bool_())
            skipped: dict[str, str] = {}
            for row, (name, reason) in enumerate(zip(ids, reasons, strict=True), start=1):
                if reason:
                    key = f"{name} (row {row})" if name in skipped else name or f"row {row}"
                    skipped[key] = f"row {row}: {reason}"
            return Catalogue(table.filter(is_usable)), skipped
        except ValueError as error:
            raise ValueError(f"{self.root}: {error}") from error


def _list_folders(root: Path, unlabelled: bool) -> tuple[Catalogue, dict[str, str]]:
    """List the image files below a folder, and reasons for skipped files: path -> reason."""
    read_errors: list[OSError] = []
    # broken links are kept here, so that they are reported as missing images
    paths = [path for path in sorted(_walk_files(root, read_errors)) if path.is_file() or not path.exists()]
    files = [path.relative_to(root) for path in paths]
    files = [path for path in files if not any(part.startswith(".") for part in path.parts)]
    has_splits = _are_splits(root, {path.parts[0] for path in files if len(path.parts) > 1 and _is_image(path)})
    depth = 3 if has_splits else 2
    reasons = {path: _skip_reason(path, 1 if unlabelled else depth) for path in files}
    images = [path for path in files if not reasons[path]]
    if not images:
        raise ValueError(f"{root}: no images; use one folder per category, for example {root}/<category>/1.jpg")
    columns = {
        "image": [path.as_posix() for path in images],
        "category": normalise_spelling(
            [path.parts[depth - 2] if len(path.parts) >= depth else UNKNOWN_CATEGORY for path in images]
        ),
        "split": [
            SPLIT_ALIASES[path.parts[0].lower()] if has_splits and len(path.parts) > 1 else "" for path in images
        ],
    }
    unreadable = {_printable(Path(name)): reason for name, reason in report_unreadable(read_errors).items()}
    return Catalogue.from_columns(columns), unreadable | {
        _printable(path): reason for path, reason in reasons.items() if reason
    }


def _walk_files(root: Path, read_errors: list[OSError]) -> Iterator[Path]:
    """List all files below a folder, following linked folders once; read errors are added to `read_errors`."""
    visited = set()
    for folder, folders, names in os.walk(root, onerror=read_errors.append, followlinks=True):
        if (resolved := os.path.realpath(folder)) in visited:
            folders.clear()
            continue
        visited.add(resolved)
        yield from (Path(folder, name) for name in names)


def _skip_reason(path: Path, depth: int) -> str:
    if not _is_image(path):
        return f"{_printable(path)}: not an image file name (extensions {' '.join(IMG_EXTENSIONS)})"
    return f"{_printable(path)}: not in a category folder" if len(path.parts) < depth else ""


def _printable(path: Path) -> str:
    """Return the path as a string, with `?` for undecodable bytes."""
    return path.as_posix().encode(errors="replace").decode()


def _is_image(path: Path) -> bool:
    """Return whether a file has an image extension and a decodable name (names from old archives may not decode)."""
    return path.suffix.lower() in IMG_EXTENSIONS and not any(
        "\udc80" <= character <= "\udcff" for character in str(path)
    )


def _are_splits(root: Path, names: set[str]) -> bool:
    """Return whether all top-level folders are splits.  Raises ValueError if only some of these folders are splits."""
    other_folders = {name for name in names if name.lower() not in SPLIT_ALIASES}
    if other_folders and other_folders != names:
        split_folders = ", ".join(sorted(names - other_folders))
        raise ValueError(
            f"{root}: mixes split folders ({split_folders}) with other folders ({min(other_folders)!r}); "
            "rename or remove the split folders or the other folders"
        )
    return bool(names) and not other_folders


def _normalise(table: pa.Table, folder: Path) -> pa.Table:
    """Normalise category and split names, and make absolute image paths relative to the folder."""
    images = [name.removeprefix(f"{folder}/") for name in _column_strings(table, "image")]
    table = _replace_column(table, "image", images)
    table = _replace_column(table, "category", normalise_spelling(_column_strings(table, "category")))
    if "split" not in table.column_names:
        return table
    names = _column_strings(table, "split")
    return _replace_column(table, "split", [SPLIT_ALIASES.get(name.strip().lower(), name) for name in names])


def _expand_box_column(table: pa.Table) -> pa.Table:
    """Expand a column `box` to x1, y1, x2, y2; a cell is `10 20 110 220`, `[10,20,110,220]` or a list of numbers."""
    if "box" not in table.column_names:
        return table
    if conflicting := [name for name in BOX_COLUMNS if name in table.column_names]:
        raise ValueError(f"has both a column box and {', '.join(conflicting)}; remove one of these")
    boxes = [_split_box(value) for value in table["box"].to_pylist()]
    for name, coordinates in zip(
        BOX_COLUMNS, zip(*boxes, strict=True) if boxes else [()] * len(BOX_COLUMNS), strict=True
    ):
        table = table.append_column(name, pa.array(coordinates, pa.string()))
    return table.drop_columns(["box"])


def _split_box(cell: Any) -> tuple[str | None, ...]:
    """Split a cell into four coordinates; an invalid cell is returned as the first coordinate and rejected later."""
    string = "" if cell is None else str(cell)
    coordinates = re.findall(r"[^\s,;()\[\]]+", string)
    if len(coordinates) == len(BOX_COLUMNS):
        return tuple(coordinates)
    return (string if coordinates else None, None, None, None)


def _fill_categories(table: pa.Table) -> pa.Table:
    """Fill missing categories with UNKNOWN_CATEGORY."""
    names = [name if name.strip() else UNKNOWN_CATEGORY for name in _column_strings(table, "category")]
    other_columns = table.select([name for name in table.column_names if name != "category"])
    return other_columns.append_column("category", pa.array(names, pa.string()))


def _add_ids(table: pa.Table) -> pa.Table:
    """Add a missing id column: the image path (numbered if repeated), or the row number if the path is empty."""
    if "id" in table.column_names:
        return table
    counts: Counter[str] = Counter()
    ids = []
    for number, image in enumerate(_column_strings(table, "image"), start=1):
        counts[image] += 1
        ids.append(f"{image}#{counts[image]}" if counts[image] > 1 and image else image or f"row {number}")
    return table.append_column("id", pa.array(ids, pa.string()))


def _skip_reasons(table: pa.Table) -> list[str]:
    """Return the reason to skip each row, or ""."""
    boxes = zip(*(_column_values(table, name) for name in BOX_COLUMNS), strict=True)
    seen_boxes: set[tuple[Any, ...]] = set()
    reasons = []
    for image, category, box in zip(
        _column_strings(table, "image"), _column_strings(table, "category"), boxes, strict=True
    ):
        box = tuple(map(_parse_coordinate, box))
        reasons.append(_row_problem(image, category, box, seen_boxes))
        if not reasons[-1]:
            seen_boxes.add((image, box))
    return reasons


def _row_problem(image: str, category: str, box: tuple[Any, ...], seen_boxes: set[tuple[Any, ...]]) -> str:
    if not image or not category:
        return f"{'category' if image else 'path'} is empty"
    if invalid := [coordinate for coordinate in box if isinstance(coordinate, str)]:
        return f"the box of {image} contains {invalid[0]!r}, which is not a number"
    if any(coordinate is not None for coordinate in box) and (None in box or box[2] <= box[0] or box[3] <= box[1]):
        return f"the box {list(box)} of {image} has no area"
    return f"duplicate of {image} with the same box; the first row is kept" if (image, box) in seen_boxes else ""


def _parse_coordinate(coordinate: Any) -> float | str | None:
    """Parse a coordinate; None if the cell is empty or NaN, the string itself if the cell is not a number."""
    try:
        number = float(coordinate) if coordinate not in (None, "") else float("nan")
    except (TypeError, ValueError):
        return str(coordinate)
    return None if number != number else number


def _column_values(table: pa.Table, name: str) -> list[Any]:
    return table[name].to_pylist() if name in table.column_names else [None] * len(table)


def _column_strings(table: pa.Table, name: str) -> list[str]:
    return ["" if value is None else str(value) for value in _column_values(table, name)]


def _replace_column(table: pa.Table, name: str, values: Sequence[str]) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values, pa.string()))
