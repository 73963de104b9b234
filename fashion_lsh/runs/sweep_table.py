"""Table of the jobs of a sweep, as printed in the terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from fashion_lsh.runs.folder import RunFolder

# Titles of further columns, with the name in metrics.json and the format.
COLUMNS = {
    "item recall@10": ("search/item/recall@10", ".4f"),
    "bytes per garment": ("search/garment_bytes", ".0f"),
    "search ms": ("search/latency_ms", ".2f"),
}


def sweep_table(records: Sequence[Mapping[str, Any]], score_name: str, with_metrics: bool) -> str:
    """Table of jobs: settings that differ between jobs, score, and run folder or reason of the failure.

    Args:
        records: jobs: number, overrides, score, failure and run folder.
        score_name: title of the score.
        with_metrics: also show item recall, bytes per garment and search time of the runs, where a run has them.
    """
    common = set.intersection(*(set(record["overrides"]) for record in records)) if len(records) > 1 else set()
    metrics = [_metrics(record) if with_metrics else {} for record in records]
    shown = {title: (name, spec) for title, (name, spec) in COLUMNS.items() if any(name in each for each in metrics)}
    rows = []
    for record, values in zip(records, metrics, strict=True):
        overrides = " ".join(override for override in record["overrides"] if override not in common)
        score = "failed" if record["failure"] else "" if record["score"] is None else f"{record['score']:.4f}"
        cells = [format(values[name], spec) if name in values else "" for name, spec in shown.values()]
        rows.append(
            (record["job"], overrides, score, *cells, ": ".join(filter(None, (record["run"], record["failure"]))))
        )
    headers = ["job", "settings", score_name, *shown, "run"]
    return tabulate(rows, headers=headers, tablefmt="plain", disable_numparse=True)


def _metrics(record: Mapping[str, Any]) -> dict[str, float]:
    """Values of metrics.json of a finished job; empty for a failed one."""
    if record["failure"] or not record["run"] or not Path(record["run"], "config.yaml").is_file():
        return {}
    return RunFolder(record["run"]).metrics
