"""Contact sheets: queries, their crops, and what was found, right or wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fashion_lsh.catalogue.catalogue import Catalogue
from fashion_lsh.catalogue.crops import cut
from fashion_lsh.catalogue.datamodule import GarmentData
from fashion_lsh.catalogue.pictures import open_picture
from fashion_lsh.catalogue.sources import Source
from fashion_lsh.evaluation.protocol import Pictures
from fashion_lsh.files import written
from fashion_lsh.report.letters import font_for
from fashion_lsh.report.words import one_line
from fashion_lsh.retrieval.hits import Hits
from fashion_lsh.retrieval.searcher import Found, Searcher

TILE, GAP, LINE, HEAD = 112, 10, 16, 44
LARGEST = 512  # side of the pictures that a dashboard shows
INK, PAPER = "#222222", "#ffffff"
THERE, FOUND = "#1f78ff", "#ff7f0e"
MARKS = {"same item": "#009e73", "same category": "#e69f00", "other category": "#d55e00"}  # told apart by all eyes


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet: (H, W, 3) uint8, a caption, one of MARKS or none.

    box, found: to be drawn, (4,) or (n, 4) each: what is there, and what a detector found; whole: of a crop, what it is
    cut from, where that is to be had: a picture and its box.
    """

    picture: np.ndarray
    caption: str = ""
    mark: str = ""
    box: np.ndarray | None = None
    found: np.ndarray | None = None
    whole: tuple[np.ndarray, np.ndarray] | None = None


def contact_sheet(path: Path, rows: Sequence[Sequence[Tile]], columns: Sequence[str]) -> None:
    """Draw rows of tiles under column titles, with a key of the marks in use, into a PNG; 3 tiles wide at least."""
    with written(path) as draft:
        drawn(rows, columns).save(draft, "PNG")


