"""Table of paired differences: each method of an experiment minus a base method, over the same queries."""

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from fashion_lsh.evaluation.query_scores import QueryScores
from fashion_lsh.metrics.statistics import Difference, holm, paired_difference
from fashion_lsh.report.page_file import Row
from fashion_lsh.report.phrases import join_names, markdown_table
from fashion_lsh.report.sweep.jobs import Job
from fashion_lsh.report.sweep.rows import METRICS, average_seeds, distinguishing_settings, group_by_method

BASE = re.compile(r"^<!-- base: (.+) -->$", re.MULTILINE)
INTERVALS_NOTE = (
    "Intervals: 2,000 bootstrap samples of seeds and items. All queries of an item are drawn together, a query without"
    " an item on its own, and the items of a sample are the same for all its seeds. With one seed, intervals do not"
    " cover the variation between seeds; with three, they are too narrow. Bold: the interval excludes 0, and p,"
    " Holm-adjusted over the rows of the column, is below 0.05. No direction is claimed for the other differences."
)
HINT = "remove one of the jobs, or the base comment of README.md"
MethodRows = Sequence[Row]
Pair = tuple[QueryScores, QueryScores]


def read_base(page: Path) -> str:
    """Read the settings, `name=value`, of the base method from the comment in README.md; "" without a comment.

    Raises:
        ValueError: there are several base comments.
    """
    bases = BASE.findall(page.read_text()) if page.exists() else []
    if len(bases) > 1:
        raise ValueError(f"{page}: {len(bases)} base comments ({' and '.join(bases)}); keep one")
    return bases[0] if bases else ""


def difference_table(base: str, rows: Sequence[Row], jobs: Mapping[str, Job], metrics: Sequence[str]) -> str:
    """Table of mean differences from the base method in Markdown, one row per method, with a note on the intervals.

    Args:
        base: settings of the base method, `name=value`, separated by spaces.
        rows: rows of the experiment.
        jobs: jobs of these rows, by name.
        metrics: titles in METRICS; those without per-query scores are skipped.

    Raises:
        ValueError: the base does not match exactly one method, or paired jobs differ in data or queries.
    """
    methods, settings = _methods_and_settings(rows)
    baseline = _find_method(base, methods, settings, jobs)
    others = [method for method in methods if method is not baseline]
    pairs = [_pairs(baseline, method, jobs) for method in others]
    columns = {name: [_text(method[0][name]) for method in others] for name in settings}
    if "seed" in rows[0]:
        columns["seeds"] = [", ".join(str(seed) for seed in pair) or "–" for pair in pairs]
    for title in metrics:
        differences = [_difference(METRICS[title], list(pair.values())) for pair in pairs]
        if any(differences):
            columns[title] = _cells(differences)
    heading = f"Differences from {base}, paired by seed and query: mean [95 % interval]"
    return (
        f"{heading}\n\n{markdown_table(list(zip(*columns.values(), strict=True)), list(columns))}\n\n{INTERVALS_NOTE}"
    )


def difference_between(base: str, method: str, rows: Sequence[Row], jobs: Mapping[str, Job], metric: str) -> Difference:
    """Paired difference of a metric (a title in METRICS) between two methods, named by their settings, `name=value`.

    Raises:
        ValueError: the metric is unknown, the settings do not match exactly one method, the jobs differ in data or
            queries, or there are no per-query scores.
    """
    if metric not in METRICS:
        raise ValueError(f"metric {metric!r} is unknown; choose one of {', '.join(METRICS)}")
    methods, settings = _methods_and_settings(rows)
    first, second = (_find_method(name, methods, settings, jobs) for name in (base, method))
    difference = _difference(METRICS[metric], list(_pairs(first, second, jobs).values()))
    if difference is None:
        raise ValueError(f"no per-query {metric} of {base} and {method}; choose another metric")
    return difference


def _methods_and_settings(rows: Sequence[Row]) -> tuple[list[list[Row]], list[str]]:
    """Group rows by method; return the methods and the settings in which they differ."""
    methods = group_by_method(rows)
    return methods, [
        name for name in distinguishing_settings([average_seeds(method) for method in methods]) if name != "seeds"
    ]


