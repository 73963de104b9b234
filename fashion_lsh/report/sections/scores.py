"""Scores of the search and its baselines, of the classifier, and search times."""

from fashion_lsh.report.blocks import Block, Listing, Table, Text
from fashion_lsh.report.phrases import describe_method
from fashion_lsh.report.run_data import RunData
from fashion_lsh.report.tables import score_rows, with_interval

SCORES_NOTE = (
    "Means over the queries, with 95 % confidence intervals (bootstrap over items). Relevant for category mAP@100: "
    "garments of the same category; for item scores: the same garment."
)
CLASSIFIER_AND_SPEED = {
    "query/accuracy": ("top-1", "fraction of queries with the correct category"),
    "query/top5_accuracy": ("top-5", "fraction of queries with the correct category among the five most probable"),
    "query/macro_accuracy": ("macro top-1", "top-1, mean over the categories"),
    "query/macro_f1": ("macro F1", "F1, mean over the categories"),
    "query/category/map@100_macro": ("macro mAP@100", "category mAP@100, mean over the categories"),
    "speed/search_ms": ("search, ms", "median, one query at a time, from code to hits"),
    "speed/search_ms_p95": ("search p95, ms", "95th percentile"),
    "speed/end_to_end_ms": ("end to end, ms", "median, one query at a time: crop, network and search"),
}


def scores(run_data: RunData) -> list[Block]:
    """Build the score table, a description of its methods, and a table of classifier scores and times."""
    metrics = run_data.metrics
    columns, rows = score_rows(metrics, run_data.label)
    extra_rows = [
        [title, with_interval(metrics, name), description]
        for name, (title, description) in CLASSIFIER_AND_SPEED.items()
        if name in metrics
    ]
    best, worst = (metrics.get(f"query/category/map@100_{order}", 0.0) for order in ("best", "worst"))
    if best - worst > 0.0005:
        extra_rows.append(
            ["ties", f"{worst:.3f} to {best:.3f}", "category mAP@100 with the worst and with the best order of ties"]
        )
    return [
        Text(SCORES_NOTE),
        Table(columns, rows, highlight_first=True),
        Listing([f"{row[0]}: {describe_method(row[0], run_data.label)}" for row in rows]),
        Table(["classifier and speed", "value", "definition"], extra_rows),
    ]
