"""The table of an experiment, from the scores its jobs left: python -m fashion_lsh.report.jobs experiments/garments."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from tabulate import tabulate

from fashion_lsh.report.pages import Row, put

MEASURES = {
    "top-1": "query/accuracy",
    "macro top-1": "query/macro_accuracy",
    "macro F1": "query/macro_f1",
    "category mAP@100": "query/category/map@100",
    "macro mAP@100": "query/category/map@100_macro",
    "item mAP@100": "query/item/map@100",
    "item recall@10": "query/item/recall@10",
    "codes alone, all": "rows/code/category/map@100",
    "float, all": "rows/float/category/map@100",
    "nothing found": "query/missed",
    "box AP50": "detector/query/box_ap50",
    "box AP50, as one": "detector/query/garment/box_ap50",
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

    How long and how fast was learnt is left to results.csv where other settings tell the jobs apart.  Rows that differ
    in nothing but the seed are one: the mean of each score and its standard deviation over the seeds.
    """
    rows = _averaged(rows)
    known = {name for row in rows for name, value in row.items() if value is not None}
    shown = [name for name in rows[0] if not name.endswith((" low", " high", " sd")) and name in known]
    settings = [name for name in shown if name not in (*MEASURES, "job")]
    telling = [name for name in settings if not name.startswith(HOW)]
    if len({tuple(str(row[name]) for name in telling) for row in rows}) == len(rows):
        shown = [name for name in shown if name in telling or name not in settings]
    return tabulate([[_cell(row, name) for name in shown] for row in rows], shown, "pipe", disable_numparse=True)


def _averaged(rows: Sequence[Row]) -> list[Row]:
    """Rows that differ in nothing but the seed as one, each score with its standard deviation as `<score> sd`."""
    if "seed" not in rows[0]:
        return list(rows)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        alike = {name: value for name, value in row.items() if name not in ("seed", "job") and not _measured(name)}
        groups.setdefault(str(alike), []).append(row)
    averaged = []
    for group in groups.values():
        one = {name: value for name, value in group[0].items() if not _measured(name) and name not in ("seed", "job")}
        one["seeds"] = ", ".join(str(row["seed"]) for row in group)
        for title in MEASURES:
            found = [row[title] for row in group if row[title] is not None]
            one[title] = mean(found) if found else None
            if len(found) > 1:
                one[f"{title} sd"] = stdev(found)
            elif found:
                one |= {name: value for name, value in group[0].items() if name.startswith(f"{title} ")}
        averaged.append(one)
    return averaged


def _measured(name: str) -> bool:
    return any(name == title or name in (f"{title} low", f"{title} high") for title in MEASURES)


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
        for crop, scores in _scored(metrics):
            row: Row = {name: settings.get(name) for name in differing} | ({"tested on": crop} if crop else {})
            for title, name in MEASURES.items():
                row[title] = scores.get(name)
                if f"{name}_low" in scores:
                    row |= {f"{title} {end}": scores[f"{name}_{end}"] for end in ("low", "high")}
            yield row | {"job": key}


def _scored(metrics: Mapping[str, float]) -> Iterator[tuple[str, Mapping[str, float]]]:
    """The scores of a job; where it was scored with several crops, those with each of them, by its name."""
    crops = sorted({name.split("/")[1] for name in metrics if name.startswith("crops/")})
    if not crops:
        missed = {"query/missed": metrics["crop/query/missed"]} if "crop/query/missed" in metrics else {}
        yield "", {**metrics, **missed}
    for crop in crops:
        start = f"crops/{crop}/"
        own = {f"query/{name.removeprefix(start)}": value for name, value in metrics.items() if name.startswith(start)}
        shared = {name: value for name, value in metrics.items() if name.startswith(("query/count", "detector/"))}
        yield crop, shared | own


def _rank(value: Any) -> tuple[bool, float, str]:
    """Numbers by their size, then texts."""
    number = isinstance(value, int | float)
    return not number, value if number else 0.0, "" if number else str(value)


def _repeated(name: str, names: Mapping[str, None]) -> bool:
    """Whether a stage's setting only says again what its own group says."""
    group, _, rest = name.partition(".")
    home = {"backbone": "backbone.name", "image_size": "data.image_size", "frozen": "backbone.frozen"}
    again = home.get(rest) in names or rest.startswith("optim.")
    copied = {"data.crop": "crop.mode", "data.margin": "crop.margin"}.get(name) in names or rest == "seed"
    return rest.endswith("_target_") or copied or (again and group in ("classifier", "hash"))


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
    if f"{name} sd" in row and name != "queries":
        return f"{value:.3f} ± {row[f'{name} sd']:.3f}"
    if name in MEASURES and isinstance(value, float) and name != "queries":
        return f"{value:.3f}"
    return "–" if value is None else str(value)


if __name__ == "__main__":
    sys.exit(main())
