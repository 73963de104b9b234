"""Scores: the search and its baselines, the classifier, the times."""

from fashion_lsh.report.blocks import Block, Listing, Table, Text
from fashion_lsh.report.phrases import describe_method
from fashion_lsh.report.run_data import RunData
from fashion_lsh.report.tables import score_rows, with_interval

SCORES_NOTE = (
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


def scores(run_data: RunData) -> list[Block]:
    """Build the score table, an explanation of its rows, and a table of classifier scores and times."""
    metrics = run_data.metrics
    columns, rows = score_rows(metrics, run_data.label)
    extra_rows = [
        [title, with_interval(metrics, name), description]
        for name, (title, description) in CLASSIFIER_AND_SPEED.items()
        if name in metrics
    ]
    best, worst = (metrics.get(f"query/category/map@100_{kind}", 0.0) for kind in ("best", "worst"))
    if best - worst > 0.0005:
        extra_rows.append(["ties", f"{worst:.3f} to {best:.3f}", "category mAP@100 by the order among equal distances"])
    return [
        Text(SCORES_NOTE),
        Table(columns, rows, highlight_first=True),
        Listing([f"{row[0]}: {describe_method(row[0], run_data.label)}" for row in rows]),
        Table(["classifier and speed", "", ""], extra_rows),
    ]
