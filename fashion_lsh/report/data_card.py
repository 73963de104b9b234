"""Data card of a merged catalogue: counts, sources, splits, leaks and skipped rows."""

import logging
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.merge.merge import Merged
from fashion_lsh.data.merge.recipe import Recipe
from fashion_lsh.data.schema import SPLITS
from fashion_lsh.io.rows import evenly_spaced
from fashion_lsh.report.phrases import markdown_table, one_line
from fashion_lsh.report.tiles import TILE, Tile, draw_sheet

log = logging.getLogger(__name__)

TILES_PER_CATEGORY = 6
MAX_REASONS = 30  # maximum number of rows in the table of skip reasons


def card(merged: Merged, recipe: Recipe, licences: Mapping[str, str], command: str) -> str:
    """Format the data card as Markdown.

    Args:
        merged: merged catalogue with skipped rows and leaks.
        recipe: options of the merge.
        licences: licence by source name.
        command: command that wrote the catalogue.
    """
    rows = merged.catalogue
    main = rows.take(np.flatnonzero(rows.column("main")))
    parts = [
        "# Data card",
        _summary(rows, main, recipe),
        f"```\n{command}\n```",
        "## Garments by category and source",
        _counts(main, "source", sorted(set(rows.column("source")))),
        "## Garments by category and split",
        _counts(main, "split", SPLITS),
        _leaks(merged.leaks),
        "## Sources",
        _sources(merged, licences),
        "## Image sizes in pixels",
        _sizes(merged),
        "## Labels without a category",
        _unmapped(merged.unmapped),
        "## Skipped rows",
        _skipped_rows(merged.skipped),
        "## Near-duplicates",
        _near_duplicates(merged, recipe.max_distance),
        "![Evenly spaced sample of the garments of each category](contact_sheet.jpg)",
    ]
    return "\n\n".join(parts) + "\n"


