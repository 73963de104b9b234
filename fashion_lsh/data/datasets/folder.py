"""A user's own pictures: in folders by category, or listed in a manifest."""

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

UNKNOWN_CATEGORY = "unknown"  # the category of pictures that nobody has named: relevant to nothing that is asked
IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")


class Folder(ImageFiles):
    """Pictures in `<root>/<category>/`, in `<root>/<split>/<category>/`, or listed in a manifest.

    A manifest is CSV or Parquet with the columns of a Catalogue, `picture` (or `path`, relative to the manifest's own
    folder) and `category` (or `label`) at least. Category names that differ in case or blanks alone are one. Splits
    may be called train, val, query, gallery, or training, valid, validation, test (which asks, as query does).

    Args:
        root: a folder, or a manifest.
        unlabelled: also take images without a category, as UNKNOWN_CATEGORY: in the root, or by a manifest's rows.
    """

    def __init__(self, root: str, unlabelled: bool = False) -> None:
        super().__init__(root)
        self.unlabelled = unlabelled

    def list_garments(self) -> tuple[Catalogue, dict[str, str]]:
        if not self.root.exists():
            raise FileNotFoundError(
                f"no folder or file {self.root}: give a folder of pictures, or a manifest (.csv, .parquet)"
            )
        if self.root.is_dir():
            return _list_folders(self.root, self.unlabelled)
        table = read_table(self.root)
        if self.unlabelled:
            table = _fill_categories(table)
        try:
            if not {"image", "category"} <= set(table.column_names):
                return Catalogue(table), {}  # raises, and names the columns
            table = _add_ids(_normalise(_expand_box_column(table), self.folder))
            reasons = _skip_reasons(table)
            ids, kept = _column_texts(table, "id"), pa.array([not reason for reason in reasons], pa.bool_())
            numbered_rows = enumerate(zip(ids, reasons, strict=True), start=1)
            left_out: dict[str, str] = {}
            for row, (name, reason) in numbered_rows:
                if reason:
                    key = f"{name} (row {row})" if name in left_out else name or f"row {row}"
                    left_out[key] = f"row {row}: {reason}"
            return Catalogue(table.filter(kept)), left_out
        except ValueError as error:
            raise ValueError(f"{self.root}: {error}") from error


def _list_folders(root: Path, unlabelled: bool) -> tuple[Catalogue, dict[str, str]]:
    """The picture files below a folder, and the other files: id -> reason."""
    read_errors: list[OSError] = []
    paths = [
        path for path in sorted(_walk_files(root, read_errors)) if path.is_file() or not path.exists()
    ]  # a link to nowhere
    files = [path.relative_to(root) for path in paths]
    files = [path for path in files if not any(part.startswith(".") for part in path.parts)]
    by_split = _are_splits(root, {path.parts[0] for path in files if len(path.parts) > 1 and _is_image(path)})
    depth = 3 if by_split else 2
    reasons = {path: _skip_reason(path, 1 if unlabelled else depth) for path in files}
    images = [path for path in files if not reasons[path]]
    if not images:
        raise ValueError(f"{root} holds no pictures: put them into a folder a category, as {root}/<category>/1.jpg")
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
    """All files below a folder; linked folders are entered, but none twice; `read_errors` gets those that cannot be."""
    visited = set()
    for folder, folders, names in os.walk(root, onerror=read_errors.append, followlinks=True):
        if (resolved := os.path.realpath(folder)) in visited:
            folders.clear()
            continue
        visited.add(resolved)
        yield from (Path(folder, name) for name in names)


def _skip_reason(path: Path, depth: int) -> str:
    if not _is_image(path):
        return f"{_printable(path)}: no picture by its name; read are {' '.join(IMG_EXTENSIONS)}"
    return f"{_printable(path)}: lies in no category's folder" if len(path.parts) < depth else ""


def _printable(path: Path) -> str:
    """The name, with `?` for what is no text."""
    return path.as_posix().encode(errors="replace").decode()


