"""The page of an experiment: its jobs as a table, a figure, and what lies between them."""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fashion_lsh.report.page_file import Row, write_page
from fashion_lsh.report.phrases import join_names, markdown_table
from fashion_lsh.report.sweep.differences import best_method, difference_table, read_base
from fashion_lsh.report.sweep.dot_plot import dot_plot
from fashion_lsh.report.sweep.jobs import Job, read_jobs
from fashion_lsh.report.sweep.rows import (
    METRICS,
    OPTIONAL_METRICS,
    at_chance_level,
    average_seeds,
    distinguishing_settings,
    group_by_method,
    jobs_of_differing_data,
    rows_of,
)
from fashion_lsh.report.sweep.selection import read_selection, selection_table

log = logging.getLogger(__name__)

INTEGER_METRICS = ("queries", "distinct codes", "feature bytes", "code bytes")  # measures that are whole numbers
SCALED_METRICS = {"parameters": (1e6, "M"), "FLOPs": (1e9, "G")}  # and those that are told in millions and more
ACCURACY_COLUMNS = ("val top-1", "top-1")  # columns that tell which fits are at chance level
COLUMNS = re.compile(r"^<!-- columns: (.+) -->$", re.MULTILINE)
BOLD_NOTE = (
    "Bold: the best of its column, where the 95 % interval of its paired difference from every other row leaves out 0."
)
OTHER_COMMAND = re.compile(r"^python -m fashion_lsh report .*--repeats .*$", re.MULTILINE)  # it writes its own page
FIGURE = "results.svg"
FIGURE_CAPTION = (
    "Rows of the table; bars: a standard deviation over seeds up and down, or the 95 % interval of a single seed."
)


def write_sweep_page(folder: Path, base: str = "") -> Path:
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
    if other := OTHER_COMMAND.search(page.read_text() if page.exists() else ""):
        raise ValueError(f"{page} is written by another command: {other[0]}")
    jobs, unfinished = read_jobs(folder)
    base, selection = base or read_base(page), read_selection(page)
    rows, metrics = rows_of(jobs), read_columns(page)
    warnings = [f"Not averaged, for their data differ: {join_names(names)}." for names in jobs_of_differing_data(rows)]
    parts = [describe_machines(jobs), table(rows, jobs, metrics), *warnings]
    figure = _figure(rows, metrics)
    parts += [f"![{FIGURE_CAPTION}]({FIGURE})\n\n{FIGURE_CAPTION}"] if figure else []
    parts += [difference_table(base, rows, jobs, metrics)] if base else []
    parts += [selection_table(selection, rows)] if selection else []
    write_page(folder, rows, "\n\n".join(parts), {FIGURE: figure} if figure else {})
    for warning in warnings:
        log.warning("%s: %s", folder, warning)
    if unfinished:
        log.warning("left out, not finished: %s", join_names(list(map(str, unfinished))))
    return page


def _figure(rows: Sequence[Row], metrics: Sequence[str]) -> bytes | None:
    means = [average_seeds(method) for method in group_by_method(rows)]
    return dot_plot(means, distinguishing_settings(means), metrics)


def read_columns(page: Path) -> list[str]:
    """The measures that an experiment's README.md wants shown (`<!-- columns: top-1 | entropy -->`); else the usual.

    Raises:
        ValueError: it names one that there is not.
    """
    match = COLUMNS.search(page.read_text()) if page.exists() else None
    names = [name.strip() for name in match[1].split("|")] if match else []
    if unknown := [name for name in names if name not in METRICS]:
        raise ValueError(f"{page}: column {unknown[0]!r} is unknown; known are {', '.join(METRICS)}")
    return names or [name for name in METRICS if name not in OPTIONAL_METRICS]


def describe_machines(jobs: Mapping[str, Job]) -> str:
    """How many jobs there are, and on which machines, by which versions, they were made."""
    machines: dict[str, int] = {}
    for job in jobs.values():
        machine = _describe_machine(job.environment)
        machines[machine] = machines.get(machine, 0) + 1
    count = f"{len(jobs)} job{'s' if len(jobs) > 1 else ''}"
    if len(machines) == 1:
        return f"{count}, made on {next(iter(machines))}."
    return f"{count}, made on " + "; on ".join(f"{name} ({number})" for name, number in machines.items()) + "."


def _describe_machine(environment: Row) -> str:
    cores = (
        f"{environment['cores']} cores of {environment['processor']}"
        if "processor" in environment
        else "an unknown machine"
    )
    versions = [f"{name} {environment[name]}" for name in ("fashion-lsh", "torch") if name in environment]
    return f"{environment.get('gpu') or cores} with {' and '.join(versions)}"


def table(rows: Sequence[Row], jobs: Mapping[str, Job], metrics: Sequence[str]) -> str:
    """Rows as Markdown, scores to three digits, with their intervals where they have one.

    How long and how fast was learnt is left to results.csv where other settings tell the jobs apart.  Rows that differ
    in nothing but the seed are one: the mean of each score and its standard deviation over the seeds.  Of a fit at
    chance level (see `at_chance_level`) top-1 says so.  The best of a column is bold where it is surely the best.
    """
    methods = group_by_method(rows)
    means = [average_seeds(method) for method in methods]
    known = {name for row in means for name, value in row.items() if value is not None}
    settings = distinguishing_settings(means)
    shown = [name for name in means[0] if name in settings or (name in (*metrics, "job") and name in known)]
    best = {name: best_method(methods, jobs, name) for name in metrics if name in known}
    cells = [
        [
            _bold(_cell(row, name), method is best.get(name))
            + (_untrained_note(method) if name in ACCURACY_COLUMNS else "")
            for name in shown
        ]
        for method, row in zip(methods, means, strict=True)
    ]
    text = markdown_table(cells, shown)
    return f"{text}\n\n{BOLD_NOTE}" if any(method is not None for method in best.values()) else text


def _bold(text: str, best: bool) -> str:
    return f"**{text}**" if best else text


def _untrained_note(method: Sequence[Row]) -> str:
    failed = sum(map(at_chance_level, method))
    ratio = f"{failed} of {len(method)} " if failed < len(method) else ""
    return f" ({ratio}did not train)" if failed else ""


def _cell(row: Row, name: str) -> str:
    value = row[name]
    seeds = f" ({row[f'{name} of']})" if f"{name} of" in row else ""
    if f"{name} low" in row:
        return f"{value:.3f} [{row[f'{name} low']:.3f}, {row[f'{name} high']:.3f}]{seeds}"
    if name not in METRICS or value is None:
        return "–" if value is None else str(value)
    if name in SCALED_METRICS:
        size, unit = SCALED_METRICS[name]
        return f"{value / size:.3g} {unit}{seeds}"
    digits = 0 if name in INTEGER_METRICS else 3
    spread = f" ± {row[f'{name} sd']:.{digits}f}" if row.get(f"{name} sd") else ""
    return f"{value:.{digits}f}{spread}{seeds}"
