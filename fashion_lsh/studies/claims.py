"""One page over all experiments: each claim, whether it holds here, with its figure.

The text is that of the template `claims.md.j2` beside the experiments; every figure in it is read from their files.
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
    """A number, and the ends of its interval, or the least and the most of its seeds: what is measured says which."""

    value: float
    low: float
    high: float

    def format(self, form: str) -> str:
        """The number: `+.3f`, `.1%`."""
        return f"{self.value:{form}}"

    def interval(self, form: str) -> str:
        """The ends."""
        return f"[{self.low:{form}}, {self.high:{form}}]"

    def status(self, above: float = 0.0) -> str:
        """Whether both ends are above a number, both below, or neither."""
        return "holds" if self.low > above else "does not hold" if self.high < above else "not shown"


class Experiments:
    """The files of the experiments below a folder, for a template.

    A row is named by its settings as text, `{"hash": "csq"}`; what is no one row is refused with ValueError.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has_results(self, name: str, where: Mapping[str, str] | None = None) -> bool:
        """Whether an experiment has results; `where`: of rows that are so."""
        file = self.folder / name / "results.csv"
        return file.exists() and (not where or bool(_matching(file, where)))

    def above_chance(self, name: str, where: Mapping[str, str]) -> bool:
        """Whether a row, at some seed at least, surely names its queries better than chance."""
        rows = self._rows(name, where)
        return any(_number(name, row, "top-1 low") > _number(name, row, "chance") for row in rows)

    def seeds(self, name: str, *rows: Mapping[str, str]) -> int:
        """How many seeds all of these rows have."""
        return len(set.intersection(*({row.get("seed", "") for row in self._rows(name, where)} for where in rows)))

    def estimate(self, name: str, column: str, where: Mapping[str, str]) -> Estimate:
        """A number of the one row of results.csv that is so, with `<column> low` and `<column> high` beside it."""
        row = self._row(name, where)
        return Estimate(*(_number(name, row, f"{column}{end}") for end in ("", " low", " high")))

    def paired_difference(self, name: str, measure: str, method: str, base: str) -> Estimate:
        """Arm minus base, paired by seed and query; rows are named as in `<!-- base: hash=none -->`."""
        jobs = read_jobs(self.folder / name)[0]
        difference = difference_between(base, method, rows_of(jobs), jobs, measure)
        return Estimate(difference.mean, difference.low, difference.high)

    def unpaired_difference(
        self, name: str, column: str, method: Mapping[str, str], base: Mapping[str, str]
    ) -> Estimate:
        """Arm minus base of one seed, between the farthest ends of their own intervals: wider than a paired one."""
        first, second = (self.estimate(name, column, where) for where in (method, base))
        return Estimate(first.value - second.value, first.low - second.high, first.high - second.low)

    def value(self, name: str, column: str, where: Mapping[str, str]) -> float:
        """A number of the one row that is so."""
        return _number(name, self._row(name, where), column)

    def best(self, name: str, by: str, where: Mapping[str, str]) -> dict[str, str]:
        """Of the rows that are so, the one with the most of a column; of equals the first."""
        return max(self._rows(name, where), key=lambda row: _number(name, row, by))

    def difference_by_seed(
        self, name: str, column: str, method: Mapping[str, str], base: Mapping[str, str]
    ) -> Estimate:
        """Arm minus base: the mean over seeds, the least and the largest."""
        values = [self._seeds(name, column, where) for where in (method, base)]
        differences = [values[0][seed] - values[1][seed] for seed in values[0].keys() & values[1].keys()]
        if not differences:
            raise ValueError(f"{name}: {dict(method)} and {dict(base)} have no seed in common")
        return Estimate(mean(differences), min(differences), max(differences))

    def mean_over(self, name: str, column: str, where: Mapping[str, str], subtract: str = "") -> Estimate:
        """Mean, minimum and maximum over the matching rows; `subtract`: another column, subtracted from each."""
        rows = self._rows(name, where)
        if len(rows) < 2:
            raise ValueError(
                f"{name}: one row of results.csv is {dict(where)}, and one has no spread: run further seeds"
            )
        found = [_number(name, row, column) - (_number(name, row, subtract) if subtract else 0.0) for row in rows]
        return Estimate(mean(found), min(found), max(found))

    def _seeds(self, name: str, column: str, where: Mapping[str, str]) -> dict[float, float]:
        rows = self._rows(name, where)
        found = {_number(name, row, "seed"): _number(name, row, column) for row in rows}
        if len(found) < len(rows):
            raise ValueError(f"{name}: {dict(where)} has two rows of one seed: name what tells them apart")
        return found

    def _row(self, name: str, where: Mapping[str, str]) -> dict[str, str]:
        rows = self._rows(name, where)
        if len(rows) != 1:
            raise ValueError(f"{name}: {len(rows)} rows of results.csv are {dict(where)}: name what tells one apart")
        return rows[0]

    def _rows(self, name: str, where: Mapping[str, str]) -> list[dict[str, str]]:
        if not self.has_results(name):
            raise ValueError(f"{name}: no results.csv: run its commands first")
        found = _matching(self.folder / name / "results.csv", where)
        if not found:
            raise ValueError(f"{name}: no row of results.csv is {dict(where)}")
        return found


def _matching(results: Path, where: Mapping[str, str]) -> list[dict[str, str]]:
    with results.open(newline="") as file:
        return [row for row in csv.DictReader(file) if all(row.get(key) == value for key, value in where.items())]


def _number(name: str, row: Mapping[str, str], column: str) -> float:
    if not row.get(column):
        raise ValueError(f"{name}: results.csv has no {column!r} of {dict(row)}")
    return float(row[column])


def write_claims(folder: Path) -> Path:
    """Write `README.md` of a folder of experiments from its template.

    Returns:
        The page.

    Raises:
        ValueError: a figure that the template asks for is no one number.
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
