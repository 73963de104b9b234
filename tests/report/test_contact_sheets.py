"""Contact sheets: layout, boxes, marks, captions and crops."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.protocol import EncodedSplit
from fashion_lsh.index.hits import Hits
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.report.contact_sheets import hit_tile, result_sheet, write_query_sheet
from fashion_lsh.report.tiles import (
    GAP,
    HEADER,
    LINE,
    MARKS,
    TILE,
    Tile,
    column_titles,
    draw_sheet,
    write_contact_sheet,
)
from fashion_lsh.search.result import SearchResult, garment_hits

GREY = (128, 128, 128)


def grey_tile(height: int = 50, width: int = 50, **options: Any) -> Tile:
    return Tile(np.full((height, width, 3), GREY[0], np.uint8), **options)


def saved_sheet(path: Path, rows: list[list[Tile]], columns: list[str] | None = None) -> np.ndarray:
    write_contact_sheet(path, rows, columns or [])
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def tile_origin(row: int, column: int) -> tuple[int, int]:
    """(y, x) of a tile's top-left pixel."""
    return HEADER + row * (TILE + LINE + GAP), GAP + column * (TILE + GAP)


def caption_area(sheet: np.ndarray, row: int, column: int) -> np.ndarray:
    """Pixels of a caption and of the gap to its right."""
    y, x = tile_origin(row, column)
    return sheet[y + TILE + 2 : y + TILE + LINE + GAP - 2, x : x + TILE + GAP]


def has_ink(pixels: np.ndarray) -> bool:
    return bool((pixels < 255).any())


@pytest.mark.parametrize(("sizes", "num_columns"), [([10], 10), ([4, 6, 2], 6), ([2, 1], 3)])
def test_a_sheet_is_as_large_as_its_tiles(sizes: list[int], num_columns: int, tmp_path: Path) -> None:
    sheet = saved_sheet(tmp_path / "deep" / "sheet.png", [[grey_tile()] * size for size in sizes])
    assert sheet.shape == (HEADER + len(sizes) * (TILE + LINE + GAP) + GAP, GAP + num_columns * (TILE + GAP), 3)
    for row, size in enumerate(sizes):
        for column in range(num_columns):
            y, x = tile_origin(row, column)
            tile = sheet[y : y + TILE, x : x + TILE]
            assert (tile == (GREY if column < size else (255, 255, 255))).all()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["sheet.png"]


@pytest.mark.parametrize(("height", "width"), [(20, 80), (300, 100), (1, 500)])
def test_images_keep_the_aspect_ratio_and_are_centred_in_the_tile(height: int, width: int, tmp_path: Path) -> None:
    y, x = tile_origin(0, 0)
    tile = saved_sheet(tmp_path / "sheet.png", [[grey_tile(height, width)]])[y : y + TILE, x : x + TILE]
    rows, columns = np.flatnonzero((tile < 255).any((1, 2))), np.flatnonzero((tile < 255).any((0, 2)))
    longest = max(height, width)
    assert len(rows) == pytest.approx(max(1, TILE * height / longest), abs=0.5)
    assert len(columns) == pytest.approx(max(1, TILE * width / longest), abs=0.5)
    assert abs(rows.mean() - (TILE - 1) / 2) <= 0.5
    assert abs(columns.mean() - (TILE - 1) / 2) <= 0.5


def test_a_box_is_drawn_at_its_position_in_the_image(tmp_path: Path) -> None:
    boxed = grey_tile(56, 112, box=np.array([20, 10, 60, 40], dtype=np.float32))  # drawn unscaled, 28 pixels down
    y, x = tile_origin(0, 0)
    tile = saved_sheet(tmp_path / "sheet.png", [[boxed]])[y : y + TILE, x : x + TILE]
    blue = (tile == (0x1F, 0x78, 0xFF)).all(axis=2)
    assert (np.flatnonzero(blue.any(1))[[0, -1]] - 28).tolist() == [10, 40]
    assert np.flatnonzero(blue.any(0))[[0, -1]].tolist() == [20, 60]
    assert not blue[28 + 15 : 28 + 35, 25:55].any()
    whole = grey_tile(56, 112, box=np.full(4, np.nan, dtype=np.float32))
    assert not (saved_sheet(tmp_path / "whole.png", [[whole]]) == (0x1F, 0x78, 0xFF)).all(axis=2).any()


