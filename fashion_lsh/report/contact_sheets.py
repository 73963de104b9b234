"""Contact sheets: queries, query crops, and hits with relevance marks."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.datasets import Source
from fashion_lsh.data.images import open_image
from fashion_lsh.data.schema import BOX_COLUMNS
from fashion_lsh.evaluation.protocol import EncodedSplit
from fashion_lsh.index.hits import Hits
from fashion_lsh.io.rows import evenly_spaced
from fashion_lsh.report.blocks import Figure
from fashion_lsh.report.tiles import TILE, Tile, column_titles, draw_sheet, write_contact_sheet
from fashion_lsh.search.result import SearchResult
from fashion_lsh.search.searcher import Searcher

MAX_SIDE = 512  # longer side in pixels of an uncropped image in a tile
MISSING_IMAGE_ERRORS = (OSError, ValueError, LookupError)  # raised by sources for images that no longer exist


def write_query_sheet(
    path: Path, data: GarmentData, query: EncodedSplit, searcher: Searcher, hits: Hits
) -> list[list[Tile]]:
    """Write a sheet of eight evenly spaced queries: image with box, crop, and the first eight hits.

    Returns:
        Tiles of the sheet, one row per query.
    """
    query_rows = evenly_spaced(len(query.catalogue), 8).tolist()
    names = searcher.model.categories
    boxes, gallery = query.catalogue.boxes, searcher.gallery.catalogue
    rows = []
    for index in query_rows:
        category, predicted = query.catalogue.column("category")[index], query.encoded.predicted[index]
        predicted_name = names[predicted] if predicted >= 0 else "none"
        image, box = data.source.image(query.catalogue.column("image")[index]), boxes[index]
        mark = prediction_mark(predicted_name, category, category in names)
        crop = Tile(crop_image(image, box, data.margin, TILE), f"pred: {predicted_name}", mark)
        hit_tiles = [
            hit_tile(data.source, gallery, row, data.margin, relevance_mark(query.catalogue, index, gallery, row))
            for row in hits.rows[index, :8]
            if row >= 0
        ]
        thumbnail, scaled_box = downscale(image, box)
        rows.append([Tile(thumbnail, f"true: {category}", box=scaled_box), crop, *hit_tiles])
    write_contact_sheet(path, rows, column_titles(8))
    return rows


def result_sheet(
    source: Source, searcher: Searcher, results: Sequence[tuple[str | Path | np.ndarray, SearchResult]]
) -> Image.Image:
    """Draw a sheet of search results: query image with its box, crop, and hits.

    Args:
        source: data set of the gallery, which opens the images of the hits (see `Run.source`).
        searcher: searcher of the results.
        results: query image, as a path or (H, W, 3) uint8, and result of each query.

    Raises:
        ValueError: there are no results, or an image cannot be read.
    """
    if not results:
        raise ValueError("no results to draw; pass at least one pair of image and result")
    gallery, margin = searcher.gallery.catalogue, searcher.model.margin
    rows = [
        [*_query_tiles(image, margin, result), *(hit_tile(source, gallery, hit.row, margin) for hit in result.hits)]
        for image, result in results
    ]
    return draw_sheet(rows, column_titles(max(map(len, rows)) - 2, first="image"))


def _query_tiles(query_image: str | Path | np.ndarray, margin: float, result: SearchResult) -> list[Tile]:
    """Return two tiles: the image with its box, and the crop."""
    image = query_image if isinstance(query_image, np.ndarray) else open_image(query_image)
    box = np.array(result.box or [np.nan] * 4, np.float32)
    thumbnail, scaled_box = downscale(image, box)
    return [Tile(thumbnail, box=scaled_box), Tile(crop_image(image, box, margin, TILE), f"pred: {result.category}")]


def sheet_figure(name: str, sheet: Image.Image, caption: str) -> Figure:
    """Encode a sheet as a JPEG figure of a report."""
    out = io.BytesIO()
    sheet.save(out, "JPEG", quality=75, optimize=True)
    return Figure(f"{name}.jpg", out.getvalue(), caption, min_width=round(sheet.width * 0.75))


def hit_tile(source: Source, gallery: Catalogue, row: int, margin: float, mark: str = "") -> Tile:
    """Tile of a gallery row: the crop, captioned with the category."""
    hit = gallery.row(row)
    name, box = hit["image"], np.array([hit[side] for side in BOX_COLUMNS], dtype=np.float32)
    # The key of an image added after training is an absolute path.
    image = open_image(name) if Path(name).is_absolute() else source.image(name)
    crop = crop_image(image, box, margin, TILE)
    return Tile(crop, hit["category"], mark, original=downscale(image, box))


def downscale(image: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Resize an image to at most MAX_SIDE pixels per side, and scale (4,) or (n, 4) boxes."""
    scale = min(1.0, MAX_SIDE / max(image.shape[:2]))
    if scale == 1:
        return image, boxes
    size = [max(1, round(scale * side)) for side in image.shape[1::-1]]
    return np.asarray(Image.fromarray(image).resize((size[0], size[1]))), boxes * np.float32(scale)


def relevance_mark(query: Catalogue, index: int, gallery: Catalogue, row: int) -> str:
    """Relevance mark (a key of MARKS) of a gallery row for the query at row `index`."""
    query_row, hit = query.row(index), gallery.row(row)
    if query_row["item"] and query_row["item"] == hit["item"]:
        return "same item"
    return "same category" if query_row["category"] == hit["category"] else "other category"


def prediction_mark(predicted: str, category: str, is_known: bool) -> str:
    """Mark (a key of MARKS) of the predicted category; empty if the true category is not in the training data."""
    return ("same category" if predicted == category else "other category") if is_known else ""
