"""The card of a merged catalogue: what is in it, where it comes from, and what was left out."""

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
from fashion_lsh.report.phrases import markdown_table, one_line
from fashion_lsh.report.tiles import TILE, Tile, draw_sheet, evenly_spaced

log = logging.getLogger(__name__)

TILES_PER_CATEGORY = 6  # garments of each category on the sheet
MAX_REASONS = 30  # lines of the table of reasons


def card(merged: Merged, recipe: Recipe, licences: Mapping[str, str], command: str) -> str:
    """Markdown.

    Args:
        merged: what was made.
        recipe: how.
        licences: of each source.
        command: that made it.
    """
    rows = merged.catalogue
    main = rows.take(np.flatnonzero(rows.column("main")))
    parts = [
        "# Data card",
        _summary(rows, main, recipe),
        f"```\n{command}\n```",
        "## Categories and sources",
        _counts(main, "source", sorted(set(rows.column("source")))),
        "## Splits",
        _counts(main, "split", SPLITS),
        _leaks(merged.leaks),
        "## Sources",
        _sources(merged, licences),
        "## Sizes",
        _sizes(merged),
        "## Labels that are no category",
        _unmapped(merged.unmapped),
        "## Left out",
        _left_out(merged.left_out),
        "## Near-duplicates",
        _near_duplicates(merged, recipe.distance),
        "![Garments of each category, evenly chosen](contact_sheet.jpg)",
    ]
    return "\n\n".join(parts) + "\n"


def sheet(catalogue: Catalogue, image: Callable[[str], np.ndarray]) -> Image.Image:
    """Garments of each category, evenly chosen, a row each; `image` gives pixels, (H, W, 3) uint8."""
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
    splits = "as published" if recipe.official else f"dealt by seed {recipe.seed}"
    return (
        f"{len(main):,} garments of {len(main.categories)} categories in {len(set(main.column('image'))):,} pictures,"
        f" and {len(rows) - len(main):,} further boxes that teach a detector alone: their category is not known, or has"
        f" too few or too many garments. Splits are {splits}; checksum {rows.checksum[:16]}."
    )


def _crop_tile(image: Callable[[str], np.ndarray], name: str, box: np.ndarray) -> np.ndarray | None:
    """A garment as a tile; None where its picture has changed since it was merged, and is of no use now."""
    try:
        return crop_image(image(name), box, 0.1, TILE)
    except ValueError as error:
        log.warning("not on the sheet: %s", error)
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
        return "No picture, group or item stands on two sides."
    counts = Counter(column for column, _ in leaks)
    first = {column: one_line(name) for column, name in reversed(leaks)}
    counted = "; ".join(f"{counts[column]:,} of `{column}`, {first[column]} say" for column in counts)
    return f"**Leaks.** On two sides stand {counted}. Scores on these splits are too good by what that is worth."


def _sources(merged: Merged, licences: Mapping[str, str]) -> str:
    rows = merged.catalogue
    lines = []
    for name in sorted(set(rows.column("source"))):
        mask = rows.column("source") == name
        images = len(set(rows.column("image")[mask]))
        lines.append([one_line(name), f"{mask.sum():,}", f"{images:,}", one_line(licences.get(name) or "not known")])
    return markdown_table(lines, ["source", "garments", "pictures", "licence and terms"])


def _sizes(merged: Merged) -> str:
    rows, lines = merged.catalogue, []
    for name in sorted(set(rows.column("source"))):
        images = set(rows.column("image")[rows.column("source") == name])
        sizes = np.array([merged.scanned[image][:2] for image in images])
        low, median, high = (np.quantile(sizes, quantile, axis=0).astype(int) for quantile in (0.05, 0.5, 0.95))
        lines.append([one_line(name), *(f"{width} × {height}" for width, height in (low, median, high))])
    return markdown_table(lines, ["source", "small (5 %)", "median", "large (95 %)"])


def _unmapped(unmapped: Mapping[tuple[str, str], tuple[int, str, bool]]) -> str:
    if not unmapped:
        return "None."
    lines = [
        [one_line(source), one_line(label), f"{count:,}", group or "none, left out", "" if mapped else "not in its map"]
        for (source, label), (count, group, mapped) in sorted(unmapped.items())
    ]
    return markdown_table(lines, ["source", "label", "garments", "group that is kept", ""])


def _left_out(left_out: Mapping[str, str]) -> str:
    """Reasons, those that differ in numbers and names alone taken as one, with their first row."""
    kinds = Counter((row.partition("/")[0], _normalise_reason(row, reason)) for row, reason in left_out.items())
    first: dict[tuple[str, str], str] = {}
    for row, reason in left_out.items():
        first.setdefault((row.partition("/")[0], _normalise_reason(row, reason)), reason)
    if not kinds:
        return "Nothing."
    lines = [[one_line(kind[0]), f"{count:,}", one_line(first[kind])] for kind, count in kinds.most_common(MAX_REASONS)]
    more = f"\n\nAnd {len(kinds) - MAX_REASONS:,} further reasons." if len(kinds) > MAX_REASONS else ""
    table = markdown_table(lines, ["source", "rows", "the first of them"])
    return f"{table}{more}\n\nAll of them stand in `left_out.csv`."


def _normalise_reason(row: str, reason: str) -> str:
    """A reason without what is each row's own: quoted texts, paths, numbers."""
    text = reason.replace(row.partition("/")[2], "")
    return re.sub(r"'[^']*'|\S*/\S*|\S+\.\w{3,4}\b|[\d,.]*\d", "…", text)


def _near_duplicates(merged: Merged, distance: int | None) -> str:
    exact = f"{merged.copies:,} pictures are the same byte for byte as others, as published. " if merged.copies else ""
    if distance is None:
        return f"{exact}Near ones were not looked for."
    return exact + (
        f"{merged.near_duplicates:,} pictures have one, by fingerprints that differ in {distance} bits at most; they "
        "share a group, and so a side of the splits. Pictures that are no files (Fashion-MNIST) have no fingerprint."
    )


def _format_number(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int) else str(cell)