@pytest.mark.parametrize("mark", [*MARKS, ""])
def test_a_mark_frames_its_tile_and_is_in_the_legend(mark: str, tmp_path: Path) -> None:
    sheet = saved_sheet(tmp_path / "sheet.png", [[grey_tile(), grey_tile(mark=mark)]])
    colours, (y, x) = {name: tuple(bytes.fromhex(text[1:])) for name, text in MARKS.items()}, tile_origin(0, 1)
    colour = colours.get(mark, (0, 0, 0))
    frame = [sheet[y - 1, x + 50], sheet[y + TILE, x + 50], sheet[y + 50, x - 1], sheet[y + 50, x + TILE]]
    assert [tuple(pixel.tolist()) == colour for pixel in frame] == [mark != ""] * 4
    assert [name for name in MARKS if (sheet[: HEADER - 20] == colours[name]).all(axis=2).any()] == [mark] * (
        mark != ""
    )


def test_the_legend_fits_on_the_narrowest_sheet(tmp_path: Path) -> None:
    narrow = saved_sheet(tmp_path / "narrow.png", [[grey_tile(mark=mark)] for mark in MARKS])
    wide = saved_sheet(tmp_path / "wide.png", [[grey_tile(mark=mark)] * 9 for mark in MARKS])
    assert np.array_equal(narrow[: HEADER - 20], wide[: HEADER - 20, : narrow.shape[1]])
    assert not has_ink(wide[: HEADER - 20, narrow.shape[1] :])


@pytest.mark.parametrize(
    "caption", ["coat", "predicted long sleeved outwear", "W" * 40, "a" * 18, "two\nlines", "外套"]
)
def test_a_caption_is_drawn_under_its_tile(caption: str, tmp_path: Path) -> None:
    sheet = saved_sheet(tmp_path / "sheet.png", [[grey_tile(caption=caption), grey_tile()], [grey_tile()]])
    assert has_ink(caption_area(sheet, 0, 0)[:, :TILE])
    assert not has_ink(caption_area(sheet, 0, 0)[:, TILE:])
    assert not has_ink(caption_area(sheet, 0, 1))
    assert not has_ink(caption_area(sheet, 1, 0))


def test_only_captions_that_do_not_fit_are_truncated(tmp_path: Path) -> None:
    def captioned(text: str) -> np.ndarray:
        return caption_area(saved_sheet(tmp_path / "sheet.png", [[grey_tile(caption=text)]]), 0, 0)

    assert not np.array_equal(captioned("t-shirt"), captioned("t-shir…"))
    assert np.array_equal(captioned("predicted short sleeved dress"), captioned("predicted short sleeved gown"))


def test_titles_are_above_their_columns(tmp_path: Path) -> None:
    sheet = saved_sheet(tmp_path / "sheet.png", [[grey_tile()] * 10], column_titles(8))
    titles = sheet[HEADER - 20 : HEADER - 1]
    for column in range(10):
        _, x = tile_origin(0, column)
        assert has_ink(titles[:, x : x + TILE])
        assert not has_ink(titles[:, x + TILE : x + TILE + GAP])


@pytest.fixture
def data(make_data: Callable[..., GarmentData]) -> GarmentData:
    return make_data(ratios={"train": 0.1, "val": 0.1, "query": 0.4, "gallery": 0.4})


@pytest.fixture
def gallery(data: GarmentData) -> Any:
    """Stub of a searcher with the attributes used by a sheet."""
    model = SimpleNamespace(categories=data.categories, margin=0.1)
    return SimpleNamespace(model=model, gallery=SimpleNamespace(catalogue=data.catalogue.take(data.rows("gallery"))))


def queries_predicted_as(data: GarmentData, predicted: int) -> EncodedSplit:
    """Queries that are all predicted as category `predicted`."""
    query = data.catalogue.take(data.rows("query"))
    probabilities = np.eye(3, dtype=np.float32)[np.full(len(query), predicted)]
    return EncodedSplit(query, Encoded(probabilities, None, probabilities), {})


def test_a_query_sheet_marks_the_hits(data: GarmentData, gallery: Any, tmp_path: Path) -> None:
    query, gallery_catalogue = queries_predicted_as(data, predicted=1), gallery.gallery.catalogue
    rng, count = np.random.default_rng(0), len(query.catalogue)
    rows = np.stack([rng.permutation(len(gallery_catalogue))[:12] for _ in range(count)])
    same_item_rows = [gallery_catalogue.column("item").tolist().index(item) for item in query.catalogue.column("item")]
    rows[:, 0] = same_item_rows  # duplicate hits do not matter here
    rows[0, 3:] = -1
    tiles = write_query_sheet(
        tmp_path / "sheet.png", data, query, gallery, Hits(rows, np.zeros(rows.shape, np.float32))
    )
    assert [len(row) for row in tiles] == [2 + 3, *[2 + 8] * 7]
    evenly_spaced_rows = [round(step * (count - 1) / 7 - 0.5 + 1e-9) for step in range(8)]
    for index, (query_tile, crop, *hit_tiles) in zip(evenly_spaced_rows, tiles, strict=True):
        category = query.catalogue.column("category")[index]
        image, box = data.source.image(query.catalogue.column("image")[index]), query.catalogue.boxes[index]
        assert np.array_equal(query_tile.image, image)
        assert np.array_equal(query_tile.box, box)
        assert query_tile.caption.endswith(category)
        assert query_tile.mark == ""
        assert np.array_equal(crop.image, crop_image(image, box, data.margin, TILE))
        assert crop.caption.endswith("cross")
        assert crop.mark == ("same category" if category == "cross" else "other category")
        for rank, tile in enumerate(hit_tiles):
            row = rows[index, rank]
            mark = "same category" if gallery_catalogue.column("category")[row] == category else "other category"
            assert tile.mark == ("same item" if row == same_item_rows[index] else mark)
            assert tile.caption == gallery_catalogue.column("category")[row]
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.size == (GAP + 10 * (TILE + GAP), HEADER + 8 * (TILE + LINE + GAP) + GAP)


