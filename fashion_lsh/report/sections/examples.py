"""Contact sheets of the best, the typical and the worst queries of a finished run."""

import numpy as np

from fashion_lsh.report.blocks import Block, Table
from fashion_lsh.report.curves import best_typical_worst, confident_failures
from fashion_lsh.report.example_images import MAX_HITS, ExampleImages
from fashion_lsh.report.phrases import one_line
from fashion_lsh.report.run_data import RunData
from fashion_lsh.report.tiles import column_titles

CAPTIONS = {
    "best": "Best: the highest AP@100 by category, then by item.",
    "typical": "Typical: nearest to the median of all queries.",
    "worst": "Worst: the lowest AP@100 by category, then by item.",
    "confident": "Confident failures: the highest confidence × (1 - category AP@100); the classifier is sure, but the "
    "hits are of other categories.",
}
SCORES = {"query": "id", "true": "category", "predicted": "predicted", "confidence": "confidence",
          "category AP@100": "category/map@100", "item AP@100": "item/map@100"}  # fmt: skip


def example_sheets(run_data: RunData, images: ExampleImages) -> list[Block]:
    """Draw a contact sheet of each list of queries in CAPTIONS, with a table of their scores."""
    blocks: list[Block] = []
    for name, queries in _chosen(run_data).items():
        if len(queries):
            rows = [[*images.query(query), *images.hits(query)] for query in queries]
            blocks += images.sheet(name, rows, column_titles(MAX_HITS), CAPTIONS[name])
            blocks.append(query_scores(run_data, queries, f"Scores of the {name} queries"))
    return blocks + images.note()


def query_scores(run_data: RunData, queries: np.ndarray, summary: str) -> Table:
    """Collapsed table of the scores of rows of the query table, (n,) int."""
    columns = {title: column for title, column in SCORES.items() if run_data.has(column)}
    values = [run_data.queries[column].take(queries).to_pylist() for column in columns.values()]
    rows = [list(map(_cell, row)) for row in zip(*values, strict=True)]
    return Table(list(columns), rows, summary=summary)


def _chosen(run_data: RunData) -> dict[str, np.ndarray]:
    """Rows of the query table by list; without known categories, the confidence has no meaning."""
    categories, category_ap = run_data.column("category"), run_data.column("category/map@100")
    item_ap = run_data.column("item/map@100") if run_data.has("item/map@100") else None
    chosen = best_typical_worst(categories, category_ap, item_ap)
    if run_data.has_known_categories:
        chosen["confident"] = confident_failures(run_data.column("confidence"), category_ap)
    return chosen


def _cell(value: str | float) -> str:
    return one_line(value) if isinstance(value, str) else f"{value:.3f}"
