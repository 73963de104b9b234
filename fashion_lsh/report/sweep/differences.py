"""The second table of an experiment: how far each arm lies from a base row, by the scores of the same queries."""

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
    "Intervals: 2,000 bootstrap samples; each draws seeds, then items, all queries of an item together and queries"
    " without an item alone, the same draw for all its seeds. With one seed they tell nothing of other seeds,"
    " and with three they are too narrow. Bold: the interval leaves out 0, and p, Holm-adjusted over the rows of the"
    " column, is below 0.05; of the others no direction is claimed."
)
HINT = "remove one, or the line of the base from README.md"
MethodRows = Sequence[Row]
Pair = tuple[QueryScores, QueryScores]


def read_base(page: Path) -> str:
    """The settings, `name=value`, of the base row that an experiment's README.md names; empty where it names none.

    Raises:
        ValueError: it names several.
    """
    bases = BASE.findall(page.read_text()) if page.exists() else []
    if len(bases) > 1:
        raise ValueError(f"{page} names {len(bases)} bases, {' and '.join(bases)}: leave one")
    return bases[0] if bases else ""


def difference_table(base: str, rows: Sequence[Row], jobs: Mapping[str, Job], metrics: Sequence[str]) -> str:
    """Mean differences from the base row as Markdown, a row an arm, with what the intervals are.

    Args:
        base: its settings, `name=value`.
        rows: of the experiment's table.
        jobs: they are of.
        metrics: those of METRICS that are compared, where the scores of each query are known.

    Raises:
        ValueError: the base is no one row, or jobs to be paired are of different data or queries.
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
    """Of one of METRICS, between two rows that are named by their settings, `name=value`.

    Raises:
        ValueError: one is no one row, they are of different data or queries, or scores of queries are not known.
    """
    if metric not in METRICS:
        raise ValueError(f"measure {metric!r} is unknown; known are {', '.join(METRICS)}")
    methods, settings = _methods_and_settings(rows)
    first, second = (_find_method(name, methods, settings, jobs) for name in (base, method))
    difference = _difference(METRICS[metric], list(_pairs(first, second, jobs).values()))
    if difference is None:
        raise ValueError(f"{metric} of each query is not known of {base} and {method}: name another measure")
    return difference


def _methods_and_settings(rows: Sequence[Row]) -> tuple[list[list[Row]], list[str]]:
    """The arms, and the settings that tell them apart."""
    methods = group_by_method(rows)
    return methods, [
        name for name in distinguishing_settings([average_seeds(method) for method in methods]) if name != "seeds"
    ]


def best_method(methods: Sequence[MethodRows], jobs: Mapping[str, Job], metric: str) -> MethodRows | None:
    """The arm with the highest mean of a measure, if its difference from each other arm, paired by seed and query, has
    an interval above 0; None where there is none, or jobs are of different data, or scores of queries are not known."""
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
    """The one arm that has the settings of the base row."""
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
        raise ValueError(f"base: {base} names {len(found)} rows: give what tells one of these apart: {candidates}")
    return found[0]


def _pairs(base: MethodRows, method: MethodRows, jobs: Mapping[str, Job]) -> dict[object, Pair]:
    """The queries of both by seed, where both have them; what was scored with several crops has none of each."""
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
        raise ValueError(f"jobs {base} and {other} are of different data, and a base compares them: {HINT}")
    if first.queries and second.queries and first.queries.ids != second.queries.ids:
        raise ValueError(f"jobs {base} and {other} are of different queries, and a base compares them: {HINT}")


def _difference(name: str, pairs: Sequence[Pair]) -> Difference | None:
    """None where a measure is not known of all."""
    if not pairs or any(name not in queries.scores for queries in chain(*pairs)):
        return None
    base, method = ([queries.scores[name] for queries in side] for side in zip(*pairs, strict=True))
    return paired_difference(base, method, pairs[0][0].groups)


def _cells(differences: Sequence[Difference | None]) -> list[str]:
    """Of one measure, over all arms."""
    adjusted = iter(holm([difference.p for difference in differences if difference]))
    return ["–" if difference is None else _cell(difference, next(adjusted)) for difference in differences]


def _cell(difference: Difference, p: float) -> str:
    text = f"{difference.mean:+.3f} [{difference.low:.3f}, {difference.high:.3f}]"
    return f"**{text}**" if (difference.low > 0 or difference.high < 0) and p < 0.05 else text


def _text(value: object) -> str:
    return "–" if value is None else str(value)
