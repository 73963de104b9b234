"""Contact sheets of queries and hits of a finished run, from the images of its data set."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.datasets import Source
from fashion_lsh.data.detections import Detections
from fashion_lsh.data.schema import BOX_COLUMNS
from fashion_lsh.report.blocks import Block, Text
from fashion_lsh.report.contact_sheets import MISSING_IMAGE_ERRORS, prediction_mark, relevance_mark, sheet_figure
from fashion_lsh.report.phrases import join_names, one_line
from fashion_lsh.report.run_data import RunData
from fashion_lsh.report.tiles import TILE, Tile, draw_sheet
from fashion_lsh.runs.run import DETECTIONS_FILE

MAX_HITS = 8  # maximum number of hits per query
MAX_NAMED = 10  # maximum number of missing images in a note
NOT_IN_CATALOGUE = "added to the gallery later; not in catalogue.parquet"


class ExampleImages:
    """Tiles of the garments of a run; an image that cannot be opened is a grey tile, and is listed in a note.

    Args:
        run_data: finished run.
    """

    def __init__(self, run_data: RunData) -> None:
        self.run_data, self.garments = run_data, run_data.garments
        self.row_by_id = {name: row for row, name in enumerate(run_data.garments.column("id"))}
        self.missing: dict[str, str] = {}
        self.source_error = ""
        self.source = self._open_source()

    def sheet(
        self,
        name: str,
        rows: Sequence[Sequence[Tile]],
        columns: Sequence[str],
        caption: str,
        titles: Sequence[str] = (),
    ) -> list[Block]:
        """Draw a sheet of tiles, see `draw_sheet`; empty if no image could be opened."""
        if not any(tile.caption != "missing" for row in rows for tile in row):
            return []
        return [sheet_figure(name, draw_sheet(rows, columns, row_titles=titles), caption)]

    def note(self) -> list[Block]:
        """Note that lists the images missing since the last note; empty if no image is missing."""
        missing = {"all": self.source_error} if self.source_error else self.missing
        self.missing = {}
        if not missing:
            return []
        names = [f"{one_line(name)} ({one_line(reason)})" for name, reason in missing.items()]
        text = "Images that cannot be opened are grey or skipped: "
        return [Text(f"{text}{join_names(names, '; ', MAX_NAMED)}.", note=True)]

    def query(self, query: int) -> list[Tile]:
        """Two tiles of a row of the query table: the image with its box, and the crop with the predicted category."""
        row = self.run_data.queries.slice(int(query), 1).to_pylist()[0]
        mark = prediction_mark(row["predicted"], row["category"], self.run_data.has_known_categories)
        garment = self.row_by_id[row["id"]]
        pixels = self._pixels(garment)
        image = _missing_tile() if pixels is None else Tile(pixels, f"true: {row['category']}", box=self._box(garment))
        return [image, self.crop(row["id"], f"pred: {row['predicted'] or 'none'}", mark)]

    def hits(self, query: int) -> list[Tile]:
        """Tiles of the first MAX_HITS hits of a row of the query table, with relevance marks."""
        query_id = self.run_data.queries["id"][int(query)].as_py()
        return self.relevant(query_id, self.run_data.queries["hits"][int(query)].as_py()[:MAX_HITS])

    def relevant(self, query_id: str, names: Sequence[str]) -> list[Tile]:
        """Tiles of gallery ids, captioned with their categories, with their relevance to a query as marks."""
        return [self._hit(query_id, name) for name in names]

    def crop(self, name: str, caption: str, mark: str = "") -> Tile:
        """Tile of the crop of an id in the catalogue."""
        pixels = self._pixels(self.row_by_id[name])
        if pixels is None:
            return _missing_tile()
        try:
            return Tile(crop_image(pixels, self._box(self.row_by_id[name]), self._margin, TILE), caption, mark)
        except ValueError as error:  # the image has changed since the run
            self.missing[name] = str(error)
            return _missing_tile()

    def _hit(self, query_id: str, name: str) -> Tile:
        if name not in self.row_by_id:
            self.missing[name] = NOT_IN_CATALOGUE
            return _missing_tile()
        query_row, row = self.row_by_id[query_id], self.row_by_id[name]
        mark = relevance_mark(self.garments, query_row, self.garments, row)
        return self.crop(name, self.garments.row(row)["category"], mark)

    def _open_source(self) -> Source | None:
        try:
            return self.run_data.run.source()
        except MISSING_IMAGE_ERRORS as error:
            self.source_error = str(error)
            return None

    @property
    def _margin(self) -> float:
        return float(self.run_data.config["data"]["margin"])

    def _pixels(self, row: int) -> np.ndarray | None:
        if self.source is None:
            return None
        garment = self.garments.row(row)
        try:
            return self.source.image(garment["image"])
        except MISSING_IMAGE_ERRORS as error:
            self.missing[garment["id"]] = str(error)
            return None

    def _box(self, row: int) -> np.ndarray:
        """Box of the crop, (4,) float32; NaN for the whole image."""
        garment, crop = self.garments.row(row), self.run_data.config["data"]["crop"]
        box = np.array([garment[side] for side in BOX_COLUMNS], dtype=np.float32)
        if crop == "annotated":
            return box
        if crop == "detected":
            images = np.array([garment["image"]], dtype=object)
            selector = self.run_data.run.box_selector
            return np.asarray(selector.select_boxes(self._detections, images, box[None])[0])
        return np.full(4, np.nan, dtype=np.float32)

    @cached_property
    def _detections(self) -> Detections:
        return Detections.open(self.run_data.run.path / DETECTIONS_FILE)


def _missing_tile() -> Tile:
    return Tile(np.full((TILE, TILE, 3), 225, np.uint8), "missing")
