"""Scores as a table."""

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
    """What a finished run says on the terminal."""
    return f"{score_table(metrics, label)}\n\n{summary(metrics, config)}"


def score_table(metrics: Mapping[str, float], label: str) -> str:
    """Markdown, with 95 % intervals: the run's own search, and the rows it is to be read beside."""
    columns, rows = score_rows(metrics, label)
    rows[0][0] = f"**{rows[0][0]}**"
    return markdown_table(rows, columns)


def score_rows(metrics: Mapping[str, float], label: str) -> tuple[list[str], list[list[str]]]:
    """Columns and rows of that table: the run's own search first, then the others by name."""
    shown = {title: name for title, name in COLUMNS.items() if f"query/{name}" in metrics}
    rows = [[label, *(with_interval(metrics, f"query/{name}") for name in shown.values())]]
    methods = sorted({name.split("/")[1] for name in metrics if name.startswith("baselines/")} - {label})
    rows += [
        [method, *(with_interval(metrics, f"baselines/{method}/{name}") for name in shown.values())]
        for method in methods
    ]
    return ["row", *shown], rows


def summary(metrics: Mapping[str, float], config: Mapping[str, Any]) -> str:
    """The lines under the table: what was asked, how good the classifier is, how fast it was."""
    weights = config["backbone"]["weights"] or "from scratch"
    num_queries, num_gallery = int(metrics["query/count"]), int(metrics["query/gallery_rows"])
    data = config["data"]
    key = "speed/end_to_end_ms"
    end_to_end = f", picture to hits {metrics[key]:.1f} ms" if key in metrics else ""
    lines = [
        f"{config['backbone']['name']} ({weights}), {describe_hash_layer(config['hash'])}, "
        f"{data['source']} at {data['image_size']} px; {num_queries:,} queries, {num_gallery:,} in the gallery"
        + _note(config),
        f"{_describe_classifier(metrics)}search {metrics['speed/search_ms']:.2f} ms{end_to_end} "
        "(medians, one at a time)",
    ]
    return "\n".join(lines)


def _describe_classifier(metrics: Mapping[str, float]) -> str:
    """How good the classifier is; nothing where it knows no query's category."""
    if "query/accuracy" not in metrics:
        return ""
    return (
        f"top-1 {with_interval(metrics, 'query/accuracy')}, top-5 {metrics['query/top5_accuracy']:.3f}, "
        f"macro F1 {metrics['query/macro_f1']:.3f}; "
    )


def _note(config: Mapping[str, Any]) -> str:
    generated = config["data"]["source"] == "shop_street"
    notes = ["items are re-viewed garments"] if generated else []
    notes += ["the training pictures are searched"] if config["data"]["gallery"] == "train" else []
    notes += ["the split as published, leaks and all"] if config["data"].get("leaks") == "report" else []
    notes += ["of categories that were not trained"] if config["data"].get("unseen") else []
    return f" ({'; '.join(notes)})" if notes else ""


def with_interval(metrics: Mapping[str, float], name: str) -> str:
    """A score and, where one is known, its interval."""
    bounds = [metrics[end] for end in (f"{name}_low", f"{name}_high") if end in metrics]
    interval = f" [{bounds[0]:.3f}, {bounds[1]:.3f}]" if bounds else ""
    return f"{metrics[name]:.3f}{interval}" if name in metrics else "–"
