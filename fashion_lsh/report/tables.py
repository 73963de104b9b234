"""Score table and summary of a run."""

from collections.abc import Mapping
from typing import Any

from fashion_lsh.evaluation.published import PROTOCOLS, EvaluationProtocol, published_scores
from fashion_lsh.metrics.results import CLASSIFIER, SEARCH, WHOLE_GALLERY, Column, ResultTable, metric_name
from fashion_lsh.report.phrases import METHODS, backbone_name, describe_hash_layer, markdown_table

COLUMNS = {
    "category mAP@100": Column("", "map", 100, "category"),
    "item recall@1": Column("", "recall", 1, "item"),
    "item recall@10": Column("", "recall", 10, "item"),
    "item mAP@100": Column("", "map", 100, "item"),
}


def describe_run(results: ResultTable, config: Mapping[str, Any]) -> str:
    """Score table, table of the published protocol, and summary of a finished run, as printed in the terminal."""
    parts = [score_table(results), summary(results, config)]
    if protocol := PROTOCOLS.get(config.get("evaluation", {}).get("protocol")):
        columns, rows = protocol_rows(results, protocol)
        parts.insert(1, markdown_table(rows, columns))
    return "\n\n".join(parts)


def score_table(results: ResultTable) -> str:
    """Score table in Markdown with 95 % confidence intervals: the run's own search, then the baselines."""
    columns, rows = score_rows(results)
    rows[0][0] = f"**{rows[0][0]}**"
    return markdown_table(rows, columns)


def score_rows(results: ResultTable) -> tuple[list[str], list[list[str]]]:
    """Return column titles and rows of the score table: the run's own search, then the other methods by name."""
    shown = {title: column for title, column in COLUMNS.items() if results.find(column._replace(method=SEARCH))}
    rows = [
        [method, scope, *(with_interval(results, each._replace(method=method, scope=scope)) for each in shown.values())]
        for method, scope in results.methods()
    ]
    return ["method", "scope", *shown], rows


def protocol_rows(results: ResultTable, protocol: EvaluationProtocol) -> tuple[list[str], list[list[str]]]:
    """Return column titles and rows of a published protocol: the searches of the run, then the published scores."""
    titles = [f"{relevance} {metric_name(metric, k)}" for relevance, metric, k in protocol.scores]
    rows = []
    for method, scope in results.methods():
        columns = protocol.columns(method, scope)
        is_shown = method not in METHODS or (method in ("code", "float") and scope == WHOLE_GALLERY)
        if is_shown and ((method, scope) == results.search or any(map(results.find, columns))):
            rows.append([method, *(with_interval(results, column) for column in columns), f"this run, {scope}"])
    published: dict[tuple[str, str], dict[tuple[str, str, int], str]] = {}
    for score in published_scores(protocol.name):
        origin = ", ".join(filter(None, ["not run here", score.source, score.note]))
        key = (score.relevance, score.metric, score.k)
        published.setdefault((score.method, origin), {})[key] = f"{score.value:.3f}"
    rows += [
        [method, *(values.get(key, "–") for key in protocol.scores), origin]
        for (method, origin), values in published.items()
    ]
    return ["method", *titles, "origin"], rows


def summary(results: ResultTable, config: Mapping[str, Any]) -> str:
    """Lines below the score table: setup, classifier accuracy and search time."""
    weights = config["backbone"]["weights"] or "from scratch"
    num_queries, num_gallery = (
        int(results.value("data", "garments", split=name) or 0) for name in ("query", "gallery")
    )
    data = config["data"]
    end_to_end_ms = results.value(SEARCH, "end_to_end_ms")
    end_to_end = "" if end_to_end_ms is None else f", end to end {end_to_end_ms:.1f} ms"
    lines = [
        f"{backbone_name(config['backbone'])} ({weights}), {describe_hash_layer(config['hash'])}, "
        f"{data['source']} at {data['image_size']} px; {num_queries:,} queries, {num_gallery:,} in the gallery"
        + _data_note(config),
        f"{_describe_classifier(results)}search {results.value(SEARCH, 'latency_ms') or 0:.2f} ms{end_to_end} "
        "(medians, one query at a time)",
    ]
    if promised := config.get("search", {}).get("coverage"):
        columns = [Column(SEARCH, "coverage", relevance=name) for name in ("item", "category")]
        measured = [f"by {each.relevance} {with_interval(results, each)}" for each in columns if results.find(each)]
        probed = results.value(SEARCH, "lists_probed") or 0
        lines.append(f"coverage: promised {promised:g}, measured {', '.join(measured)}; {probed:.2f} lists probed")
    return "\n".join(lines)


def _describe_classifier(results: ResultTable) -> str:
    """Classifier scores; empty if the query categories are not in the training data."""
    if results.value(CLASSIFIER, "accuracy") is None:
        return ""
    return (
        f"queries: top-1 {with_interval(results, Column(CLASSIFIER, 'accuracy'))}, "
        f"top-5 {results.value(CLASSIFIER, 'accuracy', 5):.3f}, "
        f"macro F1 {results.value(CLASSIFIER, 'macro_f1'):.3f}; "
    )


def _data_note(config: Mapping[str, Any]) -> str:
    generated = config["data"]["source"] == "shop_street"
    notes = ["items are synthetic renderings"] if generated else []
    notes += ["the gallery is the training images"] if config["data"]["gallery"] == "train" else []
    notes += ["published split, including its leaks"] if config["data"].get("leaks") == "report" else []
    notes += ["query categories are not in the training data"] if config["data"].get("unseen") else []
    return f" ({'; '.join(notes)})" if notes else ""


def with_interval(results: ResultTable, column: Column) -> str:
    """Format a result with its confidence interval, if available; "–" for a missing result."""
    row = results.find(column)
    if row is None:
        return "–"
    return f"{row.value:.3f} [{row.low:.3f}, {row.high:.3f}]" if row.has_interval else f"{row.value:.3f}"
