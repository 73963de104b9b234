"""Rows of an experiment: one per job, with the settings in which jobs differ, and metrics."""

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
OPTIONAL_METRICS = (  # shown only if a page lists them (see `read_columns`)
    "codes only, best ties", "codes only, worst ties", "precision, radius 2", "balance", "distinct codes",
    "quantisation error", "search ms", "item recall@10, float", "val top-1", "top-5", "parameters", "FLOPs",
    "network ms", "feature bytes", "code bytes", "chance",
)  # fmt: skip
TRAINING_SETTINGS = (  # prefixes of training settings
    "optim.", "classifier.", "hash.epochs", "hash.lr_factor", "hash.head_factor",
    "detector.optim.", "detector.lr_factor",
)  # fmt: skip
DUPLICATE_SETTINGS = {  # settings that repeat another one
    "data.crop": "crop.mode", "data.margin": "crop.margin", "scenes.level": "detector.level",
    "scenes.image_size": "detector.image_size",
    **{f"{group}.box_selector.{name}": f"crop.{name}" for group in ("data", "crop")
       for name in ("select", "min_score", "min_size", "fallback")},
}  # fmt: skip


def rows_of(jobs: Mapping[str, Job]) -> list[Row]:
    """One sorted row per job: settings in which jobs differ, METRICS that at least one job has, and `job`."""
    rows = sorted(_rows(jobs), key=lambda row: [_sort_key(value) for value in row.values()])
    unknown = {title for title in METRICS if all(row[title] is None for row in rows)}
    return [{name: value for name, value in row.items() if name not in unknown} for row in rows]


def group_by_method(rows: Sequence[Row]) -> list[list[Row]]:
    """Group rows that differ only in the seed; rows of different data are never grouped.

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


def jobs_of_differing_data(rows: Sequence[Row]) -> list[list[str]]:
    """Jobs with equal settings and different data, which are not averaged."""
    groups: dict[str, dict[str, list[str]]] = {}
    for row in rows:
        by_data = groups.setdefault(str(_shared_settings(row, "data")), {})
        by_data.setdefault(row.get("data", ""), []).append(row["job"])
    return [[*chain(*by_data.values())] for by_data in groups.values() if len(by_data) > 1]


def _shared_settings(row: Row, *others: str) -> Row:
    """Settings of a row without the seed and `others`."""
    return {name: value for name, value in row.items() if name not in ("seed", "job", *others) and not _is_metric(name)}


def average_seeds(rows: Sequence[Row]) -> Row:
    """Average rows over seeds: mean, standard deviation `<metric> sd`, and `<metric> of` (2 of 3) if seeds lack it."""
    if "seed" not in rows[0]:
        return rows[0]
    mean_row = {name: value for name, value in rows[0].items() if not _is_metric(name) and name not in ("seed", "job")}
    mean_row["seeds"] = ", ".join(str(row["seed"]) for row in rows)
    for title in (name for name in METRICS if name in rows[0]):
        values = [row[title] for row in rows if row[title] is not None]
        mean_row[title] = mean(values) if values else None
        if 0 < len(values) < len(rows):
            mean_row[f"{title} of"] = f"{len(values)} of {len(rows)}"
        if len(values) > 1:
            mean_row[f"{title} sd"] = stdev(values)
        elif values:
            scored = next(row for row in rows if row[title] is not None)
            mean_row |= {name: value for name, value in scored.items() if name in (f"{title} low", f"{title} high")}
    return mean_row


def at_chance_level(row: Row) -> bool:
    """True if the classifier is no better than chance: the interval of top-1 includes chance."""
    return row.get("chance") is not None and row.get("top-1 low", 1.0) <= row["chance"]


def distinguishing_settings(rows: Sequence[Row]) -> list[str]:
    """Settings in which averaged rows differ; without TRAINING_SETTINGS if the others distinguish all rows."""
    known = {name for row in rows for name, value in row.items() if value is not None}
    suffixes = (" low", " high", " sd", " of")
    settings = [name for name in rows[0] if name in known - {*METRICS, "job"} and not name.endswith(suffixes)]
    without_training = [name for name in settings if not name.startswith(TRAINING_SETTINGS)]
    distinguishes = len({tuple(str(row[name]) for name in without_training) for row in rows}) == len(rows)
    return without_training if distinguishes else settings


def _is_metric(name: str) -> bool:
    return any(name == title or name in (f"{title} low", f"{title} high") for title in METRICS)


def _rows(jobs: Mapping[str, Job]) -> Iterator[Row]:
    names = dict.fromkeys(name for job in jobs.values() for name in job.settings)
    differing = [name for name in names if len(_values(name, jobs)) > 1 and not _is_duplicate(name, names)]
    scores_by_crop = {key: list(_scores_by_crop(job.metrics)) for key, job in jobs.items()}
    crops = any(crop for pairs in scores_by_crop.values() for crop, _ in pairs)
    for key, job in jobs.items():
        for crop, scores in scores_by_crop[key]:
            row: Row = {name: job.settings.get(name) for name in differing} | ({"tested on": crop} if crops else {})
            for title, name in METRICS.items():
                value = scores.get(name)
                row[title] = None if value is None or math.isnan(value) else value
                if row[title] is not None and {f"{name}_low", f"{name}_high"} <= scores.keys():
                    row |= {f"{title} {bound}": scores[f"{name}_{bound}"] for bound in ("low", "high")}
            yield row | {"job": key}


def _values(name: str, jobs: Mapping[str, Job]) -> set[str]:
    """Values of a setting in all jobs; jobs without a `hash.` setting are ignored, as their hash method implies it."""
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
        own = {
            f"query/{name.removeprefix(prefix)}": value for name, value in metrics.items() if name.startswith(prefix)
        }
        shared = {name: value for name, value in metrics.items() if name.startswith(("query/count", "detector/"))}
        yield crop, shared | own


def _sort_key(value: Any) -> tuple[bool, float, str]:
    """Sort numbers by value, before texts."""
    number = isinstance(value, int | float)
    return not number, value if number else 0.0, "" if number else str(value)


def _is_duplicate(name: str, names: Mapping[str, None]) -> bool:
    """True if a setting of a stage repeats a setting of another group."""
    group, _, rest = name.partition(".")
    sources = {"backbone": "backbone.name", "image_size": "data.image_size", "frozen": "backbone.frozen"}
    repeated = sources.get(rest) in names or rest.startswith("optim.")
    duplicate = DUPLICATE_SETTINGS.get(name) in names or rest == "seed"
    return rest.endswith("_target_") or duplicate or (repeated and group in ("classifier", "hash"))