def drawn(rows: Sequence[Sequence[Tile]], columns: Sequence[str], side: int = TILE) -> Image.Image:
    """That sheet as a picture; `side`: of a tile, in pixels."""
    across, down = side + GAP, side + LINE + GAP
    sheet = Image.new("RGB", (GAP + max(3, *map(len, rows)) * across, HEAD + len(rows) * down + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    _key(draw, {tile.mark for tiles in rows for tile in tiles})
    for column, title in enumerate(columns):
        draw.text((GAP + column * across, HEAD - 18), title, INK, font_for(title, 12))
    for number, tiles in enumerate(rows):
        for column, tile in enumerate(tiles):
            _paste(sheet, draw, tile, GAP + column * across, HEAD + number * down, side)
    return sheet


def query_sheet(path: Path, data: GarmentData, query: Pictures, searcher: Searcher, hits: Hits) -> list[list[Tile]]:
    """Eight queries, evenly chosen: the picture with its box, the crop, and the first eight hits.

    Writes the sheet to `path`, and gives its tiles.
    """
    chosen = np.unique(np.linspace(0, len(query.catalogue) - 1, 8).astype(int)).tolist()
    names = searcher.model.categories
    boxes, gallery = query.catalogue.boxes, searcher.gallery.catalogue
    rows = []
    for number in chosen:
        category, predicted = query.catalogue.column("category")[number], query.encoded.predicted[number]
        seen = names[predicted] if predicted >= 0 else "nothing"
        picture, box = data.source.picture(query.catalogue.column("picture")[number]), boxes[number]
        right = naming(seen, category, category in names)
        crop = Tile(cut(picture, box, data.margin, TILE), f"seen as {seen}", right)
        found = [
            hit_tile(data.source, gallery, hit, data.margin, mark_of(query.catalogue, number, gallery, hit))
            for hit in hits.rows[number, :8]
            if hit >= 0
        ]
        small, its_box = shrunk(picture, box)
        rows.append([Tile(small, f"is {category}", box=its_box), crop, *found])
    contact_sheet(path, rows, ["query", "its crop", *(f"hit {place}" for place in range(1, 9))])
    return rows


def found_sheet(
    path: Path, source: Source, searcher: Searcher, answers: Sequence[tuple[np.ndarray, np.ndarray | None, Found]]
) -> None:
    """A sheet of pictures nobody has judged: (picture, box or None, what was found) each."""
    gallery, margin = searcher.gallery.catalogue, searcher.model.margin
    rows = []
    for picture, box, found in answers:
        asked = [Tile(picture, box=box), Tile(cut(picture, box, margin, TILE), f"seen as {found.category}")]
        rows.append(asked + [hit_tile(source, gallery, row, margin) for row in found.hits.rows[0] if row >= 0])
    contact_sheet(path, rows, ["picture", "its crop", *(f"hit {place}" for place in range(1, max(map(len, rows)) - 1))])


def hit_tile(source: Source, gallery: Catalogue, row: int, margin: float, mark: str = "") -> Tile:
    """The crop of one gallery row, captioned with its category; what was added later is named by its full path."""
    name = gallery.column("picture")[row]
    picture = open_picture(name) if Path(name).is_absolute() else source.picture(name)
    box = gallery.boxes[row]
    crop = cut(picture, box, margin, TILE)
    return Tile(crop, gallery.column("category")[row], mark, whole=shrunk(picture, box))


def shrunk(picture: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture (H, W, 3) of LARGEST pixels a side at most, and its box (4,), or boxes (n, 4), with it."""
    scale = min(1.0, LARGEST / max(picture.shape[:2]))
    if scale == 1:
        return picture, box
    size = [max(1, round(scale * side)) for side in picture.shape[1::-1]]
    return np.asarray(Image.fromarray(picture).resize((size[0], size[1]))), box * np.float32(scale)


def mark_of(query: Catalogue, number: int, gallery: Catalogue, row: int) -> str:
    """Which of MARKS row `row` of the gallery is to query `number`."""
    item = query.column("item")[number]
    if item and item == gallery.column("item")[row]:
        return "same item"
    same = query.column("category")[number] == gallery.column("category")[row]
    return "same category" if same else "other category"


def naming(seen: str, category: str, learnt: bool) -> str:
    """Which of MARKS a query gets for what it was seen as; none where its category was not learnt."""
    return ("same category" if seen == category else "other category") if learnt else ""


def _paste(sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, x: int, y: int, side: int) -> None:
    image = Image.fromarray(tile.picture)
    scale = side / max(image.size)
    small = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    left, top = x + (side - small.width) // 2, y + (side - small.height) // 2
    sheet.paste(small, (left, top))
    for boxes, colour in ((tile.box, THERE), (tile.found, FOUND)):
        for box in np.empty((0, 4)) if boxes is None else boxes.reshape(-1, 4):
            if not np.isnan(box).any():
                corners = np.tile([left, top], 2) + box * scale
                draw.rectangle(tuple(corners.tolist()), outline=colour, width=2)
    if tile.mark:
        draw.rectangle((x - 2, y - 2, x + side + 1, y + side + 1), outline=MARKS[tile.mark], width=4)
    font = font_for(tile.caption, 11)
    draw.text((x, y + side + 3), _shortened(tile.caption, font, side), INK, font)


def _shortened(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """As much of a caption as a tile is wide, on one line."""
    text = one_line(text) if text else text
    if font.getlength(text) <= width:
        return text
    while font.getlength(f"{text}…") > width:
        text = text[:-1].rstrip()
    return f"{text}…"


def _key(draw: ImageDraw.ImageDraw, used: set[str]) -> None:
    x = GAP
    for mark, colour in MARKS.items():
        if mark in used:
            draw.rectangle((x, 6, x + 12, 18), fill=colour)
            font = font_for(mark, 11)
            draw.text((x + 17, 5), mark, INK, font)
            x += 34 + int(draw.textlength(mark, font))