def _is_image(path: Path) -> bool:
    """By its name, which must be text: old archives hold names in codes of their time."""
    return path.suffix.lower() in IMG_EXTENSIONS and not any(
        "\udc80" <= character <= "\udcff" for character in str(path)
    )


def _are_splits(root: Path, names: set[str]) -> bool:
    """Whether the first folders are splits.  ValueError: some are, and some not."""
    others = {name for name in names if name.lower() not in SPLIT_ALIASES}
    if others and others != names:
        splits = ", ".join(sorted(names - others))
        raise ValueError(
            f"{root} holds folders of splits ({splits}) beside {min(others)!r}: rename or remove those of one kind"
        )
    return bool(names) and not others


def _normalise(table: pa.Table, folder: Path) -> pa.Table:
    """Categories in one spelling, splits by the catalogue's words, pictures below the folder by their relative path."""
    images = [name.removeprefix(f"{folder}/") for name in _column_texts(table, "image")]
    table = _replace_column(table, "image", images)
    table = _replace_column(table, "category", normalise_spelling(_column_texts(table, "category")))
    if "split" not in table.column_names:
        return table
    texts = _column_texts(table, "split")
    return _replace_column(table, "split", [SPLIT_ALIASES.get(text.strip().lower(), text) for text in texts])


def _expand_box_column(table: pa.Table) -> pa.Table:
    """A column `box`, of four numbers a cell (as `10 20 110 220`, `[10,20,110,220]` or a list), as x1, y1, x2, y2."""
    if "box" not in table.column_names:
        return table
    if conflicting := [name for name in BOX_COLUMNS if name in table.column_names]:
        raise ValueError(f"its columns are both box and {', '.join(conflicting)}: give boxes in one way")
    boxes = [_split_box(value) for value in table["box"].to_pylist()]
    for name, coordinates in zip(
        BOX_COLUMNS, zip(*boxes, strict=True) if boxes else [()] * len(BOX_COLUMNS), strict=True
    ):
        table = table.append_column(name, pa.array(coordinates, pa.string()))
    return table


def _split_box(cell: Any) -> tuple[str | None, ...]:
    """The four sides as they are written; a cell of another length stands whole as the first: it is no number."""
    text = "" if cell is None else str(cell)
    coordinates = re.findall(r"[^\s,;()\[\]]+", text)
    if len(coordinates) == len(BOX_COLUMNS):
        return tuple(coordinates)
    return (text if coordinates else None, None, None, None)


def _fill_categories(table: pa.Table) -> pa.Table:
    """Every row with a category: UNKNOWN_CATEGORY where the manifest names none."""
    names = [name if name.strip() else UNKNOWN_CATEGORY for name in _column_texts(table, "category")]
    others = table.select([name for name in table.column_names if name != "category"])
    return others.append_column("category", pa.array(names, pa.string()))


def _add_ids(table: pa.Table) -> pa.Table:
    """Where the manifest names no ids: the picture, numbered from its second row on; the row where it has none."""
    if "id" in table.column_names:
        return table
    counts: Counter[str] = Counter()
    ids = []
    for number, image in enumerate(_column_texts(table, "image"), start=1):
        counts[image] += 1
        ids.append(f"{image}#{counts[image]}" if counts[image] > 1 and image else image or f"row {number}")
    return table.append_column("id", pa.array(ids, pa.string()))


def _skip_reasons(table: pa.Table) -> list[str]:
    """Why each row is of no use; "": it is."""
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
        return f"the manifest names no {'category' if image else 'path'}"
    if texts := [coordinate for coordinate in box if isinstance(coordinate, str)]:
        return f"the box of {image} holds {texts[0]!r}, which is no number"
    if any(coordinate is not None for coordinate in box) and (None in box or box[2] <= box[0] or box[3] <= box[1]):
        return f"the box {list(box)} of {image} has no area"
    return f"{image} was listed before with the same box; the first is kept" if (image, box) in seen_boxes else ""


def _parse_coordinate(coordinate: Any) -> float | str | None:
    """A side of a box; as it stands where it is no number, None where there is none: Parquet has NaN for that."""
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
