"""User-supplied images: in folders by category, or listed in a manifest."""

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

UNKNOWN_CATEGORY = "unknown"  # category of unlabelled images; relevant to no query
IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")


class Folder(ImageFiles):
    """Images in `<root>/<category>/`, in `<root>/<split>/<category>/`, or listed in a manifest.

    A manifest is CSV or Parquet with columns of a Catalogue: at least `image` (or `path`, relative to the manifest's
    folder) and `category` (or `label`). Category names that differ only in case or whitespace are merged. Splits are
    named train, val, query, gallery, or training, valid, validation, test (test images are queries).

    Args:
        root: Folder or manifest.
        unlabelled: Also include images without a category, as UNKNOWN_CATEGORY.
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
                return Catalogue(table), {}  # raises an error that names the columns
            table = _add_ids(_normalise(_expand_box_column(table), self.folder))
            reasons = _skip_reasons(table)
            ids, kept = _column_texts(table, "id"), pa.array([not reason for reason in reasons], pa.bool_())
            numbered_rows = enumerate(zip(ids, reasons, strict=True), start=1)
            skipped: dict[str, str] = {}
            for row, (name, reason) in numbered_rows:
                if reason:
                    key = f"{name} (row {row})" if name in skipped else name or f"row {row}"
                    skipped[key] = f"row {row}: {reason}"
            return Catalogue(table.filter(kept)), skipped
        except ValueError as error:
            raise ValueError(f"{self.root}: {error}") from error


def _list_folders(root: Path, unlabelled: bool) -> tuple[Catalogue, dict[str, str]]:
    """List the image files below a folder, and reasons for other files: id -> reason."""
    read_errors: list[OSError] = []
    paths = [
        path for path in sorted(_walk_files(root, read_errors)) if path.is_file() or not path.exists()
    ]  # keep broken links, so that they are reported
    files = [path.relative_to(root) for path in paths]
    files = [path for path in files if not any(part.startswith(".") for part in path.parts)]
    by_split = _are_splits(root, {path.parts[0] for path in files if len(path.parts) > 1 and _is_image(path)})
    depth = 3 if by_split else 2
    reasons = {path: _skip_reason(path, 1 if unlabelled else depth) for path in files}
    images = [path for path in files if not reasons[path]]
    if not images:
        raise ValueError(f"{root}: no images; use one folder per category, for example {root}/<category>/1.jpg")
    columns = {
        "image": [path.as_posix() for path in images],
        "category": normalise_spelling(
            [path.parts[depth - 2] if len(path.parts) >= depth else UNKNOWN_CATEGORY for path in images]
        ),
        "split": [SPLIT_ALIASES[path.parts[0].lower()] if by_split and len(path.parts) > 1 else "" for path in images],
    }
    unreadable = {_printable(Path(name)): reason for name, reason in report_unreadable(read_errors).items()}
    return Catalogue.from_columns(columns), unreadable | {
        _printable(path): reason for path, reason in reasons.items() if reason
    }


def _walk_files(root: Path, read_errors: list[OSError]) -> Iterator[Path]:
    """List all files below a folder, entering linked folders once; collect unreadable folders in `read_errors`."""
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
    """Return the path with `?` for undecodable bytes."""
    return path.as_posix().encode(errors="replace").decode()


def _is_image(path: Path) -> bool:
    """Check the extension; names with undecodable bytes (from old archives) are rejected."""
    return path.suffix.lower() in IMG_EXTENSIONS and not any(
        "\udc80" <= character <= "\udcff" for character in str(path)
    )


def _are_splits(root: Path, names: set[str]) -> bool:
    """Return whether the top-level folders are splits.  Raises ValueError if only some of them are."""
    others = {name for name in names if name.lower() not in SPLIT_ALIASES}
    if others and others != names:
        splits = ", ".join(sorted(names - others))
        raise ValueError(
            f"{root}: mixes split folders ({splits}) with other folders ({min(others)!r}); "
            "rename or remove one of the two kinds"
        )
    return bool(names) and not others


def _normalise(table: pa.Table, folder: Path) -> pa.Table:
    """Normalise category spelling and split names, and make image paths below the folder relative."""
    images = [name.removeprefix(f"{folder}/") for name in _column_texts(table, "image")]
    table = _replace_column(table, "image", images)
    table = _replace_column(table, "category", normalise_spelling(_column_texts(table, "category")))
    if "split" not in table.column_names:
        return table
    texts = _column_texts(table, "split")
    return _replace_column(table, "split", [SPLIT_ALIASES.get(text.strip().lower(), text) for text in texts])


def _expand_box_column(table: pa.Table) -> pa.Table:
    """Expand a column `box` with four numbers per cell (`10 20 110 220`, `[10,20,110,220]` or a list) to x1 .. y2."""
    if "box" not in table.column_names:
        return table
    if conflicting := [name for name in BOX_COLUMNS if name in table.column_names]:
        raise ValueError(f"has both a column box and {', '.join(conflicting)}; remove one of the two")
    boxes = [_split_box(value) for value in table["box"].to_pylist()]
    for name, coordinates in zip(
        BOX_COLUMNS, zip(*boxes, strict=True) if boxes else [()] * len(BOX_COLUMNS), strict=True
    ):
        table = table.append_column(name, pa.array(coordinates, pa.string()))
    return table


def _split_box(cell: Any) -> tuple[str | None, ...]:
    """Split a cell into four coordinates; otherwise return the whole cell as the first, which is rejected later."""
    text = "" if cell is None else str(cell)
    coordinates = re.findall(r"[^\s,;()\[\]]+", text)
    if len(coordinates) == len(BOX_COLUMNS):
        return tuple(coordinates)
    return (text if coordinates else None, None, None, None)


def _fill_categories(table: pa.Table) -> pa.Table:
    """Fill missing categories with UNKNOWN_CATEGORY."""
    names = [name if name.strip() else UNKNOWN_CATEGORY for name in _column_texts(table, "category")]
    others = table.select([name for name in table.column_names if name != "category"])
    return others.append_column("category", pa.array(names, pa.string()))


def _add_ids(table: pa.Table) -> pa.Table:
    """Add ids if there are none: the image path, numbered from its second row on, or the row number without a path."""
    if "id" in table.column_names:
        return table
    counts: Counter[str] = Counter()
    ids = []
    for number, image in enumerate(_column_texts(table, "image"), start=1):
        counts[image] += 1
        ids.append(f"{image}#{counts[image]}" if counts[image] > 1 and image else image or f"row {number}")
    return table.append_column("id", pa.array(ids, pa.string()))


def _skip_reasons(table: pa.Table) -> list[str]:
    """Return the reason to skip each row, or ""."""
    boxes = zip(*(_column_values(table, name) for name in BOX_COLUMNS), strict=True)
    seen_boxes: set[tuple[Any, ...]] = set()
    reasons = []
    for image, category, box in zip(
        _column_texts(table, "image"), _column_texts(table, "category"), boxes, strict=True
    ):
        box = tuple(map(_parse_coordinate, box))
        reasons.append(_row_problem(image, category, box, seen_boxes))
        if not reasons[-1]:
            seen_boxes.add((image, box))
    return reasons


def _row_problem(image: str, category: str, box: tuple[Any, ...], seen_boxes: set[tuple[Any, ...]]) -> str:
    if not image or not category:
        return f"{'category' if image else 'path'} is empty"
    if texts := [coordinate for coordinate in box if isinstance(coordinate, str)]:
        return f"the box of {image} contains {texts[0]!r}, which is not a number"
    if any(coordinate is not None for coordinate in box) and (None in box or box[2] <= box[0] or box[3] <= box[1]):
        return f"the box {list(box)} of {image} has no area"
    return f"duplicate of {image} with the same box; the first row is kept" if (image, box) in seen_boxes else ""


def _parse_coordinate(coordinate: Any) -> float | str | None:
    """Parse a coordinate; None if it is missing (NaN in Parquet), the text itself if it is not a number."""
    try:
        number = float(coordinate) if coordinate not in (None, "") else float("nan")
    except (TypeError, ValueError):
        return str(coordinate)
    return None if number != number else number


def _column_values(table: pa.Table, name: str) -> list[Any]:
    return table[name].to_pylist() if name in table.column_names else [None] * len(table)


def _column_texts(table: pa.Table, name: str) -> list[str]:
    return ["" if value is None else str(value) for value in _column_values(table, name)]


def _replace_column(table: pa.Table, name: str, values: Sequence[str]) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values, pa.string()))
