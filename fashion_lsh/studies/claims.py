"""Summary page of all experiments: each claim, its status and the estimate behind it.

The text comes from the template `claims.md.j2` in the experiments folder; all numbers are read from their result files.
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined, TemplateError

from fashion_lsh.io.files import atomic_write
from fashion_lsh.report.sweep.differences import difference_between
from fashion_lsh.report.sweep.jobs import read_jobs
from fashion_lsh.report.sweep.rows import rows_of

TEMPLATE = "claims.md.j2"


class Estimate(NamedTuple):
    """Value with the bounds of its confidence interval, or with the minimum and maximum over seeds."""

    value: float
    low: float
    high: float

    def format(self, form: str) -> str:
        """Format the value with a format spec such as `+.3f` or `.1%`."""
        return f"{self.value:{form}}"

    def interval(self, form: str) -> str:
        """Format the bounds as `[low, high]`."""
        return f"[{self.low:{form}}, {self.high:{form}}]"

    def status(self, above: float = 0.0) -> str:
        """`holds` if both bounds exceed a threshold, `does not hold` if both are below it, else `not shown`."""
        return "holds" if self.low > above else "does not hold" if self.high < above else "not shown"


class Experiments:
    """Result files of the experiments in a folder, for use in a template.

    Rows are selected by settings as text, `{"hash": "csq"}`. Methods that need a single row raise ValueError otherwise.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has_results(self, name: str, where: Mapping[str, str] | None = None) -> bool:
        """Return True if an experiment has results and, with `where`, a matching row."""
        file = self.folder / name / "results.csv"
        return file.exists() and (not where or bool(_matching(file, where)))

    def above_chance(self, name: str, where: Mapping[str, str]) -> bool:
        """Return True if top-1 is significantly above chance in at least one matching row."""
        rows = self._rows(name, where)
        return any(_number(name, row, "top-1 low") > _number(name, row, "chance") for row in rows)

    def seeds(self, name: str, *rows: Mapping[str, str]) -> int:
        """Number of seeds that all these row selections have in common."""
        return len(set.intersection(*({row.get("seed", "") for row in self._rows(name, where)} for where in rows)))

    def estimate(self, name: str, column: str, where: Mapping[str, str]) -> Estimate:
        """Value of `column` in the single matching row, with bounds `<column> low` and `<column> high`."""
        row = self._row(name, where)
        return Estimate(*(_number(name, row, f"{column}{end}") for end in ("", " low", " high")))

    def paired_difference(self, name: str, measure: str, method: str, base: str) -> Estimate:
        """Method minus base, paired by seed and query; both are written as in `<!-- base: hash=none -->`."""
        jobs = read_jobs(self.folder / name)[0]
        difference = difference_between(base, method, rows_of(jobs), jobs, measure)
        return Estimate(difference.mean, difference.low, difference.high)

    def unpaired_difference(
        self, name: str, column: str, method: Mapping[str, str], base: Mapping[str, str]
    ) -> Estimate:
        """Method minus base for one seed, with bounds low - high and high - low: wider than a paired interval."""
        first, second = (self.estimate(name, column, where) for where in (method, base))
        return Estimate(first.value - second.value, first.low - second.high, first.high - second.low)

    def value(self, name: str, column: str, where: Mapping[str, str]) -> float:
        """Value of `column` in the single matching row."""
        return _number(name, self._row(name, where), column)

    def best(self, name: str, by: str, where: Mapping[str, str]) -> dict[str, str]:
        """Matching row with the highest value in column `by`; the first one on ties."""
        return max(self._rows(name, where), key=lambda row: _number(name, row, by))

    def difference_by_seed(
        self, name: str, column: str, method: Mapping[str, str], base: Mapping[str, str]
    ) -> Estimate:
        """Method minus base: mean, minimum and maximum over common seeds."""
        values = [self._seeds(name, column, where) for where in (method, base)]
        differences = [values[0][seed] - values[1][seed] for seed in values[0].keys() & values[1].keys()]
        if not differences:
            raise ValueError(f"{name}: no common seed of {dict(method)} and {dict(base)}; run both with the same seeds")
        return Estimate(mean(differences), min(differences), max(differences))

    def mean_over(self, name: str, column: str, where: Mapping[str, str], subtract: str = "") -> Estimate:
        """Mean, minimum and maximum over the matching rows; `subtract`: another column, subtracted from each."""
        rows = self._rows(name, where)
        if len(rows) < 2:
            raise ValueError(
                f"{name}: only one row of results.csv matches {dict(where)}; run more seeds to get a spread"
            )
        found = [_number(name, row, column) - (_number(name, row, subtract) if subtract else 0.0) for row in rows]
        return Estimate(mean(found), min(found), max(found))

    def _seeds(self, name: str, column: str, where: Mapping[str, str]) -> dict[float, float]:
        rows = self._rows(name, where)
        found = {_number(name, row, "seed"): _number(name, row, column) for row in rows}
        if len(found) < len(rows):
            raise ValueError(f"{name}: {dict(where)} matches several rows of one seed; add settings to select one")
        return found

    def _row(self, name: str, where: Mapping[str, str]) -> dict[str, str]:
        rows = self._rows(name, where)
        if len(rows) != 1:
            raise ValueError(f"{name}: {len(rows)} rows of results.csv match {dict(where)}; add settings to select one")
        return rows[0]

    def _rows(self, name: str, where: Mapping[str, str]) -> list[dict[str, str]]:
        if not self.has_results(name):
            raise ValueError(f"{name}: results.csv is missing; run the commands on its page first")
        found = _matching(self.folder / name / "results.csv", where)
        if not found:
            raise ValueError(f"{name}: no row of results.csv matches {dict(where)}; run the commands on its page first")
        return found


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
        ValueError: the template is invalid, or a value in it has no single matching row.
    """
    environment = Environment(
        undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
    )
    try:
        text = environment.from_string((folder / TEMPLATE).read_text()).render(experiments=Experiments(folder))
    except TemplateError as error:
        raise ValueError(f"{folder / TEMPLATE}: {error}") from error
    page = folder / "README.md"
    with atomic_write(page) as temporary:
        temporary.write_text(text)
    return page
