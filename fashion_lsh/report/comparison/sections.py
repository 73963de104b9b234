"""Sections of the page that compares two runs."""

import numpy as np

from fashion_lsh.metrics.results import CLASSIFIER, SEARCH, Column
from fashion_lsh.metrics.statistics import Difference, holm, item_groups, paired_difference
from fashion_lsh.report.blocks import Block, Download, Section, Table, Text
from fashion_lsh.report.comparison.pair import RunPair
from fashion_lsh.report.example_images import ExampleImages
from fashion_lsh.report.overlap import CRITERIA, FOUND_TEXT, Side, overlap, overlap_sheets
from fashion_lsh.report.page_file import Row, to_csv
from fashion_lsh.report.phrases import describe_search, one_line
from fashion_lsh.report.run_data import relevant_garments
from fashion_lsh.report.sections.categories import category_blocks
from fashion_lsh.report.tables import COLUMNS

TOP_1 = "top-1"
METRICS = {TOP_1: Column(CLASSIFIER, "accuracy")} | {
    f"{title}{suffix}": column._replace(method=method)
    for method, suffix in ((SEARCH, ""), ("code", ", code"), ("float", ", float"))
    for title, column in COLUMNS.items()
}
QUERY_METRICS = (TOP_1, *COLUMNS)  # metrics of the classifier and of the search of each run
DIFFERENCES_NOTE = (
    "Means over the queries that have the score in both runs, and the mean of the paired differences B - A of the "
    "single queries. Intervals and p are from 2,000 bootstrap samples of items; all queries of an item are drawn "
    "together. p is adjusted over the rows (Holm); below 0.05, the difference is significant. Each run is one "
    "training: the intervals do not cover the variation between seeds."
)


def comparison_sections(pair: RunPair, names: tuple[str, str]) -> list[Section]:
    """Build all sections in the order of the page.  names: titles of the runs A and B."""
    return [
        Section("runs", "Runs", _runs(pair, names)),
        Section("differences", "Paired differences", _differences(pair)),
        Section("categories", "Differences by category", _categories(pair)),
        Section("found", "Queries found by one run only", _found(pair)),
        Section("queries", "Scores of the single queries", [_csv(pair)]),
    ]


def _runs(pair: RunPair, names: tuple[str, str]) -> list[Block]:
    """Table of names, searches and different settings, and notes on queries and code versions."""
    sides = (pair.first, pair.second)
    rows = [
        ["run", *names],
        ["search", *(describe_search(side.run.policy) for side in sides)],
        *([name, one_line(base), one_line(other)] for name, base, other in pair.different_settings()),
    ]
    blocks: list[Block] = [Table(["setting", "A", "B"], rows)]
    num_shared, num_queries = len(pair.groups), pair.num_queries
    if num_queries != (num_shared, num_shared):
        text = f"Compared: the {num_shared:,} shared queries of {num_queries[0]:,} (A) and {num_queries[1]:,} (B)."
        blocks.append(Text(text, note=True))
    versions = [str(side.environment.get("code_version", "unknown")) for side in sides]
    if versions[0] != versions[1]:
        text = f"Different code versions: {versions[0]} (A) and {versions[1]} (B). Differences may be due to the code."
        blocks.append(Text(text, note=True))
    return blocks


def _differences(pair: RunPair) -> list[Block]:
    found: dict[str, tuple[np.ndarray, np.ndarray, Difference]] = {}
    for title, column in METRICS.items():
        if scores := pair.scores(column):
            found[title] = (*scores, paired_difference([scores[0]], [scores[1]], pair.groups))
    adjusted = holm([difference.p for *_, difference in found.values()])
    rows = [
        [title, *_means(first, second), f"{difference.mean:+.3f}", f"[{difference.low:+.3f}, {difference.high:+.3f}]",
         f"{p:.3f}"]
        for (title, (first, second, difference)), p in zip(found.items(), adjusted, strict=True)
    ]  # fmt: skip
    return [Table(["metric", "queries", "A", "B", "B - A", "95 % interval", "p"], rows), Text(DIFFERENCES_NOTE)]


def _means(first: np.ndarray, second: np.ndarray) -> tuple[str, str, str]:
    """Number of queries with both scores, and the means over them."""
    has_scores = ~np.isnan(first - second)
    return f"{has_scores.sum():,}", f"{first[has_scores].mean():.3f}", f"{second[has_scores].mean():.3f}"


def _categories(pair: RunPair) -> list[Block]:
    shown = ("category mAP@100", "item recall@10", TOP_1)
    scores = {title: pair.scores(METRICS[title]) for title in shown}
    differences = {title: each[1] - each[0] for title, each in scores.items() if each}
    caption = f"B - A, mean over the queries of a category; the largest difference of {next(iter(differences))} first."
    categories, items = pair.first.column("category"), pair.first.column("item")
    return category_blocks(
        categories, items, differences, caption, order=lambda value: -abs(value), interval=_difference_interval
    )


def _difference_interval(differences: np.ndarray, items: np.ndarray) -> tuple[float, float]:
    difference = paired_difference([np.zeros_like(differences)], [differences], item_groups(items))
    return difference.low, difference.high


def _found(pair: RunPair) -> list[Block]:
    """Counts of the queries that both runs, one run or none find, and contact sheets of those that one finds."""
    images = ExampleImages(pair.first), ExampleImages(pair.second)
    first, second = Side("A", pair.first.queries, images[0]), Side("B", pair.second.queries, images[1])
    recalls = {title: (first.scores(each.found), second.scores(each.found)) for title, each in CRITERIA.items()}
    available = [title for title, (base, other) in recalls.items() if not np.isnan(base - other).all()]
    rows = [[title, *overlap(*recalls[title]).cells()] for title in available]
    if top_1 := pair.scores(METRICS[TOP_1]):
        rows.append([f"{TOP_1} (predicted category is right)", *overlap(*top_1).cells()])
    blocks: list[Block] = [Text(FOUND_TEXT), Table(["found by", "both", "only A", "only B", "neither"], rows)]
    if available:
        criterion = CRITERIA[available[0]]
        relevant = relevant_garments(pair.first) if criterion.found.startswith("item/") else {}
        blocks += overlap_sheets(first, second, criterion, relevant)
    return [*blocks, *(images[0].note() or images[1].note())]


def _csv(pair: RunPair) -> Download:
    """Scores of each query in both runs as CSV."""
    columns = {name: pair.first.column(name) for name in ("id", "category", "item")}
    for side, run_data in (("A", pair.first), ("B", pair.second)):
        columns[f"predicted {side}"] = run_data.column("predicted")
        columns[f"confidence {side}"] = run_data.column("confidence").astype(float).round(6)
    for title in QUERY_METRICS:
        if scores := pair.scores(METRICS[title]):
            first, second = (values.round(6) for values in scores)
            columns |= {f"{title} A": first, f"{title} B": second, f"{title} B - A": (second - first).round(6)}
    rows: list[Row] = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return Download("queries.csv", to_csv(rows).encode(), "one row per query, with the scores of both runs.")
