"""Page of a sweep: table of results, figure and paired differences.

Rows that differ only in the seed are one configuration.
"""

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from fashion_lsh.report.page_file import Row, write_page
from fashion_lsh.report.phrases import join_names, markdown_table
from fashion_lsh.report.sweep.differences import best_configuration, difference_table, read_base
from fashion_lsh.report.sweep.dot_plot import dot_plot
from fashion_lsh.report.sweep.jobs import Job, read_jobs
from fashion_lsh.report.sweep.rows import (
    METRICS,
    OPTIONAL_METRICS,
    at_chance_level,
    average_seeds,
    distinguishing_settings,
    group_by_method,
    jobs_with_different_data,
    table_rows,
)
from fashion_lsh.report.sweep.selection import read_selection, selection_table

log = logging.getLogger(__name__)

INTEGER_METRICS = ("queries", "distinct codes", "feature bytes", "code bytes")  # displayed without decimals
SCALED_METRICS = {"parameters": (1e6, "M"), "FLOPs": (1e9, "G")}  # divisor and prefix
ACCURACY_COLUMNS = ("val top-1", "top-1")  # columns in which jobs at chance level are marked
COLUMNS_COMMENT = re.compile(r"^<!-- columns: (.+) -->$", re.MULTILINE)
BOLD_NOTE = (
    "Bold: the best value of its column, if the 95 % confidence intervals of its paired differences from all other "
    "rows exclude 0."
)
# Command of a page that `write_sweep_page` must not overwrite.
REPEATS_COMMAND = re.compile(r"^fashion-lsh report .*--repeats .*$", re.MULTILINE)
FIGURE = "results.svg"
FIGURE_CAPTION = (
    "Metrics of the rows of the table. Error bars: standard deviation over seeds or, with one seed, the 95 % "
    "confidence interval over queries."
)


def write_sweep_page(folder: Path, base: str = "") -> Path:
    """Summarise a sweep as README.md, results.csv and results.svg.

    With a base, the page has a table of paired differences. If README.md has a selection comment (see
    `read_selection`), the page has a table of the best values of the selected setting.

    Args:
        folder: experiment folder with jobs/*.json, or folder of runs, of which unfinished runs are skipped.
        base: settings of the base configuration, `name=value`; "": the settings in the base comment of README.md.

    Returns:
        Path of README.md.

    Raises:
        FileNotFoundError: there are no jobs, or no run is finished.
        ValueError: a job file is damaged, two jobs have the same settings and seed, README.md lacks the markers or is
            written by another command, or the base does not match exactly one configuration with the data and queries
            of the other rows.
    """
    page = folder / "README.md"
    if command := REPEATS_COMMAND.search(page.read_text() if page.exists() else ""):
        raise ValueError(f"{page} is written by another command; run {command[0]!r}")
    jobs, unfinished = read_jobs(folder)
    base, selection = base or read_base(page), read_selection(page)
    rows, metrics = table_rows(jobs), read_columns(page)
    warnings = [
        f"Jobs with different data, not averaged: {join_names(names)}." for names in jobs_with_different_data(rows)
    ]
    code_versions = describe_code_versions(jobs)
    warnings += [code_versions] if code_versions else []
    parts = [describe_machines(jobs), *warnings, results_table(rows, jobs, metrics)]
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
    means = [average_seeds(configuration) for configuration in group_by_method(rows)]
    return dot_plot(means, distinguishing_settings(means), metrics)


def read_columns(page: Path) -> list[str]:
    """Read the metrics to show from README.md (`<!-- columns: top-1 | entropy -->`); default: not OPTIONAL_METRICS.

    Raises:
        ValueError: a metric is unknown.
    """
    match = COLUMNS_COMMENT.search(page.read_text()) if page.exists() else None
    names = [name.strip() for name in match[1].split("|")] if match else []
    if unknown := [name for name in names if name not in METRICS]:
        raise ValueError(f"{page}: column {unknown[0]!r} is unknown; choose from {', '.join(METRICS)}")
    return names or [name for name in METRICS if name not in OPTIONAL_METRICS]


