"""Metrics of sweep tables, by title."""

from collections.abc import Mapping

from fashion_lsh.metrics.results import CLASSIFIER, SEARCH, Column, column_of
from fashion_lsh.report.sweep.jobs import Job

METRICS = {
    "top-1": Column(CLASSIFIER, "accuracy"),
    "val top-1": Column(CLASSIFIER, "accuracy", split="val"),
    "top-5": Column(CLASSIFIER, "accuracy", 5),
    "macro top-1": Column(CLASSIFIER, "macro_accuracy"),
    "macro F1": Column(CLASSIFIER, "macro_f1"),
    "category mAP@100": Column(SEARCH, "map", 100, "category"),
    "macro mAP@100": Column(SEARCH, "macro_map", 100, "category"),
    "item mAP@100": Column(SEARCH, "map", 100, "item"),
    "item recall@10": Column(SEARCH, "recall", 10, "item"),
    "codes only": Column("code", "map", 100, "category"),
    "item mAP@100, codes only": Column("code", "map", 100, "item"),
    "float": Column("float", "map", 100, "category"),
    "item recall@10, float": Column("float", "recall", 10, "item"),
    "entropy": Column("code", "entropy", split="gallery"),
    "codes only, best ties": Column("code", "map_best", 100, "category"),
    "codes only, worst ties": Column("code", "map_worst", 100, "category"),
    "precision, radius 2": Column("code", "radius_precision", 2, "category"),
    "balance": Column("code", "balance", split="gallery"),
    "distinct codes": Column("code", "distinct", split="gallery"),
    "quantisation error": Column("code", "quantisation_error", split="gallery"),
    "search ms": Column(SEARCH, "latency_ms"),
    "undetected": Column("detector", "undetected"),
    "box AP50": Column("detector", "box_ap50", scope=""),
    "box AP50, class-agnostic": Column("detector", "box_ap50", scope="class-agnostic"),
    "parameters": Column("model", "parameters"),
    "FLOPs": Column("model", "flops"),
    "network ms": Column("model", "network_ms"),
    "feature bytes": Column("model", "feature_bytes"),
    "code bytes": Column("model", "code_bytes"),
    "chance": Column("random", "precision", 10, "category"),
    "queries": Column("data", "garments"),
}
OPTIONAL_METRICS = (  # shown only if page.yaml lists them
    "codes only, best ties", "codes only, worst ties", "precision, radius 2", "balance", "distinct codes",
    "quantisation error", "search ms", "item recall@10, float", "val top-1", "top-5", "parameters", "FLOPs",
    "network ms", "feature bytes", "code bytes", "chance",
)  # fmt: skip


def find_column(name: str, jobs: Mapping[str, Job]) -> Column:
    """Return the column of a metric, given by its title in METRICS or its flat name (see ResultTable.flat).

    Raises:
        ValueError: no job has such a metric.
    """
    if name in METRICS:
        return METRICS[name]
    for job in jobs.values():
        if row := job.results.by_flat_name(name):
            is_own = (row.method, row.scope) == job.results.search
            return column_of(row)._replace(method=SEARCH, scope=None) if is_own else column_of(row)
    flat_names = list(next(iter(jobs.values())).results.flat())
    raise ValueError(f"metric {name!r} is unknown; choose from {', '.join([*METRICS, *flat_names])}")