def sheet(catalogue: Catalogue, image: Callable[[str], np.ndarray]) -> Image.Image:
    """Draw a row of evenly spaced garments for each category.  image: loads (H, W, 3) uint8 pixels by image key."""
    names, row_sources = catalogue.column("category"), catalogue.column("source")
    images, boxes, main = catalogue.column("image"), catalogue.boxes, catalogue.column("main")
    tiles = []
    for name in catalogue.categories:
        rows = np.flatnonzero(main & (names == name))
        sources = sorted(set(row_sources[rows]))
        rows_by_source = [rows[row_sources[rows] == source] for source in sources]
        chosen = [
            group[index]
            for group in rows_by_source
            for index in evenly_spaced(len(group), -(-TILES_PER_CATEGORY // len(rows_by_source)))
        ][:TILES_PER_CATEGORY]
        tiles.append([
            Tile(pixels, f"{one_line(name)}, {one_line(row_sources[row])}")
            for row in chosen
            if (pixels := _crop_tile(image, images[row], boxes[row])) is not None
        ])  # fmt: skip
    return draw_sheet(tiles, [])


def _summary(rows: Catalogue, main: Catalogue, recipe: Recipe) -> str:
    splits = "as published" if recipe.keep_official_splits else f"assigned with seed {recipe.seed}"
    return (
        f"{len(main):,} garments of {len(main.categories)} categories in {len(set(main.column('image'))):,} images,"
        f" and {len(rows) - len(main):,} further boxes used only to train a detector: their category is unknown, or has"
        f" too few or too many garments. Splits are {splits}; checksum {rows.checksum[:16]}."
    )


def _crop_tile(image: Callable[[str], np.ndarray], name: str, box: np.ndarray) -> np.ndarray | None:
    """Crop a garment to a tile; None if the image has changed since the merge and cannot be cropped."""
    try:
        return crop_image(image(name), box, 0.1, TILE)
    except ValueError as error:
        log.warning("Skipped a tile of the contact sheet: %s", error)
        return None


def _counts(rows: Catalogue, column: str, names: Sequence[str]) -> str:
    pairs = Counter(zip(rows.column("category"), rows.column(column), strict=True))
    lines = [
        [one_line(category), *(pairs[category, name] for name in names), sum(pairs[category, name] for name in names)]
        for category in rows.categories
    ]
    lines.append(["all", *(sum(column) for column in list(zip(*lines, strict=True))[1:])])
    return markdown_table(
        [[_format_number(cell) for cell in line] for line in lines], ["category", *map(one_line, names), "all"]
    )


def _leaks(leaks: Sequence[tuple[str, str]]) -> str:
    if not leaks:
        return "No image, group or item is in more than one of train, val and test (query and gallery)."
    counts = Counter(column for column, _ in leaks)
    examples = {column: one_line(name) for column, name in reversed(leaks)}
    counts_text = "; ".join(
        f"{counts[column]:,} values of `{column}` (for example {examples[column]})" for column in counts
    )
    return (
        f"**Leaks.** In more than one of train, val and test: {counts_text}. Leaks inflate the scores on these splits."
    )


def _sources(merged: Merged, licences: Mapping[str, str]) -> str:
    rows = merged.catalogue
    lines = []
    for name in sorted(set(rows.column("source"))):
        is_source = rows.column("source") == name
        images = len(set(rows.column("image")[is_source]))
        lines.append([one_line(name), f"{is_source.sum():,}", f"{images:,}", one_line(licences.get(name) or "unknown")])
    return markdown_table(lines, ["source", "garments", "images", "licence and terms"])


def _sizes(merged: Merged) -> str:
    rows, lines = merged.catalogue, []
    for name in sorted(set(rows.column("source"))):
        images = set(rows.column("image")[rows.column("source") == name])
        sizes = np.array([merged.image_infos[image][:2] for image in images])
        low, median, high = (np.quantile(sizes, quantile, axis=0).astype(int) for quantile in (0.05, 0.5, 0.95))
        lines.append([one_line(name), *(f"{width} × {height}" for width, height in (low, median, high))])
    return markdown_table(lines, ["source", "5th percentile", "median", "95th percentile"])


def _unmapped(unmapped: Mapping[tuple[str, str], tuple[int, str, bool]]) -> str:
    if not unmapped:
        return "None."
    lines = [
        [one_line(source), one_line(label), f"{count:,}", group or "none (skipped)", "" if mapped else "not in the map"]
        for (source, label), (count, group, mapped) in sorted(unmapped.items())
    ]
    return markdown_table(lines, ["source", "label", "garments", "group kept", "note"])


def _skipped_rows(skipped: Mapping[str, str]) -> str:
    """Count skipped rows by reason; of reasons that differ only in names and numbers, the first is shown."""
    counts = Counter((row.partition("/")[0], _normalise_reason(row, reason)) for row, reason in skipped.items())
    examples: dict[tuple[str, str], str] = {}
    for row, reason in skipped.items():
        examples.setdefault((row.partition("/")[0], _normalise_reason(row, reason)), reason)
    if not counts:
        return "None."
    lines = [
        [one_line(key[0]), f"{count:,}", one_line(examples[key])] for key, count in counts.most_common(MAX_REASONS)
    ]
    more = f"\n\nAnd {len(counts) - MAX_REASONS:,} further reasons." if len(counts) > MAX_REASONS else ""
    table = markdown_table(lines, ["source", "rows", "first reason"])
    return f"{table}{more}\n\n`skipped.csv` lists every skipped row."


def _normalise_reason(row: str, reason: str) -> str:
    """Replace quoted strings, paths and numbers in a reason by an ellipsis."""
    text = reason.replace(row.partition("/")[2], "")
    return re.sub(r"'[^']*'|\S*/\S*|\S+\.\w{3,4}\b|[\d,.]*\d", "…", text)


def _near_duplicates(merged: Merged, max_distance: int | None) -> str:
    exact = (
        f"{merged.copies:,} images are byte-for-byte copies of other images, as published. " if merged.copies else ""
    )
    if max_distance is None:
        return f"{exact}Near-duplicates were not searched."
    return exact + (
        f"{merged.near_duplicates:,} images have a near-duplicate (perceptual hashes differ in at most {max_distance} "
        "bits). Near-duplicates are in the same group and therefore in the same split. Images that are not files "
        "(Fashion-MNIST) have no perceptual hash."
    )


def _format_number(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
