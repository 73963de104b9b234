"""Contact sheets of the best, the typical and the worst queries of a finished run."""

from collections.abc import Sequence

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.datasets import Source
from fashion_lsh.data.detections import Detections
from fashion_lsh.data.schema import box_columns
from fashion_lsh.report.blocks import Block, Table, Text
from fashion_lsh.report.contact_sheets import MISSING_IMAGE_ERRORS, prediction_mark, relevance_mark, sheet_figure
from fashion_lsh.report.curves import best_typical_worst
from fashion_lsh.report.phrases import join_names, one_line
from fashion_lsh.report.run_data import RunData, row_numbers
from fashion_lsh.report.tiles import TILE, Tile, column_titles, draw_sheet
from fashion_lsh.runs.run import DETECTIONS_FILE

MAX_HITS = 8  # maximum number of hits per query
MAX_NAMED = 10  # maximum number of missing images listed on the page
CAPTIONS = {
    "best": "Best: the highest AP@100 by category, then by item.",
    "typical": "Typical: nearest to the median of all queries.",
    "worst": "Worst: the lowest AP@100 by category, then by item.",
}


def example_sheets(run_data: RunData) -> list[Block]:
    """Draw three contact sheets, each with a table of the scores of its queries."""
    item_ap = run_data.column("item/map@100") if run_data.has("item/map@100") else None
    chosen = best_typical_worst(run_data.column("category"), run_data.column("category/map@100"), item_ap)
    images = ExampleImages(run_data, np.concatenate(list(chosen.values())))
    blocks: list[Block] = []
    for name, queries in chosen.items():
        if len(queries):
            blocks += [*images.sheet(name, queries), _score_table(run_data, name, queries)]
    return blocks + images.note()


class ExampleImages:
    """Images of selected queries and of the hits; collects the missing images.

    Args:
        run_data: finished run.
        queries: (n,) int, rows of the query table.
    """

    def __init__(self, run_data: RunData, queries: np.ndarray) -> None:
        self.predicted, self.margin = run_data.column("predicted"), run_data.config["data"]["margin"]
        self.has_known_categories = run_data.has_known_categories
        self.query_ids = {query: str(run_data.queries["id"][int(query)]) for query in queries}
        self.hits = {query: run_data.queries["hits"][int(query)].as_py()[:MAX_HITS] for query in queries}
        shown_ids = dict.fromkeys([*self.query_ids.values(), *(name for names in self.hits.values() for name in names)])
        catalogue_ids = set(run_data.garments.column("id"))
        self.missing = dict.fromkeys(
            shown_ids.keys() - catalogue_ids, "added to the gallery later; not in catalogue.parquet"
        )
        ids = [name for name in shown_ids if name in catalogue_ids]
        self.garments = _select_garments(run_data, ids)
        self.index_by_id = {name: index for index, name in enumerate(ids)}
        self.source = self._open_source(run_data)

    def sheet(self, name: str, queries: np.ndarray) -> list[Block]:
        """Draw the sheet of these queries, (n,) int; empty if no image can be opened."""
        rows = [self._row(query) for query in queries] if self.source else []
        if not any(tile.caption != "missing" for row in rows for tile in row):
            return []
        return [sheet_figure(name, draw_sheet(rows, column_titles(MAX_HITS)), CAPTIONS[name])]

    def note(self) -> list[Block]:
        """Note that lists the missing images; empty if no image is missing."""
        if not self.missing:
            return []
        names = [f"{one_line(name)} ({one_line(reason)})" for name, reason in self.missing.items()]
        text = "Images that cannot be opened are grey or skipped: "
        return [Text(f"{text}{join_names(names, '; ', MAX_NAMED)}.", note=True)]

    def _open_source(self, run_data: RunData) -> Source | None:
        try:
            return run_data.run.source()
        except MISSING_IMAGE_ERRORS as error:
            self.missing["all"] = str(error)
            return None

    def _row(self, query: int) -> list[Tile]:
        query_index = self.index_by_id[self.query_ids[query]]
        category, predicted = self.garments.column("category")[query_index], self.predicted[query]
        hit_indices = [self.index_by_id.get(name) for name in self.hits[query]]
        mark = prediction_mark(str(predicted), str(category), self.has_known_categories)
        return [
            self._query(query_index, f"true: {category}"),
            self._crop(query_index, f"pred: {predicted or 'none'}", mark),
            *(_missing_tile() if index is None else self._hit(query_index, index) for index in hit_indices),
        ]

    def _query(self, index: int, caption: str) -> Tile:
        pixels = self._pixels(index)
        return _missing_tile() if pixels is None else Tile(pixels, caption, box=self.garments.boxes[index])

    def _hit(self, query_index: int, index: int) -> Tile:
        mark = relevance_mark(self.garments, query_index, self.garments, index)
        return self._crop(index, self.garments.column("category")[index], mark)

    def _crop(self, index: int, caption: str, mark: str) -> Tile:
        pixels = self._pixels(index)
        if pixels is None:
            return _missing_tile()
        try:
            return Tile(crop_image(pixels, self.garments.boxes[index], self.margin, TILE), caption, mark)
        except ValueError as error:  # the image has changed since the run
            self.missing[self.garments.column("id")[index]] = str(error)
            return _missing_tile()

    def _pixels(self, index: int) -> np.ndarray | None:
        assert self.source
        try:
            return self.source.image(self.garments.column("image")[index])
        except MISSING_IMAGE_ERRORS as error:
            self.missing[self.garments.column("id")[index]] = str(error)
            return None


def _select_garments(run_data: RunData, ids: Sequence[str]) -> Catalogue:
    """Select garments by id, with the boxes of the crops."""
    selected = run_data.garments.take(row_numbers(run_data.garments, np.array(ids, dtype=object)))
    crop, boxes = run_data.config["data"]["crop"], np.full((len(ids), 4), np.nan, dtype=np.float32)
    if crop == "annotated":
        return selected
    if crop == "detected":
        boxes = run_data.run.box_selector.select_boxes(
            Detections.open(run_data.run.path / DETECTIONS_FILE), selected.column("image"), selected.boxes
        )
    return selected.with_columns(**box_columns(boxes))


def _score_table(run_data: RunData, name: str, queries: np.ndarray) -> Table:
    """Table of the per-query scores of a sheet."""
    columns = {"query": "id", "true": "category", "predicted": "predicted", "confidence": "confidence",
               "category AP@100": "category/map@100", "item AP@100": "item/map@100"}  # fmt: skip
    columns = {title: column for title, column in columns.items() if run_data.has(column)}
    values = [run_data.queries[column].take(queries).to_pylist() for column in columns.values()]
    rows = [list(map(_cell, row)) for row in zip(*values, strict=True)]
    return Table(list(columns), rows, summary=f"Scores of the {name} queries")


def _cell(value: str | float) -> str:
    return one_line(value) if isinstance(value, str) else f"{value:.3f}"


def _missing_tile() -> Tile:
    return Tile(np.full((TILE, TILE, 3), 225, np.uint8), "missing")