def test_hits_of_unknown_items_are_not_marked_same_item(data: GarmentData, gallery: Any, tmp_path: Path) -> None:
    query, gallery_catalogue = queries_predicted_as(data, predicted=0), gallery.gallery.catalogue
    query = EncodedSplit(query.catalogue.with_columns(item=[""] * len(query.catalogue)), query.encoded, {})
    gallery.gallery.catalogue = gallery_catalogue.with_columns(item=[""] * len(gallery_catalogue))
    rows = np.tile(np.arange(5), (len(query.catalogue), 1))
    tiles = write_query_sheet(
        tmp_path / "sheet.png", data, query, gallery, Hits(rows, np.zeros(rows.shape, np.float32))
    )
    assert {tile.mark for row in tiles for tile in row[2:]} == {"same category", "other category"}


def test_each_of_few_queries_is_shown_once(data: GarmentData, gallery: Any, tmp_path: Path) -> None:
    query = queries_predicted_as(data, predicted=0)
    few = EncodedSplit(query.catalogue.take(np.arange(3)), query.encoded, {})
    rows = np.zeros((3, 1), dtype=np.int64)
    assert len(write_query_sheet(tmp_path / "s.png", data, few, gallery, Hits(rows, np.zeros((3, 1), np.float32)))) == 3


def test_a_result_sheet_shows_image_crop_and_hits_without_marks(data: GarmentData, gallery: Any, shapes: Path) -> None:
    path, box = shapes.parent / "circle-0-street.png", np.array([4, 4, 30, 30], dtype=np.float32)
    image = data.source.image(path.name)
    found = Hits(np.array([[2, 0, -1]]), np.array([[1, 2, np.inf]], np.float32))
    two_hits = SearchResult(
        "circle", 0.9, "cross", 0.1, garment_hits(found, gallery.gallery.catalogue, [0] * found.rows.shape[1]), (*box,)
    )
    no_hits = SearchResult("cross", 0.5, "circle", 0.4, (), None)
    tiles = [hit_tile(data.source, gallery.gallery.catalogue, row, 0.1) for row in (2, 0)]
    rows = [
        [Tile(image, box=box), Tile(crop_image(image, box, 0.1, TILE), "pred: circle"), *tiles],
        [Tile(image), Tile(crop_image(image, None, 0.1, TILE), "pred: cross")],
    ]
    sheet = result_sheet(data.source, gallery, [(path, two_hits), (image, no_hits)])
    assert np.array_equal(np.asarray(sheet), np.asarray(draw_sheet(rows, column_titles(2, "image"))))


def test_hits_are_shown_as_crops(data: GarmentData, gallery: Any) -> None:
    gallery_catalogue = gallery.gallery.catalogue
    tile = hit_tile(data.source, gallery_catalogue, 4, 0.2, "same item")
    image = data.source.image(gallery_catalogue.column("image")[4])
    assert np.array_equal(tile.image, crop_image(image, gallery_catalogue.boxes[4], 0.2, TILE))
    assert (tile.caption, tile.mark) == (gallery_catalogue.column("category")[4], "same item")


def test_row_titles_are_drawn_above_their_rows() -> None:
    rows = [[grey_tile()], [grey_tile()]]
    plain, titled = (np.asarray(draw_sheet(rows, [], row_titles=titles)) for titles in ((), ("first", "second")))
    assert titled.shape == (plain.shape[0] + 2 * LINE, *plain.shape[1:])
    for row in range(2):
        top = HEADER + row * (TILE + 2 * LINE + GAP)
        assert has_ink(titled[top : top + LINE])
        assert (titled[top + LINE : top + LINE + TILE, GAP : GAP + TILE] == GREY).all()
