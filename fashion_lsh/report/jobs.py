"""The table of an experiment, from the scores its jobs left: python -m fashion_lsh.report.jobs experiments/garments."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from fashion_lsh.report.pages import Row, put

MEASURES = {
    "top-1": "query/accuracy",
    "macro top-1": "query/macro_accuracy",
    "macro F1": "query/macro_f1",
    "category mAP@100": "query/category/map@100",
    "macro mAP@100": "query/category/map@100_macro",
    "codes alone, all": "rows/code/category/map@100",
    "float, all": "rows/float/category/map@100",
    "queries": "query/count",
}
HOW = ("optim.", "classifier.", "hash.epochs", "hash.lr_factor", "hash.head_factor")  # settings of the learning


def main(words: Sequence[str] | None = None) -> int:
    """Write `results.csv`, and the table in `README.md`, of each experiment's folder."""
    parser = argparse.ArgumentParser(prog="python -m fashion_lsh.report.jobs", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="with jobs/*.json and a README.md")
    for folder in parser.parse_args(words).folders:
        try:
            gather(folder)
        except (OSError, ValueError) as error:
            sys.stderr.write(f"fashion_lsh.report.jobs: {error}\n")
            return 1
    return 0


def gather(folder: Path) -> list[Row]:
    """Bring the jobs of an experiment together.

    Returns:
        What was written, a row a job: the settings in which they differ, and MEASURES.

    Raises:
        FileNotFoundError: there are no jobs.
        ValueError: a job's file is damaged, or the README.md has no place for the table.
    """
    jobs = {path.stem: _job(path) for path in sorted((folder / "jobs").glob("*.json"))}
    if not jobs:
        raise FileNotFoundError(f"no jobs/*.json in {folder}: its train.py command makes them")
    rows = sorted(_rows(jobs), key=lambda row: [_rank(value) for value in row.values()])
    put(folder, rows, table(rows))
    return rows


def table(rows: Sequence[Row]) -> str:
    """Rows as Markdown, scores to three digits, with their intervals where they have one.

    How long and how fast was learnt is left to results.csv where other settings tell the jobs apart.
    """
    shown = [name for name in rows[0] if not name.endswith((" low", " high"))]
    settings = [name for name in shown if name not in (*MEASURES, "job")]
    telling = [name for name in settings if not name.startswith(HOW)]
    if len({tuple(str(row[name]) for name in telling) for row in rows}) == len(rows):
        shown = [name for name in shown if name in telling or name not in settings]
    return tabulate([[_cell(row, name) for name in shown] for row in rows], shown, "pipe", disable_numparse=True)


def _job(path: Path) -> tuple[Row, dict[str, float]]:
    try:
        content = json.loads(path.read_text())
        made = {"data": content["data"], "version": content["environment"]["fashion-lsh"]}
        return dict(_flat(content["settings"])) | made, dict(content["metrics"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): remove it, and make its run again") from error


def _rows(jobs: Mapping[str, tuple[Row, dict[str, float]]]) -> Iterator[Row]:
    names = dict.fromkeys(name for settings, _ in jobs.values() for name in settings)
    values = {name: {str(settings.get(name)) for settings, _ in jobs.values()} for name in names}
    differing = [name for name in names if len(values[name]) > 1 and not _repeated(name, names)]
    for key, (settings, metrics) in jobs.items():
        row: Row = {"job": key, **{name: settings.get(name) for name in differing}}
        for title, name in MEASURES.items():
            row[title] = metrics.get(name)
            if f"{name}_low" in metrics:
                row |= {f"{title} {end}": metrics[f"{name}_{end}"] for end in ("low", "high")}
        yield {name: row[name] for name in [*differing, *row] if name != "job"} | {"job": key}


def _rank(value: Any) -> tuple[bool, float, str]:
    """Numbers by their size, then texts."""
    number = isinstance(value, int | float)
    return not number, value if number else 0.0, "" if number else str(value)


def _repeated(name: str, names: Mapping[str, None]) -> bool:
    """Whether a stage's setting only says again what its own group says."""
    group, _, rest = name.partition(".")
    home = {"backbone": "backbone.name", "image_size": "data.image_size", "frozen": "backbone.frozen", "seed": "seed"}
    again = home.get(rest) in names or rest.startswith("optim.")
    return rest.endswith("_target_") or (again and group in ("classifier", "hash"))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _cell(row: Row, name: str) -> str:
    value = row[name]
    if f"{name} low" in row:
        return f"{value:.3f} [{row[f'{name} low']:.3f}, {row[f'{name} high']:.3f}]"
    if name in MEASURES and isinstance(value, float) and name != "queries":
        return f"{value:.3f}"
    return "–" if value is None else str(value)


if __name__ == "__main__":
    sys.exit(main())
