"""Rows of a sweep: one row per job, with the settings in which jobs differ, and metrics."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import mean, stdev
from typing import Any, NamedTuple

from fashion_lsh.metrics.results import (
    CROP_MODES,
    Column,
    Result,
    crop_condition,
)
from fashion_lsh.report.sweep.jobs import Job
from fashion_lsh.report.sweep.metrics import METRICS, find_column

TRAINING_SETTINGS = (  # prefixes of training settings
    "optim.", "classifier.", "hash.epochs", "hash.lr_factor", "hash.head_factor",
    "detector.optim.", "detector.lr_factor",
)  # fmt: skip
DUPLICATE_SETTINGS = {  # setting -> setting with the same value
    "data.crop": "crop.mode", "data.margin": "crop.margin", "scenes.level": "detector.level",
    "scenes.image_size": "detector.image_size",
    **{f"{group}.box_selector.{name}": f"crop.{name}" for group in ("data", "crop")
       for name in ("select", "min_score", "min_size", "fallback")},
}  # fmt: skip


Settings = dict[str, Any]


class Estimate(NamedTuple):
    """Value of a metric.

    Attributes:
        value: value, or mean over seeds.
        low, high: bounds of the confidence interval over queries of one model; NaN if unknown, or with several seeds.
        sd: standard deviation over seeds; NaN for a single value.
        seeds: `2 of 3` if the metric is missing for some seeds, else "".
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    sd: float = math.nan
    seeds: str = ""


@dataclass(frozen=True)
class SweepRow:
    """Row of a sweep table.

    Attributes:
        job: name of the job; "" for a mean over jobs.
        settings: settings by name, without those that are equal in all jobs.
        metrics: metrics by title or flat name; a metric that the job lacks is missing.
    """

    job: str
    settings: Settings
    metrics: dict[str, Estimate]

    @property
    def seed(self) -> Any:
        """Seed of the job; None if all jobs have the same seed."""
        return self.settings.get("seed")

    def value(self, metric: str) -> float | None:
        """Value of a metric, or None."""
        estimate = self.metrics.get(metric)
        return None if estimate is None else estimate.value

    def flat(self) -> Settings:
        """Settings, metrics with their bounds, and the job, as one row of a CSV file."""
        flat = dict(self.settings)
        for name, estimate in self.metrics.items():
            flat[name] = estimate.value
            if not math.isnan(estimate.low):
                flat |= {f"{name} low": estimate.low, f"{name} high": estimate.high}
        return flat | {"job": self.job}


def table_rows(jobs: Mapping[str, Job], metrics: Sequence[str] = ()) -> list[SweepRow]:
    """Return one row per job, sorted by settings.

    A row has the settings in which jobs differ, the METRICS and the further `metrics` (flat names) that the job has. A
    job tested with several crop modes has a row per mode.
    """
    columns = METRICS | {name: find_column(name, jobs) for name in metrics}
    return sorted(_rows(jobs, columns), key=lambda row: [_sort_key(value) for value in row.settings.values()])


def group_by_method(rows: Sequence[SweepRow]) -> list[list[SweepRow]]:
    """Group rows by configuration: rows of a group differ only in the seed, and have the same data.

    Raises:
        ValueError: two rows of a group have the same seed.
    """
    groups: dict[str, dict[Any, SweepRow]] = {}
    for row in rows:
        by_seed = groups.setdefault(_key(row, "seed"), {})
        if row.seed in by_seed:
            message = f"jobs {by_seed[row.seed].job} and {row.job} have the same settings, seed and data"
            raise ValueError(f"{message}; remove one of them")
        by_seed[row.seed] = row
    return [list(by_seed.values()) for by_seed in groups.values()]


def jobs_with_different_data(rows: Sequence[SweepRow]) -> list[list[str]]:
    """Names of jobs with equal settings but different data, grouped by settings; such jobs are not averaged."""
    groups: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        by_data = groups.setdefault(_key(row, "seed", "data"), {})
        by_data.setdefault(row.settings.get("data", ""), []).append(row.job)
    return [[*chain(*by_data.values())] for by_data in groups.values() if len(by_data) > 1]


def average_seeds(rows: Sequence[SweepRow]) -> SweepRow:
    """Average rows over seeds; the setting `seed` is replaced by `seeds`, a list of the seeds."""
    if "seed" not in rows[0].settings:
        return rows[0]
    settings = {name: value for name, value in rows[0].settings.items() if name != "seed"}
    settings["seeds"] = ", ".join(str(row.seed) for row in rows)
    names = dict.fromkeys(name for row in rows for name in row.metrics)
    metrics = {name: _average([row.metrics[name] for row in rows if name in row.metrics], len(rows)) for name in names}
    return SweepRow("", settings, metrics)


