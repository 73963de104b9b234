"""Page of a sweep: table of results, figure and paired differences.

Rows that differ only in the seed are one configuration.
"""

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from fashion_lsh.metrics.statistics import MIN_SEEDS
from fashion_lsh.report.page_file import write_page
from fashion_lsh.report.page_settings import read_page_settings
from fashion_lsh.report.phrases import join_names, markdown_table
from fashion_lsh.report.sweep.differences import best_configuration, difference_table
from fashion_lsh.report.sweep.dot_plot import dot_plot
from fashion_lsh.report.sweep.jobs import Job, read_jobs
from fashion_lsh.report.sweep.long_table import write_long_table
from fashion_lsh.report.sweep.metrics import METRICS, OPTIONAL_METRICS, find_column
from fashion_lsh.report.sweep.rows import (
    Estimate,
    SweepRow,
    at_chance_level,
    average_seeds,
    distinguishing_settings,
    group_by_method,
    jobs_with_different_data,
    table_rows,
)
from fashion_lsh.report.sweep.selection import selection_table
from fashion_lsh.runs.result_file import RESULTS_FILE
from fashion_lsh.runs.sweep_record import failed_jobs

log = logging.getLogger(__name__)

INTEGER_METRICS = ("queries", "distinct codes", "feature bytes", "code bytes")  # displayed without decimals
SCALED_METRICS = {"parameters": (1e6, "M"), "FLOPs": (1e9, "G")}  # divisor and prefix
MAXIMISED = (  # names of results whose highest value is the best
    "accuracy", "macro_accuracy", "macro_f1", "map", "macro_map", "recall", "precision", "radius_precision", "box_ap",
    "box_ap50", "box_ap75", "box_ar",
)  # fmt: skip
BEST_TITLE = "Highest value of each metric (the differences from other rows may not be significant):"
ACCURACY_COLUMNS = ("val top-1", "top-1")  # columns in which jobs at chance level are marked
BOLD_NOTE = (
    "Bold: the best value of its column, if its paired differences from all other rows have at least "
    f"{MIN_SEEDS} seeds and p below 0.05 after Holm's adjustment."
)
NO_BOLD_NOTE = f"No value is bold: that needs {MIN_SEEDS} seeds of each row."
FIT_NOTE = "Intervals in brackets are over the queries of one fit; they do not cover other seeds."
FIGURE = "results.svg"
FIGURE_CAPTION = (
    "Metrics of the rows of the table. Error bars: standard deviation over seeds or, with one seed, the 95 % "
    "confidence interval over the queries of this fit."
)


def write_sweep_page(folder: Path, base: str = "", columns: Sequence[str] = ()) -> Path:
    """Summarise a sweep as README.md, results.csv, results.parquet and results.svg.

    With a base, the page has a table of paired differences. If page.yaml has a selection, the page has a table of the
    best values of the selected setting.

    Args:
        folder: experiment folder with jobs/*.parquet, or folder of runs, of which unfinished runs are skipped.
        base: settings of the base configuration, `name=value`; "": the base in page.yaml.
        columns: metrics to show, by title or flat name; empty: the columns in page.yaml.

    Returns:
        Path of README.md.

    Raises:
        FileNotFoundError: there are no jobs, or no run is finished.
        ValueError: a file is damaged, two jobs have the same settings and seed, README.md lacks the markers, a metric
            is unknown, or the base does not match exactly one configuration with the data and queries of the other
            rows.
    """
    jobs, unfinished = read_jobs(folder)
    settings = read_page_settings(folder)
    base, selection = base or settings.base, settings.selection
    metrics = list(columns or settings.columns) or [name for name in METRICS if name not in OPTIONAL_METRICS]
    shown = [*metrics, *([selection.metric] if selection else [])]
    rows = table_rows(jobs, [name for name in shown if name not in METRICS])
    warnings = _warnings(rows, jobs, [*columns] or settings.columns, base)
    means = [average_seeds(configuration) for configuration in group_by_method(rows)]
    parts = [describe_machines(jobs), *warnings, results_table(rows, jobs, metrics), best_table(means, metrics, jobs)]
    failures = failed_jobs(folder)
    parts += [_failure_table(failures)] if failures else []
    figure = dot_plot(means, distinguishing_settings(means), metrics)
    parts += [f"![{FIGURE_CAPTION}]({FIGURE})\n\n{FIGURE_CAPTION}"] if figure else []
    parts += [difference_table(base, rows, jobs, metrics)] if base else []
    parts += [selection_table(selection, rows)] if selection else []
    text = "\n\n".join(filter(None, parts))
    write_page(folder, [row.flat() for row in rows], text, {FIGURE: figure} if figure else {})
    write_long_table(folder / RESULTS_FILE, rows, jobs)
    for warning in warnings:
        log.warning("%s: %s", folder, warning)
    if unfinished:
        log.warning("Skipped unfinished runs: %s", join_names(list(map(str, unfinished))))
    return folder / "README.md"