def describe_machines(jobs: Mapping[str, Job]) -> str:
    """Describe the number of jobs, the machines and the library versions."""
    machines: dict[str, int] = {}
    for job in jobs.values():
        machine = _describe_machine(job.environment)
        machines[machine] = machines.get(machine, 0) + 1
    count = f"{len(jobs)} job{'s' if len(jobs) > 1 else ''}"
    if len(machines) == 1:
        return f"{count}, run on {next(iter(machines))}."
    return f"{count}, run " + " and ".join(f"on {name} ({num_jobs})" for name, num_jobs in machines.items()) + "."


def describe_code_versions(jobs: Mapping[str, Job]) -> str:
    """Warn if the jobs were run with different code (see `code_version`); "" if they were not."""
    counts = Counter(str(job.environment.get("code_version", "unknown")) for job in jobs.values())
    if len(counts) < 2:
        return ""
    versions = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
    return f"Jobs with different code versions: {versions}. Differences between them may be due to the code."


def _describe_machine(environment: Row) -> str:
    cores = (
        f"{environment['cores']} cores of {environment['processor']}"
        if "processor" in environment
        else "an unknown machine"
    )
    versions = [f"{name} {environment[name]}" for name in ("fashion-lsh", "torch") if name in environment]
    return f"{environment.get('gpu') or cores} with {' and '.join(versions)}"


def results_table(rows: Sequence[Row], jobs: Mapping[str, Job], metrics: Sequence[str]) -> str:
    """Format the rows as a Markdown table, with three decimals and confidence intervals.

    Each configuration is a table row: mean and standard deviation over seeds. Training settings are only in
    results.csv, unless they are needed to distinguish the rows (see `distinguishing_settings`). Jobs at chance level
    (see `at_chance_level`) are marked. The best value of a column is bold if it is significantly best (see
    `best_configuration`).
    """
    configurations = group_by_method(rows)
    means = [average_seeds(configuration) for configuration in configurations]
    known = {name for row in means for name, value in row.items() if value is not None}
    settings = distinguishing_settings(means)
    shown = [name for name in means[0] if name in settings or (name in (*metrics, "job") and name in known)]
    best = {name: best_configuration(configurations, jobs, name) for name in metrics if name in known}
    cells = [
        [
            _bold(_cell(row, name), configuration is best.get(name))
            + (_chance_level_note(configuration) if name in ACCURACY_COLUMNS else "")
            for name in shown
        ]
        for configuration, row in zip(configurations, means, strict=True)
    ]
    text = markdown_table(cells, shown)
    return f"{text}\n\n{BOLD_NOTE}" if any(configuration is not None for configuration in best.values()) else text


def _bold(text: str, is_best: bool) -> str:
    return f"**{text}**" if is_best else text


def _chance_level_note(configuration: Sequence[Row]) -> str:
    num_at_chance = sum(map(at_chance_level, configuration))
    count_text = f"{num_at_chance} of {len(configuration)} " if num_at_chance < len(configuration) else ""
    return f" ({count_text}at chance level)" if num_at_chance else ""


def _cell(row: Row, name: str) -> str:
    value = row[name]
    seeds = f" ({row[f'{name} seeds']})" if f"{name} seeds" in row else ""
    if f"{name} low" in row:
        return f"{value:.3f} [{row[f'{name} low']:.3f}, {row[f'{name} high']:.3f}]{seeds}"
    if name not in METRICS or value is None:
        return "–" if value is None else str(value)
    if name in SCALED_METRICS:
        divisor, prefix = SCALED_METRICS[name]
        return f"{value / divisor:.3g} {prefix}{seeds}"
    decimals = 0 if name in INTEGER_METRICS else 3
    spread = f" ± {row[f'{name} sd']:.{decimals}f}" if row.get(f"{name} sd") else ""
    return f"{value:.{decimals}f}{spread}{seeds}"