def at_chance_level(row: SweepRow) -> bool:
    """True if the interval of top-1 over the queries includes chance level or is below."""
    chance, top1 = row.value("chance"), row.metrics.get("top-1")
    return chance is not None and top1 is not None and top1.low <= chance


def distinguishing_settings(rows: Sequence[SweepRow]) -> list[str]:
    """Settings in which averaged rows differ, without TRAINING_SETTINGS if the other settings distinguish all rows."""
    settings = [name for name in rows[0].settings if any(row.settings.get(name) is not None for row in rows)]
    without_training = [name for name in settings if not name.startswith(TRAINING_SETTINGS)]
    is_distinct = len({tuple(str(row.settings.get(name)) for name in without_training) for row in rows}) == len(rows)
    return without_training if is_distinct else settings


def _key(row: SweepRow, *excluded: str) -> str:
    """Settings of a row without `excluded` settings, as a key."""
    return str({name: value for name, value in row.settings.items() if name not in excluded})


def _average(estimates: Sequence[Estimate], num_seeds: int) -> Estimate:
    """Mean and standard deviation of the values of several seeds; a single value keeps its bounds."""
    seeds = f"{len(estimates)} of {num_seeds}" if len(estimates) < num_seeds else ""
    if len(estimates) == 1:
        return estimates[0]._replace(seeds=seeds)
    values = [estimate.value for estimate in estimates]
    return Estimate(mean(values), sd=stdev(values), seeds=seeds)


def _rows(jobs: Mapping[str, Job], columns: Mapping[str, Column]) -> Iterator[SweepRow]:
    names = dict.fromkeys(name for job in jobs.values() for name in job.settings)
    varying_settings = [name for name in names if len(_values(name, jobs)) > 1 and not _is_duplicate(name, names)]
    crops = {key: _crop_modes(job) for key, job in jobs.items()}
    has_crops = any(modes != [None] for modes in crops.values())
    for key, job in jobs.items():
        for crop in crops[key]:
            settings = {name: job.settings.get(name) for name in varying_settings}
            settings |= {"tested on": crop} if has_crops else {}
            found = {title: _find(job, column, crop) for title, column in columns.items()}
            yield SweepRow(key, settings, {
                title: Estimate(result.value, result.low, result.high)
                for title, result in found.items() if result and not math.isnan(result.value)
            })  # fmt: skip


def _crop_modes(job: Job) -> list[str | None]:
    """Crop modes with which a job was tested; [None] if it was tested with its own crops only."""
    conditions = {row.condition for row in job.results}
    modes: list[str | None] = [mode for mode in sorted(CROP_MODES) if crop_condition(mode) in conditions]
    return modes or [None]


def _find(job: Job, column: Column, crop: str | None) -> Result | None:
    """Find a result; with a crop mode, scores under this condition, and sizes and box metrics of the job."""
    if crop is None:
        return job.results.find(column)
    tested = job.results.find(column._replace(condition=crop_condition(crop)))
    is_shared = column.method in ("data", "detector") and column.metric != "undetected"
    return job.results.find(column) if is_shared else tested


def _values(name: str, jobs: Mapping[str, Job]) -> set[str]:
    """Values of a setting in all jobs; a missing `hash.` setting is ignored, because the hash method implies it."""
    settings = [job.settings for job in jobs.values()]
    return {
        str(job_settings.get(name)) for job_settings in settings if name in job_settings or not name.startswith("hash.")
    }


def _sort_key(value: Any) -> tuple[bool, float, str]:
    """Key to sort numbers by value, and strings after numbers."""
    is_number = isinstance(value, int | float)
    return not is_number, value if is_number else 0.0, "" if is_number else str(value)


def _is_duplicate(name: str, names: Mapping[str, None]) -> bool:
    """True if a setting repeats another setting."""
    group, _, rest = name.partition(".")
    sources = {"backbone": "backbone.name", "image_size": "data.image_size", "frozen": "backbone.frozen"}
    repeated = sources.get(rest) in names or rest.startswith("optim.")
    duplicate = DUPLICATE_SETTINGS.get(name) in names or rest == "seed"
    is_class = rest.endswith("_target_") and group not in ("evaluators", "callbacks")
    return is_class or duplicate or (repeated and group in ("classifier", "hash"))
