"""Rows of a sweep: one row per job, with the settings in which jobs differ, and metrics."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from statistics import mean, stdev
from typing import Any

from fashion_lsh.report.page_file import Row
from fashion_lsh.report.sweep.jobs import Job

METRICS = {
    "top-1": "query/accuracy",
    "val top-1": "classifier/val/accuracy",
    "top-5": "query/top5_accuracy",
    "macro top-1": "query/macro_accuracy",
    "macro F1": "query/macro_f1",
    "category mAP@100": "query/category/map@100",
    "macro mAP@100": "query/category/map@100_macro",
    "item mAP@100": "query/item/map@100",
    "item recall@10": "query/item/recall@10",
    "codes only": "baselines/code/category/map@100",
    "item mAP@100, codes only": "baselines/code/item/map@100",
    "float": "baselines/float/category/map@100",
    "item recall@10, float": "baselines/float/item/recall@10",
    "entropy": "codes/entropy",
    "codes only, best ties": "baselines/code/category/map@100_best",
    "codes only, worst ties": "baselines/code/category/map@100_worst",
    "precision, radius 2": "codes/precision@radius2",
    "balance": "codes/balance",
    "distinct codes": "codes/distinct",
    "quantisation error": "codes/quantisation_error",
    "search ms": "speed/search_ms",
    "undetected": "query/undetected",
    "box AP50": "detector/query/box_ap50",
    "box AP50, class-agnostic": "detector/query/garment/box_ap50",
    "parameters": "model/parameters",
    "FLOPs": "model/flops",
    "network ms": "speed/network_ms",
    "feature bytes": "model/feature_bytes",
    "code bytes": "model/code_bytes",
    "chance": "baselines/random/category/precision@10",
    "queries": "query/count",
}
OPTIONAL_METRICS = (  # shown only if the columns comment of the page lists them (see `read_columns`)
    "codes only, best ties", "codes only, worst ties", "precision, radius 2", "balance", "distinct codes",
    "quantisation error", "search ms", "item recall@10, float", "val top-1", "top-5", "parameters", "FLOPs",
    "network ms", "feature bytes", "code bytes", "chance",
)  # fmt: skip
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


def table_rows(jobs: Mapping[str, Job]) -> list[Row]:
    """Return one row per job, sorted by settings.

    A row has the settings in which jobs differ, the METRICS that at least one job has, and the name of the `job`. A job
    tested with several crop modes has a row per mode.
    """
    rows = sorted(_rows(jobs), key=lambda row: [_sort_key(value) for value in row.values()])
    missing = {title for title in METRICS if all(row[title] is None for row in rows)}
    return [{name: value for name, value in row.items() if name not in missing} for row in rows]


def group_by_method(rows: Sequence[Row]) -> list[list[Row]]:
    """Group rows by configuration: rows of a group differ only in the seed, and have the same data.

    Raises:
        ValueError: two rows of a group have the same seed.
    """
    groups: dict[str, dict[Any, Row]] = {}
    for row in rows:
        by_seed = groups.setdefault(str(_shared_settings(row)), {})
        if row.get("seed") in by_seed:
            message = f"jobs {by_seed[row.get('seed')]['job']} and {row['job']} have the same settings, seed and data"
            raise ValueError(f"{message}; remove one of them")
        by_seed[row.get("seed")] = row
    return [list(by_seed.values()) for by_seed in groups.values()]


def jobs_with_different_data(rows: Sequence[Row]) -> list[list[str]]:
    """Names of jobs with equal settings but different data, grouped by settings; such jobs are not averaged."""
    groups: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        by_data = groups.setdefault(str(_shared_settings(row, "data")), {})
        by_data.setdefault(row.get("data", ""), []).append(row["job"])
    return [[*chain(*by_data.values())] for by_data in groups.values() if len(by_data) > 1]


def _shared_settings(row: Row, *excluded: str) -> Row:
    """Settings of a row without the seed and without `excluded` settings."""
    return {
        name: value for name, value in row.items() if name not in ("seed", "job", *excluded) and not _is_metric(name)
    }


def average_seeds(rows: Sequence[Row]) -> Row:
    """Average rows over seeds: mean `<metric>`, standard deviation `<metric> sd`, and bounds with a single value.

    `<metric> seeds` (`2 of 3`) is added if the metric is missing for some seeds.
    """
    if "seed" not in rows[0]:
        return rows[0]
    mean_row = {name: value for name, value in rows[0].items() if not _is_metric(name) and name not in ("seed", "job")}
    mean_row["seeds"] = ", ".join(str(row["seed"]) for row in rows)
    for title in (name for name in METRICS if name in rows[0]):
        values = [row[title] for row in rows if row[title] is not None]
        mean_row[title] = mean(values) if values else None
        if 0 < len(values) < len(rows):
            mean_row[f"{title} seeds"] = f"{len(values)} of {len(rows)}"
        if len(values) > 1:
            mean_row[f"{title} sd"] = stdev(values)
        elif values:
            row_with_metric = next(row for row in rows if row[title] is not None)
            mean_row |= {
                name: value for name, value in row_with_metric.items() if name in (f"{title} low", f"{title} high")
            }
    return mean_row


def at_chance_level(row: Row) -> bool:
    """True if top-1 is not significantly above chance: its interval includes chance or is below."""
    return row.get("chance") is not None and row.get("top-1 low", 1.0) <= row["chance"]


def distinguishing_settings(rows: Sequence[Row]) -> list[str]:
    """Settings in which averaged rows differ, without TRAINING_SETTINGS if the other settings distinguish all rows."""
    known = {name for row in rows for name, value in row.items() if value is not None}
    suffixes = (" low", " high", " sd", " seeds")
    settings = [name for name in rows[0] if name in known - {*METRICS, "job"} and not name.endswith(suffixes)]
    without_training = [name for name in settings if not name.startswith(TRAINING_SETTINGS)]
    is_distinct = len({tuple(str(row[name]) for name in without_training) for row in rows}) == len(rows)
    return without_training if is_distinct else settings


def _is_metric(name: str) -> bool:
    return any(name == title or name in (f"{title} low", f"{title} high") for title in METRICS)


def _rows(jobs: Mapping[str, Job]) -> Iterator[Row]:
    names = dict.fromkeys(name for job in jobs.values() for name in job.settings)
    varying_settings = [name for name in names if len(_values(name, jobs)) > 1 and not _is_duplicate(name, names)]
    scores_by_crop = {key: list(_scores_by_crop(job.metrics)) for key, job in jobs.items()}
    has_crops = any(crop for pairs in scores_by_crop.values() for crop, _ in pairs)
    for key, job in jobs.items():
        for crop, scores in scores_by_crop[key]:
            row: Row = {name: job.settings.get(name) for name in varying_settings} | (
                {"tested on": crop} if has_crops else {}
            )
            for title, name in METRICS.items():
                value = scores.get(name)
                row[title] = None if value is None or math.isnan(value) else value
                if row[title] is not None and {f"{name}_low", f"{name}_high"} <= scores.keys():
                    row |= {f"{title} {bound}": scores[f"{name}_{bound}"] for bound in ("low", "high")}
            yield row | {"job": key}


def _values(name: str, jobs: Mapping[str, Job]) -> set[str]:
    """Values of a setting in all jobs; a missing `hash.` setting is ignored, because the hash method implies it."""
    settings = [job.settings for job in jobs.values()]
    return {
        str(job_settings.get(name)) for job_settings in settings if name in job_settings or not name.startswith("hash.")
    }


def _scores_by_crop(metrics: Mapping[str, float]) -> Iterator[tuple[str | None, Mapping[str, float]]]:
    """Yield (None, metrics) of a job or, if it was tested with several crop modes, (mode, metrics) of each."""
    crops = sorted({name.split("/")[1] for name in metrics if name.startswith("crops/")})
    if not crops:
        undetected = (
            {"query/undetected": metrics["crop/query/undetected"]} if "crop/query/undetected" in metrics else {}
        )
        yield None, {**metrics, **undetected}
    for crop in crops:
        prefix = f"crops/{crop}/"
        crop_scores = {
            f"query/{name.removeprefix(prefix)}": value for name, value in metrics.items() if name.startswith(prefix)
        }
        shared = {name: value for name, value in metrics.items() if name.startswith(("query/count", "detector/"))}
        yield crop, shared | crop_scores


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
    return rest.endswith("_target_") or duplicate or (repeated and group in ("classifier", "hash"))
