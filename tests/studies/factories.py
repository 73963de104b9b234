"""Fake runs with several seeds and splits, and rows read from results.csv."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from fashion_lsh.evaluation.robustness import CORRUPTIONS
from fashion_lsh.report.page_file import Row
from fashion_lsh.runs.run import Run
from fashion_lsh.studies.query_outputs import read_repeat
from fashion_lsh.studies.repeats import repeat_rows

MakeRun = Callable[..., Run]


def make_repeat(make_run: MakeRun, key: str, seed: int = 0, split: int = 0, **changes: Any) -> Run:
    """Write a run with this seed and split, and with scores on corrupted queries."""
    run = make_run(key=key, split_seed=split, **changes)
    config = run.config | {"seed": seed}
    (run.path / "config.yaml").write_text(yaml.safe_dump(config))
    metrics = run.metrics | {"query/accuracy": 0.7 + seed / 100 + split / 20, "baselines/code/category/map@100": 0.6}
    metrics |= {f"corrupted/{name}/accuracy": 0.5 - seed / 100 for name in CORRUPTIONS}
    run.write_json("metrics.json", metrics)
    return run


def rows_from_runs(*runs: Run) -> list[Row]:
    """Return the rows of `repeat_rows` for these runs."""
    return repeat_rows([read_repeat(run) for run in runs])


def read_results(folder: Path) -> list[Row]:
    """Read the rows of `results.csv` as numbers and strings, without empty cells."""
    with (folder / "results.csv").open(newline="") as file:
        return [{name: _value(text) for name, text in row.items() if text} for row in csv.DictReader(file)]


def _value(text: str) -> int | float | str:
    for number_type in (int, float):
        try:
            return number_type(text)
        except ValueError:
            continue
    return text
