"""Summary page of all experiments: claims, status and estimates.

The text is from the template `claims.md.j2` in the experiments folder; all numbers are read from result files.
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import numpy as np
from jinja2 import StrictUndefined, TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fashion_lsh.io.files import atomic_write
from fashion_lsh.metrics.statistics import MIN_SEEDS, paired_difference
from fashion_lsh.report.phrases import percent
from fashion_lsh.report.seed_notes import coverage_range
from fashion_lsh.report.sweep.differences import difference_between
from fashion_lsh.report.sweep.jobs import read_jobs
from fashion_lsh.report.sweep.rows import table_rows

TEMPLATE = "claims.md.j2"


class Estimate(NamedTuple):
    """Value with bounds.

    Attributes:
        value: value, or mean over seeds.
        low, high: bounds of the confidence interval, or minimum and maximum over runs.
        runs: number of trainings that differ in seed or split; None for times, which do not depend on the training.
    """

    value: float
    low: float
    high: float
    runs: int | None = None

    def format(self, form: str) -> str:
        """Format the value with a format spec such as `+.3f` or `.1%`; percentages as `17.2 %`."""
        return _format(self.value, form)

    def interval(self, form: str) -> str:
        """Format the bounds and the number of runs: `[low, high], 3 runs`; "–" for bounds that are NaN."""
        bounds = f"[{_format(self.low, form)}, {_format(self.high, form)}]" if self.low <= self.high else "–"
        return bounds if self.runs is None else f"{bounds}, {self.runs} run{'s' if self.runs > 1 else ''}"

    def status(self, threshold: float = 0.0) -> str:
        """Bold `holds` if both bounds are above a threshold, `does not hold` if they are below, else `not shown`.

        With fewer than MIN_SEEDS runs `too few runs`, not bold, whatever the bounds are.
        """
        if self.runs is not None and self.runs < MIN_SEEDS:
            return f"too few runs ({self.runs})"
        status = "holds" if self.low > threshold else "does not hold" if self.high < threshold else "not shown"
        return f"**{status}**"


class Experiments:
    """Result files of the experiments in a folder, for use in a template.

    Rows are selected by settings as strings, `{"hash": "csq"}`. Methods that need a single row raise ValueError if no
    row or several rows match.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has_results(self, name: str, where: Mapping[str, str] | None = None) -> bool:
        """Return True if an experiment has results and, with `where`, a matching row."""
        file = self.folder / name / "results.csv"
        return file.exists() and (not where or bool(_matching(file, where)))

    def above_chance(self, name: str, where: Mapping[str, str]) -> bool:
        """Return True if the interval of top-1 over the queries is above chance in at least one matching row."""
        rows = self._rows(name, where)
        return any(_number(name, row, "top-1 low") > _number(name, row, "chance") for row in rows)

    def estimate(self, name: str, column: str, where: Mapping[str, str], runs: int | None = 1) -> Estimate:
        """Value of `column` in the single matching row, with bounds `<column> low` and `<column> high`.

        runs: number of trainings of the row; None for times.
        """
        row = self._row(name, where)
        value, low, high = (_number(name, row, f"{column}{end}") for end in ("", " low", " high"))
        return Estimate(value, low, high, runs)

    def paired_difference(self, name: str, measure: str, method: str, base: str) -> Estimate:
        """Method minus base, paired by seed and query; both are settings as in the base of page.yaml."""
        jobs = read_jobs(self.folder / name)[0]
        difference = difference_between(base, method, table_rows(jobs), jobs, measure)
        return Estimate(difference.mean, difference.low, difference.high, difference.seeds)

    def unpaired_difference(
        self, name: str, column: str, method: Mapping[str, str], base: Mapping[str, str]
    ) -> Estimate:
        """Method minus base for one seed, with bounds low - high and high - low: wider than a paired interval."""
        first, second = (self.estimate(name, column, where) for where in (method, base))
        return Estimate(first.value - second.value, first.low - second.high, first.high - second.low, 1)

    def value(self, name: str, column: str, where: Mapping[str, str]) -> float:
        """Value of `column` in the single matching row."""
        return _number(name, self._row(name, where), column)

    def best(self, name: str, by: str, where: Mapping[str, str]) -> dict[str, str]:
        """Matching row with the highest value in column `by`; the first row on ties."""
        return max(self._rows(name, where), key=lambda row: _number(name, row, by))

    def difference_by_seed(
        self, name: str, column: str, method: Mapping[str, str], base: Mapping[str, str]
    ) -> Estimate:
        """Method minus base: mean over common seeds, with the t interval over seeds for these queries.

        With one seed, the bounds are NaN.
        """
        first, second = (self._value_by_seed(name, column, where) for where in (method, base))
        seeds = sorted(first.keys() & second.keys())
        if not seeds:
            raise ValueError(f"{name}: no common seed of {dict(method)} and {dict(base)}; run both with the same seeds")
        base_values, values = ([np.array([side[seed]]) for seed in seeds] for side in (second, first))
        difference = paired_difference(base_values, values, np.zeros(1))
        return Estimate(difference.mean, difference.low, difference.high, difference.seeds)

    def mean_over(self, name: str, column: str, where: Mapping[str, str], subtract: str = "") -> Estimate:
        """Mean, minimum and maximum over the matching rows.  subtract: column to subtract from `column`.

        The runs of the estimate are the matching rows, or for rows of pairs of seeds the runs of these pairs.
        """
        rows = self._rows(name, where)
        if len(rows) < 2:
            raise ValueError(f"{name}: only one row of results.csv matches {dict(where)}; run more seeds")
        values = [_number(name, row, column) - (_number(name, row, subtract) if subtract else 0.0) for row in rows]
        seeds = {seed for row in rows for seed in row.get("seeds", "").split(" and ") if seed}
        return Estimate(mean(values), min(values), max(values), len(seeds) or len(values))

    def _value_by_seed(self, name: str, column: str, where: Mapping[str, str]) -> dict[float, float]:
        rows = self._rows(name, where)
        values = {_number(name, row, "seed"): _number(name, row, column) for row in rows}
        if len(values) < len(rows):
            raise ValueError(
                f"{name}: {dict(where)} matches several rows of one seed; add settings to select one row per seed"
            )
        return values

    def _row(self, name: str, where: Mapping[str, str]) -> dict[str, str]:
        rows = self._rows(name, where)
        if len(rows) != 1:
            raise ValueError(
                f"{name}: {len(rows)} rows of results.csv match {dict(where)}; add settings to select a single row"
            )
        return rows[0]

    def _rows(self, name: str, where: Mapping[str, str]) -> list[dict[str, str]]:
        if not self.has_results(name):
            raise ValueError(f"{name}: results.csv is missing; run the commands on its page first")
        rows = _matching(self.folder / name / "results.csv", where)
        if not rows:
            raise ValueError(f"{name}: no row of results.csv matches {dict(where)}; run the commands on its page first")
        return rows


def _format(value: float, form: str) -> str:
    return percent(value, int(form.strip(".%"))) if form.endswith("%") else f"{value:{form}}"


def _matching(results: Path, where: Mapping[str, str]) -> list[dict[str, str]]:
    with results.open(newline="") as file:
        return [row for row in csv.DictReader(file) if all(row.get(key) == value for key, value in where.items())]


def _number(name: str, row: Mapping[str, str], column: str) -> float:
    if not row.get(column):
        raise ValueError(f"{name}: results.csv has no {column!r} for {dict(row)}; run its report command again")
    return float(row[column])


def write_claims(folder: Path) -> Path:
    """Write `README.md` of the experiments folder from its template.

    Returns:
        Path of the page.

    Raises:
        ValueError: the template is invalid, or a value in the template has no single matching row.
    """
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    try:
        text = environment.from_string((folder / TEMPLATE).read_text()).render(
            experiments=Experiments(folder), coverage=coverage_range
        )
    except TemplateError as error:
        raise ValueError(f"{folder / TEMPLATE}: {error}") from error
    page = folder / "README.md"
    with atomic_write(page) as temporary:
        temporary.write_text(text)
    return page
