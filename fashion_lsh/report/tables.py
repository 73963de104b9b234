"""Score table and summary of a run."""

from collections.abc import Mapping
from typing import Any

from fashion_lsh.report.phrases import describe_hash_layer, markdown_table

COLUMNS = {
    "category mAP@100": "category/map@100",
    "item recall@1": "item/recall@1",
    "item recall@10": "item/recall@10",
    "item mAP@100": "item/map@100",
}


def describe_run(metrics: Mapping[str, float], config: Mapping[str, Any], label: str) -> str:
    """Score table and summary of a finished run, as printed in the terminal."""
    return f"{score_table(metrics, label)}\n\n{summary(metrics, config)}"


def score_table(metrics: Mapping[str, float], label: str) -> str:
    """Score table in Markdown with 95 % confidence intervals: the run's own search, then the baselines."""
    columns, rows = score_rows(metrics, label)
    rows[0][0] = f"**{rows[0][0]}**"
    return markdown_table(rows, columns)


def score_rows(metrics: Mapping[str, float], label: str) -> tuple[list[str], list[list[str]]]:
    """Return column titles and rows of the score table: the run's own search, then the other methods by name."""
    shown = {title: name for title, name in COLUMNS.items() if f"query/{name}" in metrics}
    rows = [[label, *(with_interval(metrics, f"query/{name}") for name in shown.values())]]
    methods = sorted({name.split("/")[1] for name in metrics if name.startswith("baselines/")} - {label})
    rows += [
        [method, *(with_interval(metrics, f"baselines/{method}/{name}") for name in shown.values())]
        for method in methods
    ]
    return ["method", *shown], rows


def summary(metrics: Mapping[str, float], config: Mapping[str, Any]) -> str:
    """Lines below the score table: setup, classifier accuracy and search time."""
    weights = config["backbone"]["weights"] or "from scratch"
    num_queries, num_gallery = int(metrics["query/count"]), int(metrics["query/gallery_rows"])
    data = config["data"]
    key = "speed/end_to_end_ms"
    end_to_end = f", end to end {metrics[key]:.1f} ms" if key in metrics else ""
    lines = [
        f"{config['backbone']['name']} ({weights}), {describe_hash_layer(config['hash'])}, "
        f"{data['source']} at {data['image_size']} px; {num_queries:,} queries, {num_gallery:,} in the gallery"
        + _data_note(config),
        f"{_describe_classifier(metrics)}search {metrics['speed/search_ms']:.2f} ms{end_to_end} "
        "(medians, one query at a time)",
    ]
    return "\n".join(lines)


def _describe_classifier(metrics: Mapping[str, float]) -> str:
    """Classifier scores; empty if the query categories are not in the training data."""
    if "query/accuracy" not in metrics:
        return ""
    return (
        f"queries: top-1 {with_interval(metrics, 'query/accuracy')}, top-5 {metrics['query/top5_accuracy']:.3f}, "
        f"macro F1 {metrics['query/macro_f1']:.3f}; "
    )


def _data_note(config: Mapping[str, Any]) -> str:
    generated = config["data"]["source"] == "shop_street"
    notes = ["items are synthetic renderings"] if generated else []
    notes += ["the gallery is the training images"] if config["data"]["gallery"] == "train" else []
    notes += ["published split, including its leaks"] if config["data"].get("leaks") == "report" else []
    notes += ["query categories are not in the training data"] if config["data"].get("unseen") else []
    return f" ({'; '.join(notes)})" if notes else ""


def with_interval(metrics: Mapping[str, float], name: str) -> str:
    """Format a score with its confidence interval, if available; "–" for a missing score."""
    bounds = [metrics[key] for key in (f"{name}_low", f"{name}_high") if key in metrics]
    interval = f" [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else ""
    return f"{metrics[name]:.3f}{interval}" if name in metrics else "–"
