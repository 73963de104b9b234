"""The second table of an experiment: how far each arm lies from a base row, by the scores of the same queries."""

import re
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from fashion_lsh.evaluation.query_scores import Queries
from fashion_lsh.metrics.statistics import Difference, holm, paired_difference
from fashion_lsh.report.page_file import Row
from fashion_lsh.report.phrases import as_markdown, listed
from fashion_lsh.report.sweep.jobs import Job
from fashion_lsh.report.sweep.rows import MEASURES, arms_of, averaged, settings_of

BASE = re.compile(r"^<!-- base: (.+) -->$", re.MULTILINE)
HOW_MADE = (
    "Intervals: 2,000 bootstrap samples; each draws seeds, then items, all queries of an item together and queries"
    " without an item alone, the same draw for all its seeds. With one seed they tell nothing of other seeds,"
    " and with three they are too narrow. Bold: the interval leaves out 0, and p, Holm-adjusted over the rows of the"
    " column, is below 0.05; of the others no direction is claimed."
)
WAY_OUT = "remove one, or the line of the base from README.md"
Arm = Sequence[Row]
Pair = tuple[Queries, Queries]


def base_of(page: Path) -> str:
    """The settings, `name=value`, of the base row that an experiment's README.md names; empty where it names none.

    Raises:
        ValueError: it names several.
    """
    found = BASE.findall(page.read_text()) if page.exists() else []
    if len(found) > 1:
        raise ValueError(f"{page} names {len(found)} bases, {' and '.join(found)}: leave one")
    return found[0] if found else ""


def difference_table(base: str, rows: Sequence[Row], jobs: Mapping[str, Job], measures: Sequence[str]) -> str:
    """Mean differences from the base row as Markdown, a row an arm, with what the intervals are.

    Args:
        base: its settings, `name=value`.
        rows: of the experiment's table.
        jobs: they are of.
        measures: those of MEASURES that are compared, where the scores of each query are known.

    Raises:
        ValueError: the base is no one row, or jobs to be paired are of different data or queries.
    """
    arms, settings = _told_apart(rows)
    first = _named(base, arms, settings, jobs)
    others = [arm for arm in arms if arm is not first]
    pairs = [_pairs(first, arm, jobs) for arm in others]
    columns = {name: [_text(arm[0][name]) for arm in others] for name in settings}
    if "seed" in rows[0]:
        columns["seeds"] = [", ".join(str(seed) for seed in both) or "–" for both in pairs]
    for title in measures:
        found = [_difference(MEASURES[title], list(both.values())) for both in pairs]
        if any(found):
            columns[title] = _cells(found)
    told = f"Differences from {base}, paired by seed and query: mean [95 % interval]"
    return f"{told}\n\n{as_markdown(list(zip(*columns.values(), strict=True)), list(columns))}\n\n{HOW_MADE}"


def difference_between(base: str, arm: str, rows: Sequence[Row], jobs: Mapping[str, Job], measure: str) -> Difference:
    """Of one of MEASURES, between two rows that are named by their settings, `name=value`.

    Raises:
        ValueError: one is no one row, they are of different data or queries, or scores of queries are not known.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure {measure!r} is unknown; known are {', '.join(MEASURES)}")
    arms, settings = _told_apart(rows)
    first, second = (_named(each, arms, settings, jobs) for each in (base, arm))
    found = _difference(MEASURES[measure], list(_pairs(first, second, jobs).values()))
    if found is None:
        raise ValueError(f"{measure} of each query is not known of {base} and {arm}: name another measure")
    return found


def _told_apart(rows: Sequence[Row]) -> tuple[list[list[Row]], list[str]]:
    """The arms, and the settings that tell them apart."""
    arms = arms_of(rows)
    return arms, [name for name in settings_of([averaged(arm) for arm in arms]) if name != "seeds"]


def best_arms(arms: Sequence[Arm], jobs: Mapping[str, Job], measure: str) -> Arm | None:
    """The arm with the highest mean of a measure, if its difference from each other arm, paired by seed and query, has
    an interval above 0; None where there is none, or jobs are of different data, or scores of queries are not known."""
    if len({(job.settings["data"], job.queries and job.queries.ids) for job in jobs.values()}) > 1:
        return None
    means = [(averaged(arm).get(measure), arm) for arm in arms]
    known = [(mean, arm) for mean, arm in means if mean is not None]
    ranked = [arm for _, arm in sorted(known, key=lambda pair: -pair[0])]
    for other in ranked[1:]:
        found = _difference(MEASURES[measure], list(_pairs(other, ranked[0], jobs).values()))
        if found is None or found.low <= 0:
            return None
    return ranked[0] if len(ranked) > 1 else None


def _named(base: str, arms: Sequence[Arm], settings: Sequence[str], jobs: Mapping[str, Job]) -> Arm:
    """The one arm that has the settings of the base row."""
    wanted = dict(word.partition("=")[::2] for word in base.split())
    told = [{name: _text(value) for name, value in jobs[arm[0]["job"]].settings.items()} for arm in arms]
    found = [arm for arm, own in zip(arms, told, strict=True) if wanted.items() <= own.items()]
    if len(found) != 1:
        there = listed([" ".join(f"{name}={_text(arm[0][name])}" for name in settings) for arm in arms], "; ")
        raise ValueError(f"base: {base} names {len(found)} rows: give what tells one of these apart: {there}")
    return found[0]


def _pairs(base: Arm, arm: Arm, jobs: Mapping[str, Job]) -> dict[object, Pair]:
    """The queries of both by seed, where both have them; what was scored with several crops has none of each."""
    of_base = {row.get("seed"): row["job"] for row in base}
    pairs: dict[object, Pair] = {}
    for row in arm:
        seed, key = row.get("seed"), row["job"]
        if seed not in of_base:
            continue
        for other in (of_base[seed], key):
            _check_same(base[0]["job"], other, jobs)
        theirs, own = jobs[of_base[seed]].queries, jobs[key].queries
        if theirs and own and "tested on" not in row:
            pairs[seed] = (theirs, own)
    return pairs


def _check_same(base: str, other: str, jobs: Mapping[str, Job]) -> None:
    one, two = jobs[base], jobs[other]
    if one.settings["data"] != two.settings["data"]:
        raise ValueError(f"jobs {base} and {other} are of different data, and a base compares them: {WAY_OUT}")
    if one.queries and two.queries and one.queries.ids != two.queries.ids:
        raise ValueError(f"jobs {base} and {other} are of different queries, and a base compares them: {WAY_OUT}")


def _difference(name: str, pairs: Sequence[Pair]) -> Difference | None:
    """None where a measure is not known of all."""
    if not pairs or any(name not in queries.scores for queries in chain(*pairs)):
        return None
    base, arm = ([queries.scores[name] for queries in side] for side in zip(*pairs, strict=True))
    return paired_difference(base, arm, pairs[0][0].groups)


def _cells(found: Sequence[Difference | None]) -> list[str]:
    """Of one measure, over all arms."""
    adjusted = iter(holm([one.p for one in found if one]))
    return ["–" if one is None else _cell(one, next(adjusted)) for one in found]


def _cell(one: Difference, p: float) -> str:
    text = f"{one.mean:+.3f} [{one.low:.3f}, {one.high:.3f}]"
    return f"**{text}**" if (one.low > 0 or one.high < 0) and p < 0.05 else text


def _text(value: object) -> str:
    return "–" if value is None else str(value)
