"""Scores: the search and its baselines, the classifier, the times."""

from fashion_lsh.report.blocks import Block, Listing, Table, Text
from fashion_lsh.report.phrases import row_words
from fashion_lsh.report.run_data import Findings
from fashion_lsh.report.tables import score_rows, with_interval

MEANS = (
    "Means over the queries, with 95 % intervals by bootstrap over items. Category mAP@100 asks for garments of one "
    "kind, item scores for the same garment again."
)
CLASSIFIER_AND_SPEED = {
    "query/accuracy": ("top-1", "queries whose category is named right"),
    "query/top5_accuracy": ("top-5", "queries whose category is among the five likeliest"),
    "query/macro_accuracy": ("macro top-1", "the same, as mean over the categories"),
    "query/macro_f1": ("macro F1", "mean over the categories"),
    "query/category/map@100_macro": ("macro mAP@100", "category mAP@100, as mean over the categories"),
    "speed/search_ms": ("search, ms", "median of one query at a time, from its code to its hits"),
    "speed/search_ms_p95": ("search, ms, 95 %", "95 of 100 queries are faster"),
    "speed/end_to_end_ms": ("picture to hits, ms", "median of one at a time: crop, network and search"),
}


def scores(found: Findings) -> list[Block]:
    """Build the score table, an explanation of its rows, and a table of classifier scores and times."""
    metrics = found.metrics
    columns, rows = score_rows(metrics, found.label)
    further = [
        [title, with_interval(metrics, name), what]
        for name, (title, what) in CLASSIFIER_AND_SPEED.items()
        if name in metrics
    ]
    best, worst = (metrics.get(f"query/category/map@100_{end}", 0.0) for end in ("best", "worst"))
    if best - worst > 0.0005:
        further.append(["ties", f"{worst:.3f} to {best:.3f}", "category mAP@100 by the order among equal distances"])
    return [
        Text(MEANS),
        Table(columns, rows, strong=True),
        Listing([f"{row[0]}: {row_words(row[0], found.label)}" for row in rows]),
        Table(["classifier and speed", "", ""], further),
    ]
