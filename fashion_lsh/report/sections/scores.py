"""Scores of the search and its baselines, of the classifier, and search times."""

from fashion_lsh.metrics.results import SEARCH, Column
from fashion_lsh.report.blocks import Block, Listing, Table, Text
from fashion_lsh.report.phrases import METHODS, describe_search
from fashion_lsh.report.run_data import RunData
from fashion_lsh.report.tables import score_rows, with_interval

SCORES_NOTE = (
    "Means over the queries, with 95 % confidence intervals (bootstrap over items). Relevant for category mAP@100: "
    "garments of the same category; for item scores: the same garment. With the scope 1 list, a search reaches only "
    "garments whose predicted category is that of the query."
)
CLASSIFIER_AND_SPEED = {
    "top-1": (Column("classifier", "accuracy"), "fraction of queries with the correct category"),
    "top-5": (
        Column("classifier", "accuracy", 5),
        "fraction of queries with the correct category among the five most probable",
    ),
    "macro top-1": (Column("classifier", "macro_accuracy"), "top-1, mean over the categories"),
    "macro F1": (Column("classifier", "macro_f1"), "F1, mean over the categories"),
    "macro mAP@100": (Column(SEARCH, "macro_map", 100, "category"), "category mAP@100, mean over the categories"),
    "search, ms": (Column(SEARCH, "latency_ms"), "median, one query at a time, from code to hits"),
    "search p95, ms": (Column(SEARCH, "latency_ms_p95"), "95th percentile"),
    "end to end, ms": (
        Column(SEARCH, "end_to_end_ms"),
        "median, one query at a time: crop, network and search",
    ),
}


def scores(run_data: RunData) -> list[Block]:
    """Build the score table, a description of its methods, and a table of classifier scores and times."""
    results = run_data.results
    columns, rows = score_rows(results)
    extra_rows = [
        [title, with_interval(results, column), description]
        for title, (column, description) in CLASSIFIER_AND_SPEED.items()
        if results.find(column)
    ]
    best, worst = (results.value(SEARCH, f"map_{order}", 100, relevance="category") or 0.0
                   for order in ("best", "worst"))  # fmt: skip
    if best - worst > 0.0005:
        extra_rows.append(
            ["ties", f"{worst:.3f} to {best:.3f}", "category mAP@100 with the worst and with the best order of ties"]
        )
    own, *others = results.methods()
    descriptions = [f"{own[0]}: {describe_search(run_data.run.policy)} (the search of this run)."]
    descriptions += [
        f"{method}: {METHODS[method]}" for method in dict.fromkeys(name for name, _ in others) if method in METHODS
    ]
    added = [f"{method}, {scope}" for method, scope in others if method not in METHODS]
    descriptions += [f"Added by the evaluate command: {'; '.join(added)}."] if added else []
    return [
        Text(SCORES_NOTE),
        Table(columns, rows, highlight_first=True),
        Listing(descriptions),
        Table(["classifier and speed", "value", "definition"], extra_rows),
    ]