def _warnings(rows: Sequence[SweepRow], jobs: Mapping[str, Job], columns: Sequence[str], base: str) -> list[str]:
    """Sentences on jobs that cannot be compared, and on chosen metrics that no job has."""
    different = [f"Jobs with different data, not averaged: {join_names(names)}." for names in
                 jobs_with_different_data(rows)]  # fmt: skip
    missing = [name for name in columns if not any(name in row.metrics for row in rows)]
    unpaired = [key for key, job in jobs.items() if job.queries is None] if base else []
    sentences = [*different, describe_code_versions(jobs)]
    sentences += [f"No job has these metrics: {join_names(missing)}."] if missing else []
    sentences += [f"Jobs without a query table, which have no differences: {join_names(unpaired)}."] if unpaired else []
    return list(filter(None, sentences))


def best_table(means: Sequence[SweepRow], metrics: Sequence[str], jobs: Mapping[str, Job]) -> str:
    """Markdown table of the row with the highest value of each metric in MAXIMISED; "" for a single row."""
    settings = [name for name in distinguishing_settings(means) if name != "seeds"]
    lines = []
    for metric in (name for name in metrics if find_column(name, jobs).metric in MAXIMISED):
        scored = [row for row in means if metric in row.metrics]
        if len(scored) > 1:
            best = max(scored, key=lambda row: row.metrics[metric].value)
            setting_text = " ".join(f"{name}={best.settings[name]}" for name in settings if name in best.settings)
            lines.append([metric, f"{best.metrics[metric].value:.3f}", setting_text])
    return f"{BEST_TITLE}\n\n{markdown_table(lines, ['metric', 'value', 'settings'])}" if lines else ""


def _failure_table(failures: Mapping[str, str]) -> str:
    return f"Failed jobs:\n\n{markdown_table(list(failures.items()), ['settings', 'reason'])}"


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


def _describe_machine(environment: Mapping[str, object]) -> str:
    cores = (
        f"{environment['cores']} cores of {environment['processor']}"
        if "processor" in environment
        else "an unknown machine"
    )
    versions = [f"{name} {environment[name]}" for name in ("fashion-lsh", "torch") if name in environment]
    return f"{environment.get('gpu') or cores} with {' and '.join(versions)}"


def results_table(rows: Sequence[SweepRow], jobs: Mapping[str, Job], metrics: Sequence[str]) -> str:
    """Format the rows as a Markdown table, with three decimals and confidence intervals.

    Each configuration is a table row: mean and standard deviation over seeds. Training settings are only in
    results.csv, unless they are needed to distinguish the rows (see `distinguishing_settings`). Jobs at chance level
    (see `at_chance_level`) are marked. The best value of a column is bold if it is significantly best (see
    `best_configuration`). Notes below the table state what the intervals cover and what is bold.
    """
    configurations = group_by_method(rows)
    means = [average_seeds(configuration) for configuration in configurations]
    settings = distinguishing_settings(means)
    shown = [name for name in metrics if any(name in row.metrics for row in means)]
    best = {name: best_configuration(configurations, jobs, name) for name in shown}
    has_jobs = any(row.job for row in means)
    lines = [
        [
            *("–" if row.settings.get(name) is None else str(row.settings[name]) for name in settings),
            *(
                _bold(_cell(name, row.metrics.get(name)), configuration is best[name])
                + (_chance_level_note(configuration) if name in ACCURACY_COLUMNS else "")
                for name in shown
            ),
            *([row.job] if has_jobs else []),
        ]
        for configuration, row in zip(configurations, means, strict=True)
    ]
    has_intervals = any(
        name in row.metrics and not math.isnan(row.metrics[name].low) for row in means for name in shown
    )
    has_bold = any(configuration is not None for configuration in best.values())
    has_few_seeds = len(means) > 1 and min(map(len, configurations)) < MIN_SEEDS
    notes = [FIT_NOTE] if has_intervals else []
    notes += [BOLD_NOTE] if has_bold else [NO_BOLD_NOTE] if has_few_seeds else []
    table = markdown_table(lines, [*settings, *shown, *(["job"] if has_jobs else [])])
    return "\n\n".join(filter(None, [table, " ".join(notes)]))


def _bold(text: str, is_best: bool) -> str:
    return f"**{text}**" if is_best else text


def _chance_level_note(configuration: Sequence[SweepRow]) -> str:
    num_at_chance = sum(map(at_chance_level, configuration))
    count_text = f"{num_at_chance} of {len(configuration)} " if num_at_chance < len(configuration) else ""
    return f" ({count_text}at chance level)" if num_at_chance else ""


def _cell(name: str, estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    seeds = f" ({estimate.seeds})" if estimate.seeds else ""
    if not math.isnan(estimate.low):
        return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]{seeds}"
    if name in SCALED_METRICS:
        divisor, prefix = SCALED_METRICS[name]
        return f"{estimate.value / divisor:.3g} {prefix}{seeds}"
    decimals = 0 if name in INTEGER_METRICS else 3
    spread = f" ± {estimate.sd:.{decimals}f}" if estimate.sd > 0 else ""
    return f"{estimate.value:.{decimals}f}{spread}{seeds}"
