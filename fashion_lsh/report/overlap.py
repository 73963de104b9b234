"""Queries that one of two searches finds and the other does not: counts, and contact sheets side by side."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from fashion_lsh.report.blocks import Block
from fashion_lsh.report.curves import alternating_order
from fashion_lsh.report.example_images import ExampleImages
from fashion_lsh.report.phrases import percent
from fashion_lsh.report.tiles import Tile, blank_tile, column_titles

MAX_QUERIES, NUM_HITS = 4, 6  # maximum number of queries in a sheet, and of hits per row
FOUND = 0.5  # a query with at least this recall is found; with ties, recall is a probability
FOUND_TEXT = (
    "A query is found by item recall@10 if a garment of its item is among the first 10 hits, and by category recall@1 "
    "if the first hit is of its category. With ties, recall is the probability of this; 0.5 counts as found."
)


class Criterion(NamedTuple):
    """Criterion by which a query counts as found.

    Attributes:
        found: column of the query table with the recall.
        order: column of the query table by whose difference examples are selected.
    """

    found: str
    order: str


CRITERIA = {
    "item recall@10": Criterion("item/recall@10", "item/map@100"),
    "category recall@1": Criterion("category/recall@1", "category/map@100"),
}


class Side(NamedTuple):
    """One of two searches with the same queries.

    Attributes:
        name: name of the method or the run.
        table: rows of queries.parquet, one per query; both sides have the same queries in the same order.
        images: images of the hits.
    """

    name: str
    table: pa.Table
    images: ExampleImages

    def scores(self, column: str) -> np.ndarray:
        """Scores of the single queries, (Q,) float; NaN for a query without a score."""
        if column not in self.table.column_names:
            return np.full(len(self.table), np.nan)
        return np.asarray(self.table[column].to_numpy().astype(float))

    @property
    def has_hits(self) -> bool:
        """True if the ids of the hits are in the table; baselines have scores only."""
        return "hits" in self.table.column_names and self.table["hits"].null_count == 0

    def hits(self, query: int) -> list[Tile]:
        """Tiles of the first NUM_HITS hits of a query."""
        names = self.table["hits"][query].as_py()[:NUM_HITS]
        return self.images.relevant(self.table["id"][query].as_py(), names)


class Overlap(NamedTuple):
    """Queries by the searches that find them, (n,) int64 row numbers each; queries without a score are in none."""

    both: np.ndarray
    only_first: np.ndarray
    only_second: np.ndarray
    neither: np.ndarray

    def cells(self) -> list[str]:
        """Number and percentage of the queries of each group."""
        total = max(1, sum(map(len, self)))
        return [f"{len(queries):,} ({percent(len(queries) / total)})" for queries in self]


def overlap(first: np.ndarray, second: np.ndarray) -> Overlap:
    """Group queries by the searches that find them.  first and second: (Q,) float recall, NaN without a score."""
    has_scores = ~np.isnan(first) & ~np.isnan(second)
    is_first, is_second = first >= FOUND, second >= FOUND
    groups = (is_first & is_second, is_first & ~is_second, ~is_first & is_second, ~is_first & ~is_second)
    return Overlap(*(np.flatnonzero(has_scores & group) for group in groups))


def overlap_sheets(first: Side, second: Side, criterion: Criterion, relevant: Mapping[str, str]) -> list[Block]:
    """Contact sheets of the queries that only one side finds, those with the largest difference first.

    Args:
        first, second: the sides; a side without hits has no row of hits.
        criterion: what makes a query found.
        relevant: id of a relevant gallery garment by id of a query; queries without one have an empty tile.
    """
    groups = overlap(first.scores(criterion.found), second.scores(criterion.found))
    gains = first.scores(criterion.order) - second.scores(criterion.order)
    categories = np.asarray(first.table["category"].to_numpy())
    blocks: list[Block] = []
    for name, (finder, other), queries, gain in (
        ("only-first", (first, second), groups.only_first, gains),
        ("only-second", (second, first), groups.only_second, -gains),
    ):
        cost = -np.nan_to_num(gain[queries])
        selected = queries[alternating_order(categories[queries], np.stack([cost, cost]))[:MAX_QUERIES]]
        caption = f"Queries that {finder.name} finds and {other.name} does not, {len(selected)} of {len(queries):,}."
        if not (finder.has_hits and other.has_hits):
            caption += f" The hits of {(other if finder.has_hits else finder).name} are not in queries.parquet."
        blocks += _sheet(name, selected, (first, second), relevant, caption)
    return blocks


def _sheet(
    name: str, queries: np.ndarray, sides: tuple[Side, Side], relevant: Mapping[str, str], caption: str
) -> list[Block]:
    """Sheet with the query, a relevant garment and, below each other, the hits of both sides.

    With two runs, the second row has the crop and the predicted category of the second run.
    """
    (first, second), images, rows, titles = sides, sides[0].images, [], []
    for query in queries.tolist():
        query_id = first.table["id"][query].as_py()
        target = images.relevant(query_id, [relevant[query_id]]) if query_id in relevant else [blank_tile()]
        first_tiles = [*images.query(query), *target]
        for side in (side for side in sides if side.has_hits):
            rows.append([*first_tiles, *side.hits(query)])
            titles.append(f"{query_id}, hits of {side.name}")
            crop = second.images.query(query)[1] if second.images is not images else blank_tile()
            first_tiles = [blank_tile(), crop, blank_tile()]
    titles_of_columns = column_titles(NUM_HITS)
    titles_of_columns.insert(2, "relevant")
    return images.sheet(name, rows, titles_of_columns, caption, titles)