def best_method(methods: Sequence[MethodRows], jobs: Mapping[str, Job], metric: str) -> MethodRows | None:
    """Method with the highest mean of a metric, if its paired difference from every other has an interval above 0.

    None if there is no such method, jobs differ in data or queries, or per-query scores are missing.
    """
    if len({(job.settings["data"], job.queries and job.queries.ids) for job in jobs.values()}) > 1:
        return None
    means = [(average_seeds(method).get(metric), method) for method in methods]
    known = [(mean, method) for mean, method in means if mean is not None]
    ranked = [method for _, method in sorted(known, key=lambda pair: -pair[0])]
    for other in ranked[1:]:
        difference = _difference(METRICS[metric], list(_pairs(other, ranked[0], jobs).values()))
        if difference is None or difference.low <= 0:
            return None
    return ranked[0] if len(ranked) > 1 else None


def _find_method(
    base: str, methods: Sequence[MethodRows], settings: Sequence[str], jobs: Mapping[str, Job]
) -> MethodRows:
    """Find the only method with the settings of the base."""
    required = dict(word.partition("=")[::2] for word in base.split())
    settings_by_method = [
        {name: _text(value) for name, value in jobs[method[0]["job"]].settings.items()} for method in methods
    ]
    found = [
        method
        for method, method_settings in zip(methods, settings_by_method, strict=True)
        if required.items() <= method_settings.items()
    ]
    if len(found) != 1:
        candidates = join_names(
            [" ".join(f"{name}={_text(method[0][name])}" for name in settings) for method in methods], "; "
        )
        raise ValueError(f"base {base!r} matches {len(found)} methods; set the base to one of: {candidates}")
    return found[0]


def _pairs(base: MethodRows, method: MethodRows, jobs: Mapping[str, Job]) -> dict[object, Pair]:
    """Query scores of both methods by seed, if both have them; jobs tested with several crop modes have none."""
    base_jobs = {row.get("seed"): row["job"] for row in base}
    pairs: dict[object, Pair] = {}
    for row in method:
        seed, key = row.get("seed"), row["job"]
        if seed not in base_jobs:
            continue
        for other in (base_jobs[seed], key):
            _check_same(base[0]["job"], other, jobs)
        base_queries, method_queries = jobs[base_jobs[seed]].queries, jobs[key].queries
        if base_queries and method_queries and "tested on" not in row:
            pairs[seed] = (base_queries, method_queries)
    return pairs


def _check_same(base: str, other: str, jobs: Mapping[str, Job]) -> None:
    first, second = jobs[base], jobs[other]
    if first.settings["data"] != second.settings["data"]:
        raise ValueError(f"jobs {base} and {other} have different data, so their difference is undefined; {HINT}")
    if first.queries and second.queries and first.queries.ids != second.queries.ids:
        raise ValueError(f"jobs {base} and {other} have different queries, so their difference is undefined; {HINT}")


def _difference(name: str, pairs: Sequence[Pair]) -> Difference | None:
    """Paired difference; None if a job lacks the metric."""
    if not pairs or any(name not in queries.scores for queries in chain(*pairs)):
        return None
    base, method = ([queries.scores[name] for queries in side] for side in zip(*pairs, strict=True))
    return paired_difference(base, method, pairs[0][0].groups)


def _cells(differences: Sequence[Difference | None]) -> list[str]:
    """Format the differences of one metric over all methods."""
    adjusted = iter(holm([difference.p for difference in differences if difference]))
    return ["–" if difference is None else _cell(difference, next(adjusted)) for difference in differences]


def _cell(difference: Difference, p: float) -> str:
    text = f"{difference.mean:+.3f} [{difference.low:.3f}, {difference.high:.3f}]"
    return f"**{text}**" if (difference.low > 0 or difference.high < 0) and p < 0.05 else text


def _text(value: object) -> str:
    return "–" if value is None else str(value)
