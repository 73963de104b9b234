"""The page of an experiment: its jobs as a table, a figure, and what lies between them."""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fashion_lsh.report.page_file import Row, write_page
from fashion_lsh.report.phrases import as_markdown, listed
from fashion_lsh.report.sweep.differences import base_of, best_arms, difference_table
from fashion_lsh.report.sweep.dot_plot import dots
from fashion_lsh.report.sweep.jobs import Job, read_jobs
from fashion_lsh.report.sweep.rows import (
    MEASURES,
    SPECIAL,
    apart_by_data,
    arms_of,
    averaged,
    rows_of,
    settings_of,
    untrained,
)
from fashion_lsh.report.sweep.selection import selection_of, selection_table

log = logging.getLogger(__name__)

COUNTED = ("queries", "distinct codes", "feature bytes", "code bytes")  # measures that are whole numbers
LARGE = {"parameters": (1e6, "M"), "FLOPs": (1e9, "G")}  # and those that are told in millions and more
RIGHT = ("val top-1", "top-1")  # columns that tell which fits are at chance level
COLUMNS = re.compile(r"^<!-- columns: (.+) -->$", re.MULTILINE)
BOLD = (
    "Bold: the best of its column, where the 95 % interval of its paired difference from every other row leaves out 0."
)
OTHERS = re.compile(  # commands that write a page of their own
    r"^python -m fashion_lsh(?:\.studies\.\w| report .*--repeats ).*$", re.MULTILINE
)
FIGURE = "results.svg"
SPREAD = "Rows of the table; bars: a standard deviation over seeds up and down, or the 95 % interval of a single seed."


def gather(folder: Path, base: str = "") -> Path:
    """Bring the jobs of an experiment, or the finished runs of a folder, together as README.md, results.csv and
    results.svg; where a base row is named, tell what lies between, and where the README.md names a setting to be
    chosen, which value is best.

    Args:
        folder: with jobs/*.json, or with run folders.
        base: settings of the base row, `name=value`; "": those that the README.md names.

    Returns:
        The page.

    Raises:
        FileNotFoundError: there are no jobs, or no run is finished.
        ValueError: a job's file is damaged, two are of the same settings and seed, the README.md has no place for the
            table, or is another command's, or its base is no one row, or of other data than the rest.
    """
    page = folder / "README.md"
    if other := OTHERS.search(page.read_text() if page.exists() else ""):
        raise ValueError(f"{page} is written by another command: {other[0]}")
    jobs, unfinished = read_jobs(folder)
    base, selection = base or base_of(page), selection_of(page)
    rows, measures = rows_of(jobs), columns_of(page)
    apart = [f"Not averaged, for their data differ: {listed(names)}." for names in apart_by_data(rows)]
    parts = [made_on(jobs), table(rows, jobs, measures), *apart]
    figure = _figure(rows, measures)
    parts += [f"![{SPREAD}]({FIGURE})\n\n{SPREAD}"] if figure else []
    parts += [difference_table(base, rows, jobs, measures)] if base else []
    parts += [selection_table(selection, rows)] if selection else []
    write_page(folder, rows, "\n\n".join(parts), {FIGURE: figure} if figure else {})
    for told in apart:
        log.warning("%s: %s", folder, told)
    if unfinished:
        log.warning("left out, not finished: %s", listed(list(map(str, unfinished))))
    return page


def _figure(rows: Sequence[Row], measures: Sequence[str]) -> bytes | None:
    means = [averaged(arm) for arm in arms_of(rows)]
    return dots(means, settings_of(means), measures)


def columns_of(page: Path) -> list[str]:
    """The measures that an experiment's README.md wants shown (`<!-- columns: top-1 | entropy -->`); else the usual.

    Raises:
        ValueError: it names one that there is not.
    """
    found = COLUMNS.search(page.read_text()) if page.exists() else None
    names = [name.strip() for name in found[1].split("|")] if found else []
    if unknown := [name for name in names if name not in MEASURES]:
        raise ValueError(f"{page}: column {unknown[0]!r} is unknown; known are {', '.join(MEASURES)}")
    return names or [name for name in MEASURES if name not in SPECIAL]


def made_on(jobs: Mapping[str, Job]) -> str:
    """How many jobs there are, and on which machines, by which versions, they were made."""
    machines: dict[str, int] = {}
    for job in jobs.values():
        machine = _machine(job.environment)
        machines[machine] = machines.get(machine, 0) + 1
    count = f"{len(jobs)} job{'s' if len(jobs) > 1 else ''}"
    if len(machines) == 1:
        return f"{count}, made on {next(iter(machines))}."
    return f"{count}, made on " + "; on ".join(f"{name} ({number})" for name, number in machines.items()) + "."


def _machine(about: Row) -> str:
    cores = f"{about['cores']} cores of {about['processor']}" if "processor" in about else "an unknown machine"
    versions = [f"{name} {about[name]}" for name in ("fashion-lsh", "torch") if name in about]
    return f"{about.get('gpu') or cores} with {' and '.join(versions)}"


def table(rows: Sequence[Row], jobs: Mapping[str, Job], measures: Sequence[str]) -> str:
    """Rows as Markdown, scores to three digits, with their intervals where they have one.

    How long and how fast was learnt is left to results.csv where other settings tell the jobs apart.  Rows that differ
    in nothing but the seed are one: the mean of each score and its standard deviation over the seeds.  Of a fit at
    chance level (see `untrained`) top-1 says so.  The best of a column is bold where it is surely the best.
    """
    arms = arms_of(rows)
    means = [averaged(arm) for arm in arms]
    known = {name for row in means for name, value in row.items() if value is not None}
    settings = settings_of(means)
    shown = [name for name in means[0] if name in settings or (name in (*measures, "job") and name in known)]
    best = {name: best_arms(arms, jobs, name) for name in measures if name in known}
    cells = [
        [_bold(_cell(row, name), arm is best.get(name)) + (_failed(arm) if name in RIGHT else "") for name in shown]
        for arm, row in zip(arms, means, strict=True)
    ]
    told = as_markdown(cells, shown)
    return f"{told}\n\n{BOLD}" if any(arm is not None for arm in best.values()) else told


def _bold(text: str, best: bool) -> str:
    return f"**{text}**" if best else text


def _failed(arm: Sequence[Row]) -> str:
    failed = sum(map(untrained, arm))
    some = f"{failed} of {len(arm)} " if failed < len(arm) else ""
    return f" ({some}did not train)" if failed else ""


def _cell(row: Row, name: str) -> str:
    value = row[name]
    some = f" ({row[f'{name} of']})" if f"{name} of" in row else ""
    if f"{name} low" in row:
        return f"{value:.3f} [{row[f'{name} low']:.3f}, {row[f'{name} high']:.3f}]{some}"
    if name not in MEASURES or value is None:
        return "–" if value is None else str(value)
    if name in LARGE:
        size, unit = LARGE[name]
        return f"{value / size:.3g} {unit}{some}"
    digits = 0 if name in COUNTED else 3
    spread = f" ± {row[f'{name} sd']:.{digits}f}" if row.get(f"{name} sd") else ""
    return f"{value:.{digits}f}{spread}{some}"
