"""Contact sheets of the best, the typical and the worst queries of a finished run."""

from collections.abc import Sequence

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.datasets import Source
from fashion_lsh.data.detections import Detections
from fashion_lsh.data.schema import box_columns
from fashion_lsh.report.blocks import Block, Table, Text
from fashion_lsh.report.contact_sheets import GONE, mark_of, naming, sheet_figure
from fashion_lsh.report.curves import best_typical_worst
from fashion_lsh.report.phrases import listed, one_line
from fashion_lsh.report.run_data import Findings, row_numbers
from fashion_lsh.report.tiles import TILE, Tile, drawn, headings
from fashion_lsh.runs.run import DETECTIONS_FILE

HITS = 8  # shown of each query
NAMED = 10  # pictures that are missing, named in the page
MEANING = {
    "best": "Best: the highest AP@100 by category, then by item.",
    "typical": "Typical: nearest to the median of all queries.",
    "worst": "Worst: the lowest AP@100 by category, then by item.",
}


def judged(found: Findings) -> list[Block]:
    """Three sheets, each with the figures of its queries."""
    item_ap = found.column("item/map@100") if found.has("item/map@100") else None
    chosen = best_typical_worst(found.column("category"), found.column("category/map@100"), item_ap)
    album = Album(found, np.concatenate(list(chosen.values())))
    blocks: list[Block] = []
    for name, numbers in chosen.items():
        if len(numbers):
            blocks += [*album.sheet(name, numbers), _score_table(found, name, numbers)]
    return blocks + album.note()


class Album:
    """The pictures of some queries and of their hits; remembers which are missing."""

    def __init__(self, found: Findings, numbers: np.ndarray) -> None:
        self.predicted, self.margin = found.column("predicted"), found.config["data"]["margin"]
        self.named = found.named
        self.asked = {number: str(found.queries["id"][int(number)]) for number in numbers}
        self.hits = {number: found.queries["hits"][int(number)].as_py()[:HITS] for number in numbers}
        shown = dict.fromkeys([*self.asked.values(), *(name for names in self.hits.values() for name in names)])
        known = set(found.garments.column("id"))
        self.missing = dict.fromkeys(shown.keys() - known, "filed later: not in catalogue.parquet")
        ids = [name for name in shown if name in known]
        self.garments, self.place = _cropped(found, ids), {name: place for place, name in enumerate(ids)}
        self.source = self._opened(found)

    def sheet(self, name: str, numbers: np.ndarray) -> list[Block]:
        """The sheet of these queries; nothing where there is no picture to show."""
        rows = [self._row(number) for number in numbers] if self.source else []
        if not any(tile.caption != "missing" for row in rows for tile in row):
            return []
        return [sheet_figure(name, drawn(rows, headings(HITS)), MEANING[name])]

    def note(self) -> list[Block]:
        """What could not be shown."""
        if not self.missing:
            return []
        names = [f"{one_line(name)} ({one_line(reason)})" for name, reason in self.missing.items()]
        text = "Pictures that cannot be opened here are grey or left out: "
        return [Text(f"{text}{listed(names, '; ', NAMED)}.", note=True)]

    def _opened(self, found: Findings) -> Source | None:
        try:
            return found.run.source()
        except GONE as error:
            self.missing["all"] = str(error)
            return None

    def _row(self, number: int) -> list[Tile]:
        query = self.place[self.asked[number]]
        category, seen = self.garments.column("category")[query], self.predicted[number]
        places = [self.place.get(name) for name in self.hits[number]]
        right = naming(str(seen), str(category), self.named)
        return [
            self._query(query, f"is {category}"),
            self._crop(query, f"seen as {seen}", right),
            *(_nothing() if place is None else self._hit(query, place) for place in places),
        ]

    def _query(self, place: int, caption: str) -> Tile:
        pixels = self._pixels(place)
        return _nothing() if pixels is None else Tile(pixels, caption, box=self.garments.boxes[place])

    def _hit(self, query: int, place: int) -> Tile:
        mark = mark_of(self.garments, query, self.garments, place)
        return self._crop(place, self.garments.column("category")[place], mark)

    def _crop(self, place: int, caption: str, mark: str) -> Tile:
        pixels = self._pixels(place)
        if pixels is None:
            return _nothing()
        try:
            return Tile(crop_image(pixels, self.garments.boxes[place], self.margin, TILE), caption, mark)
        except ValueError as error:  # the picture is another one now
            self.missing[self.garments.column("id")[place]] = str(error)
            return _nothing()

    def _pixels(self, place: int) -> np.ndarray | None:
        assert self.source
        try:
            return self.source.image(self.garments.column("image")[place])
        except GONE as error:
            self.missing[self.garments.column("id")[place]] = str(error)
            return None


def _cropped(found: Findings, ids: Sequence[str]) -> Catalogue:
    """These garments, each with the box that was cut out for it."""
    few = found.garments.take(row_numbers(found.garments, np.array(ids, dtype=object)))
    crop, boxes = found.config["data"]["crop"], np.full((len(ids), 4), np.nan, dtype=np.float32)
    if crop == "annotated":
        return few
    if crop == "detected":
        boxes = found.run.box_selector.select_boxes(
            Detections.open(found.run.path / DETECTIONS_FILE), few.column("image"), few.boxes
        )
    return few.with_columns(**box_columns(boxes))


def _score_table(found: Findings, name: str, numbers: np.ndarray) -> Table:
    """The figures of a sheet's queries."""
    shown = {"query": "id", "is": "category", "seen as": "predicted", "confidence": "mass",
             "category AP@100": "category/map@100", "item AP@100": "item/map@100"}  # fmt: skip
    shown = {title: column for title, column in shown.items() if found.has(column)}
    values = [found.queries[column].take(numbers).to_pylist() for column in shown.values()]
    rows = [list(map(_cell, row)) for row in zip(*values, strict=True)]
    return Table(list(shown), rows, folded=f"the figures of the {name} queries")


def _cell(value: str | float) -> str:
    return one_line(value) if isinstance(value, str) else f"{value:.3f}"


def _nothing() -> Tile:
    return Tile(np.full((TILE, TILE, 3), 225, np.uint8), "missing")
