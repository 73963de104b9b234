"""Paired differences between configurations of a sweep, over the same queries.

A configuration is a list of rows that differ only in the seed.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from fashion_lsh.evaluation.query_table import QueryScores
from fashion_lsh.metrics.results import Column
from fashion_lsh.metrics.statistics import MIN_SEEDS, Difference, holm, paired_difference
from fashion_lsh.report.phrases import join_names, markdown_table
from fashion_lsh.report.seed_notes import seeds_note
from fashion_lsh.report.sweep.jobs import Job
from fashion_lsh.report.sweep.metrics import find_column
from fashion_lsh.report.sweep.rows import SweepRow, average_seeds, distinguishing_settings, group_by_method

INTERVALS_NOTE = "Intervals: t intervals from the variances between seeds and between items (docs/intervals.md)."
BOLD_NOTE = (
    f"Bold: at least {MIN_SEEDS} seeds, and p below 0.05 after Holm's adjustment over such rows of the column. The "
    "other differences are not significant."
)
NO_BOLD_NOTE = f"No difference is bold, and none is called significant: that needs {MIN_SEEDS} seeds."
HINT = "remove one of the jobs, or the base of page.yaml"
Configuration = Sequence[SweepRow]  # rows that differ only in the seed
Pair = tuple[QueryScores, QueryScores]


def difference_table(base: str, rows: Sequence[SweepRow], jobs: Mapping[str, Job], metrics: Sequence[str]) -> str:
    """Markdown table of mean differences from the base, one row per configuration, with notes on the intervals.

    A difference with fewer than MIN_SEEDS seeds is never bold.

    Args:
        base: settings of the base configuration, `name=value`, separated by spaces.
        rows: rows of the sweep.
        jobs: jobs of the rows, by name.
        metrics: titles or flat names; metrics without per-query scores are skipped.

    Raises:
        ValueError: the base does not match exactly one configuration, or paired jobs differ in data or queries.
    """
    configurations, settings = _configurations_and_settings(rows)
    baseline = _find_configuration(base, configurations, settings, jobs)
    compared = [configuration for configuration in configurations if configuration is not baseline]
    pairs = [_pairs(baseline, configuration, jobs) for configuration in compared]
    columns = {name: [_text(configuration[0].settings[name]) for configuration in compared] for name in settings}
    if "seed" in rows[0].settings:
        columns["seeds"] = [", ".join(str(seed) for seed in pair) or "–" for pair in pairs]
    seed_counts = set()
    for title in metrics:
        column = find_column(title, jobs)
        differences = [_difference(column, list(pair.values())) for pair in pairs]
        if any(differences):
            columns[title] = _cells(differences)
            seed_counts |= {difference.seeds for difference in differences if difference}
    heading = f"Differences from {base}, paired by seed and query: mean [95 % interval]"
    table = markdown_table(list(zip(*columns.values(), strict=True)), list(columns))
    bold = BOLD_NOTE if max(seed_counts, default=0) >= MIN_SEEDS else NO_BOLD_NOTE
    return f"{heading}\n\n{table}\n\n" + " ".join([INTERVALS_NOTE, seeds_note(seed_counts), bold])


def difference_between(
    base: str, method: str, rows: Sequence[SweepRow], jobs: Mapping[str, Job], metric: str
) -> Difference:
    """Paired difference of a metric, by title or flat name: `method` minus `base`, both settings, `name=value`.

    Raises:
        ValueError: the metric is unknown, settings do not match exactly one configuration, the jobs differ in data
            or queries, or there are no per-query scores.
    """
    column = find_column(metric, jobs)
    configurations, settings = _configurations_and_settings(rows)
    first, second = (_find_configuration(name, configurations, settings, jobs) for name in (base, method))
    difference = _difference(column, list(_pairs(first, second, jobs).values()))
    if difference is None:
        raise ValueError(f"no per-query {metric} of {base} and {method}; choose another metric")
    return difference


def _configurations_and_settings(rows: Sequence[SweepRow]) -> tuple[list[list[SweepRow]], list[str]]:
    """Return the configurations of the rows, and the settings in which the configurations differ."""
    configurations = group_by_method(rows)
    return configurations, [
        name
        for name in distinguishing_settings([average_seeds(configuration) for configuration in configurations])
        if name != "seeds"
    ]


def best_configuration(
    configurations: Sequence[Configuration], jobs: Mapping[str, Job], metric: str
) -> Configuration | None:
    """Return the significantly best configuration by a metric.

    The best configuration has the highest mean, and all its paired differences from other configurations are positive,
    have at least MIN_SEEDS seeds, and p below 0.05 after Holm's adjustment. Return None if no configuration is
    significantly best, jobs differ in data or queries, or per-query scores are missing.
    """
    first_job = next(iter(jobs.values()))
    if any(not _has_same_queries(first_job, job) for job in jobs.values()):
        return None
    means = [(average_seeds(configuration).value(metric), configuration) for configuration in configurations]
    scored = [(mean, configuration) for mean, configuration in means if mean is not None]
    ranked = [configuration for _, configuration in sorted(scored, key=lambda pair: -pair[0])]
    column = find_column(metric, jobs)
    differences = [_difference(column, list(_pairs(other, ranked[0], jobs).values())) for other in ranked[1:]]
    is_higher = [difference is not None and difference.mean > 0 for difference in differences]
    return ranked[0] if differences and (_significant(differences) & is_higher).all() else None


def _find_configuration(
    base: str, configurations: Sequence[Configuration], settings: Sequence[str], jobs: Mapping[str, Job]
) -> Configuration:
    """Find the only configuration with the settings of the base."""
    words = re.split(r"\s+(?=[\w.]+=)", base.strip())  # a value may have blanks: crop.eval_modes=['whole', 'annotated']
    required = dict(word.partition("=")[::2] for word in words)
    settings_by_configuration = [
        {name: _text(value) for name, value in jobs[configuration[0].job].settings.items()}
        for configuration in configurations
    ]
    matching = [
        configuration
        for configuration, settings_by_name in zip(configurations, settings_by_configuration, strict=True)
        if all(settings_by_name.get(name, _text(None)) == value for name, value in required.items())
    ]
    if len(matching) != 1:
        candidates = join_names(
            [
                " ".join(f"{name}={_text(configuration[0].settings.get(name))}" for name in settings)
                for configuration in configurations
            ],
            "; ",
        )
        raise ValueError(f"base {base!r} matches {len(matching)} configurations; set the base to one of: {candidates}")
    return matching[0]


def _pairs(base: Configuration, other: Configuration, jobs: Mapping[str, Job]) -> dict[object, Pair]:
    """Per-query scores of two configurations, by common seed; jobs tested with several crop modes have no scores."""
    base_jobs = {row.seed: row.job for row in base}
    pairs: dict[object, Pair] = {}
    for row in other:
        seed, key = row.seed, row.job
        if seed not in base_jobs:
            continue
        for name in (base_jobs[seed], key):
            _check_same_data(base[0].job, name, jobs)
        base_queries, other_queries = jobs[base_jobs[seed]].queries, jobs[key].queries
        if base_queries and other_queries and "tested on" not in row.settings:
            pairs[seed] = (base_queries, other_queries)
    return pairs


def _check_same_data(base: str, other: str, jobs: Mapping[str, Job]) -> None:
    first, second = jobs[base], jobs[other]
    if first.settings["data"] != second.settings["data"]:
        raise ValueError(f"jobs {base} and {other} have different data and cannot be compared; {HINT}")
    if not _has_same_queries(first, second):
        raise ValueError(f"jobs {base} and {other} have different queries and cannot be compared; {HINT}")


def _has_same_queries(first: Job, second: Job) -> bool:
    """True if two jobs have the same data and the same queries in the same order, as far as known."""
    if first.settings["data"] != second.settings["data"]:
        return False
    return not (first.queries and second.queries) or np.array_equal(first.queries.ids, second.queries.ids)


def _difference(column: Column, pairs: Sequence[Pair]) -> Difference | None:
    """Paired difference; None if a job lacks the metric."""
    sides = [[queries.scores(column) for queries in side] for side in zip(*pairs, strict=True)]
    base, method = ([values for values in side if values is not None] for side in sides or ([], []))
    if not pairs or len(base) < len(pairs) or len(method) < len(pairs):
        return None
    return paired_difference(base, method, pairs[0][0].groups)


def _significant(differences: Sequence[Difference | None]) -> np.ndarray:
    """True where a difference has at least MIN_SEEDS seeds and p, adjusted over such differences, below 0.05."""
    p = np.array([difference.p if difference and difference.seeds >= MIN_SEEDS else np.nan
                  for difference in differences])  # fmt: skip
    p[~np.isnan(p)] = holm(p[~np.isnan(p)])
    return p < 0.05


def _cells(differences: Sequence[Difference | None]) -> list[str]:
    """Format the differences of one metric, one cell per configuration; significant differences are bold."""
    texts = ["–" if difference is None else _cell(difference) for difference in differences]
    return [f"**{text}**" if is_bold else text for text, is_bold in zip(texts, _significant(differences), strict=True)]


def _cell(difference: Difference) -> str:
    has_interval = difference.low <= difference.high
    bounds = f" [{difference.low:.3f}, {difference.high:.3f}]" if has_interval else ""
    return f"{difference.mean:+.3f}{bounds}"


def _text(value: object) -> str:
    return "–" if value is None else str(value)
