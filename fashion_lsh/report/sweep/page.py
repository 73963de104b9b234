"""Page of an experiment: table of its jobs, figure, and paired differences."""

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

INTEGER_METRICS = ("queries", "distinct codes", "feature bytes", "code bytes")  # shown without decimals
SCALED_METRICS = {"parameters": (1e6, "M"), "FLOPs": (1e9, "G")}  # divisor and unit
ACCURACY_COLUMNS = ("val top-1", "top-1")  # columns that mark jobs at chance level
COLUMNS = re.compile(r"^<!-- columns: (.+) -->$", re.MULTILINE)
BOLD_NOTE = (
    "Bold: the best of its column, if the 95 % interval of its paired difference from every other row excludes 0."
)
OTHER_COMMAND = re.compile(r"^python -m fashion_lsh report .*--repeats .*$", re.MULTILINE)  # it writes its own page
FIGURE = "results.svg"
FIGURE_CAPTION = "Rows of the table. Error bars: standard deviation over seeds, or the 95 % interval of a single seed."


def write_sweep_page(folder: Path, base: str = "") -> Path:
    """Summarise an experiment, or the finished runs of a folder, as README.md, results.csv and results.svg.

    With a base method the page has a table of paired differences; with a selection comment in README.md, a table of
    the best values of that setting.

    Args:
        folder: folder with jobs/*.json, or with run folders.
        base: settings of the base method, `name=value`; "": those of the base comment in README.md.

    Returns:
        Path of README.md.

    Raises:
        FileNotFoundError: there are no jobs, or no run is finished.
        ValueError: a job file is damaged, two jobs have the same settings and seed, README.md lacks the markers or is
            written by another command, or the base does not match exactly one method of the same data and queries.
    """
    page = folder / "README.md"
    if other := OTHER_COMMAND.search(page.read_text() if page.exists() else ""):
        raise ValueError(f"{page} is written by another command; run {other[0]!r}")
    jobs, unfinished = read_jobs(folder)
    base, selection = base or read_base(page), read_selection(page)
    rows, metrics = rows_of(jobs), read_columns(page)
    warnings = [
        f"Not averaged because of different data: {join_names(names)}." for names in jobs_of_differing_data(rows)
    ]
    parts = [describe_machines(jobs), table(rows, jobs, metrics), *warnings]
    figure = _figure(rows, metrics)
    parts += [f"![{FIGURE_CAPTION}]({FIGURE})\n\n{FIGURE_CAPTION}"] if figure else []
    parts += [difference_table(base, rows, jobs, metrics)] if base else []
    parts += [selection_table(selection, rows)] if selection else []
    write_page(folder, rows, "\n\n".join(parts), {FIGURE: figure} if figure else {})
    for warning in warnings:
        log.warning("%s: %s", folder, warning)
    if unfinished:
        log.warning("Skipped unfinished runs: %s", join_names(list(map(str, unfinished))))
    return page


def _figure(rows: Sequence[Row], metrics: Sequence[str]) -> bytes | None:
    means = [average_seeds(method) for method in group_by_method(rows)]
    return dot_plot(means, distinguishing_settings(means), metrics)


def read_columns(page: Path) -> list[str]:
    """Read the metrics to show from README.md (`<!-- columns: top-1 | entropy -->`); default: all but OPTIONAL_METRICS.

    Raises:
        ValueError: a metric is unknown.
    """
    match = COLUMNS.search(page.read_text()) if page.exists() else None
    names = [name.strip() for name in match[1].split("|")] if match else []
    if unknown := [name for name in names if name not in METRICS]:
        raise ValueError(f"{page}: column {unknown[0]!r} is unknown; choose from {', '.join(METRICS)}")
    return names or [name for name in METRICS if name not in OPTIONAL_METRICS]


def describe_machines(jobs: Mapping[str, Job]) -> str:
    """State the number of jobs, their machines and library versions."""
    machines: dict[str, int] = {}
    for job in jobs.values():
        machine = _describe_machine(job.environment)
        machines[machine] = machines.get(machine, 0) + 1
    count = f"{len(jobs)} job{'s' if len(jobs) > 1 else ''}"
    if len(machines) == 1:
        return f"{count}, run on {next(iter(machines))}."
    return f"{count}, run on " + "; on ".join(f"{name} ({number})" for name, number in machines.items()) + "."


def _describe_machine(environment: Row) -> str:
    cores = (
        f"{environment['cores']} cores of {environment['processor']}"
        if "processor" in environment
        else "an unknown machine"
    )
    versions = [f"{name} {environment[name]}" for name in ("fashion-lsh", "torch") if name in environment]
    return f"{environment.get('gpu') or cores} with {' and '.join(versions)}"


def table(rows: Sequence[Row], jobs: Mapping[str, Job], metrics: Sequence[str]) -> str:
    """Format the rows as a Markdown table, with three digits and confidence intervals.

    Rows that differ only in the seed are averaged, with the standard deviation over seeds.  Training settings are only
    in results.csv, unless they are needed to distinguish the rows (see `distinguishing_settings`).  Jobs at chance
    level (see `at_chance_level`) are marked.  The best of a column is bold if it is significant (see `best_method`).
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
