"""Draw contact sheets from tiles (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fashion_lsh.io.files import atomic_write
from fashion_lsh.report.fonts import font_for
from fashion_lsh.report.phrases import one_line

TILE, GAP, LINE, HEADER = 112, 10, 16, 44
INK, PAPER = "#222222", "#ffffff"
TRUE_COLOUR, DETECTED_COLOUR = "#1f78ff", "#ff7f0e"
MARKS = {"same item": "#009e73", "same category": "#e69f00", "other category": "#d55e00"}  # colour-blind safe


@dataclass(frozen=True)
class Tile:
    """Image of a contact sheet with its caption.

    Attributes:
        image: (H, W, 3) uint8.
        mark: key of MARKS, which sets the colour of the frame; "" draws no frame.
        box, detections: annotated and detected boxes to draw, (4,) or (n, 4) each.
        original: for a crop, the full image and the box in this image; None if not available.
    """

    image: np.ndarray
    caption: str = ""
    mark: str = ""
    box: np.ndarray | None = None
    detections: np.ndarray | None = None
    original: tuple[np.ndarray, np.ndarray] | None = None


def column_titles(num_hits: int, first: str = "query") -> list[str]:
    """Column titles of a sheet: the query, the crop of the query, and `num_hits` hits."""
    return [first, "crop", *(f"hit {rank}" for rank in range(1, num_hits + 1))]


def write_contact_sheet(
    path: Path, rows: Sequence[Sequence[Tile]], columns: Sequence[str], tile_size: int = TILE
) -> None:
    """Draw a contact sheet (see `draw_sheet`) and write it as PNG."""
    with atomic_write(path) as temporary:
        draw_sheet(rows, columns, tile_size).save(temporary, "PNG")


def draw_sheet(
    rows: Sequence[Sequence[Tile]], columns: Sequence[str], tile_size: int = TILE, row_titles: Sequence[str] = ()
) -> Image.Image:
    """Draw rows of tiles under column titles, at least 3 tiles wide, with a legend of marks.

    Args:
        rows: tiles by row.
        columns: titles of the columns.
        tile_size: width and height of a tile in pixels.
        row_titles: title above each row; empty for rows without titles.
    """
    title_height = LINE if row_titles else 0
    tile_width, tile_height = tile_size + GAP, tile_size + LINE + GAP + title_height
    width = GAP + max(3, *map(len, rows)) * tile_width
    sheet = Image.new("RGB", (width, HEADER + len(rows) * tile_height + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    _draw_legend(draw, {tile.mark for tiles in rows for tile in tiles})
    for column, title in enumerate(columns):
        draw.text((GAP + column * tile_width, HEADER - 18), title, INK, font_for(title, 12))
    for row, title in enumerate(row_titles):
        font = font_for(title, 12)
        draw.text((GAP, HEADER + row * tile_height), _truncate(title, font, width - 2 * GAP), INK, font)
    for row, tiles in enumerate(rows):
        for column, tile in enumerate(tiles):
            y = HEADER + row * tile_height + title_height
            _draw_tile(sheet, draw, tile, GAP + column * tile_width, y, tile_size)
    return sheet


def blank_tile() -> Tile:
    """White tile, to leave a place of a sheet empty."""
    return Tile(np.full((TILE, TILE, 3), 255, np.uint8))


def _draw_tile(sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, x: int, y: int, tile_size: int) -> None:
    image = Image.fromarray(tile.image)
    scale = tile_size / max(image.size)
    thumbnail = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    left, top = x + (tile_size - thumbnail.width) // 2, y + (tile_size - thumbnail.height) // 2
    sheet.paste(thumbnail, (left, top))
    for boxes, colour in ((tile.box, TRUE_COLOUR), (tile.detections, DETECTED_COLOUR)):
        for box in np.empty((0, 4)) if boxes is None else boxes.reshape(-1, 4):
            if not np.isnan(box).any():
                xyxy = np.tile([left, top], 2) + box * scale
                draw.rectangle(tuple(xyxy.tolist()), outline=colour, width=2)
    if tile.mark:
        draw.rectangle((x - 2, y - 2, x + tile_size + 1, y + tile_size + 1), outline=MARKS[tile.mark], width=4)
    font = font_for(tile.caption, 11)
    draw.text((x, y + tile_size + 3), _truncate(tile.caption, font, tile_size), INK, font)


def _truncate(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """Truncate a caption to the width of a tile, on one line."""
    text = one_line(text) if text else text
    if font.getlength(text) <= width:
        return text
    while font.getlength(f"{text}…") > width:
        text = text[:-1].rstrip()
    return f"{text}…"


def _draw_legend(draw: ImageDraw.ImageDraw, used_marks: set[str]) -> None:
    x = GAP
    for mark, colour in MARKS.items():
        if mark in used_marks:
            draw.rectangle((x, 6, x + 12, 18), fill=colour)
            font = font_for(mark, 11)
            draw.text((x + 17, 5), mark, INK, font)
            x += 34 + int(draw.textlength(mark, font))
