"""Table of the jobs of a sweep."""

import json
from pathlib import Path
from typing import Any

from fashion_lsh.runs.sweep_table import sweep_table

METRICS = {"search/item/recall@10": 0.91, "search/garment_bytes": 24, "search/latency_ms": 0.123, "data/garments": 9}


def job(number: int, override: str, run: Path | str = "", **fields: Any) -> dict[str, Any]:
    return {"job": number, "overrides": ["seed=1", override], "score": 0.5, "failure": None, "run": str(run), **fields}


def finished_run(folder: Path, **metrics: float) -> Path:
    folder.mkdir()
    (folder / "config.yaml").write_text("{}")
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


def table_lines(*records: dict[str, Any], with_metrics: bool = True) -> list[str]:
    return [" ".join(line.split()) for line in sweep_table(records, "score", with_metrics).splitlines()]


def test_metrics_of_finished_runs_are_columns(tmp_path: Path) -> None:
    """A run without a metric and a failed job have empty cells; settings of all jobs are left out."""
    first = finished_run(tmp_path / "a", **METRICS)
    second = finished_run(tmp_path / "b", **{"search/latency_ms": 2.0})
    failed = job(2, "hash=c", first, score=None, failure="ValueError: no")
    assert table_lines(job(0, "hash=a", first), job(1, "hash=b", second), failed) == [
        "job settings score item recall@10 bytes per garment search ms run",
        f"0 hash=a 0.5000 0.9100 24 0.12 {first}",
        f"1 hash=b 0.5000 2.00 {second}",
        f"2 hash=c failed {first}: ValueError: no",
    ]


def test_metrics_are_not_shown_beside_a_score_on_val(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "a", **METRICS)
    assert table_lines(job(0, "hash=a", run), job(1, "hash=b"), with_metrics=False) == [
        "job settings score run", f"0 hash=a 0.5000 {run}", "1 hash=b 0.5000",
    ]  # fmt: skip


def test_a_run_without_metrics_has_no_columns(tmp_path: Path) -> None:
    assert table_lines(job(0, "hash=a", tmp_path / "missing"))[0] == "job settings score run"
