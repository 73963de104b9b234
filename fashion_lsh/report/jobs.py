"""The table of an experiment, from the scores its jobs left: python -m fashion_lsh.report.jobs experiments/garments."""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from fashion_lsh.report.choice import choice_of, choice_table
from fashion_lsh.report.pages import Row, put
from fashion_lsh.report.paired import base_of, difference_table
from fashion_lsh.report.rows import MEASURES, SPECIAL, arms_of, averaged, jobs_of, rows_of, settings_of, untrained

COUNTED = ("queries", "distinct codes", "feature bytes", "code bytes")  # measures that are whole numbers
LARGE = {"parameters": (1e6, "M"), "FLOPs": (1e9, "G")}  # and those that are told in millions and more
RIGHT = ("val top-1", "top-1")  # columns that tell which fits are at chance level
COLUMNS = re.compile(r"^<!-- columns: (.+) -->$", re.MULTILINE)


def main(words: Sequence[str] | None = None) -> int:
    """Write `results.csv`, and the table in `README.md`, of each experiment's folder."""
    parser = argparse.ArgumentParser(prog="python -m fashion_lsh.report.jobs", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="with jobs/*.json and a README.md")
    for folder in parser.parse_args(words).folders:
        try:
            gather(folder)
        except (OSError, ValueError) as error:
            sys.stderr.write(f"fashion_lsh.report.jobs: {error}\n")
            return 1
    return 0


def gather(folder: Path) -> list[Row]:
    """Bring the jobs of an experiment together; where its README.md names a base row, tell what lies between, and where
    it names a setting to be chosen, which value is best.

    Returns:
        What was written, a row a job: the settings in which they differ, and MEASURES.

    Raises:
        FileNotFoundError: there are no jobs.
        ValueError: a job's file is damaged, the README.md has no place for the table, or its base is no one row, or
            of other data than the rest.
    """
    page = folder / "README.md"
    jobs, base, choice = jobs_of(folder), base_of(page), choice_of(page)
    rows, measures = rows_of(jobs), columns_of(page)
    parts = [table(rows, measures)]
    parts += [difference_table(base, rows, jobs, measures)] if base else []
    parts += [choice_table(choice, rows)] if choice else []
    put(folder, rows, "\n\n".join(parts))
    return rows


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


def table(rows: Sequence[Row], measures: Sequence[str]) -> str:
    """Rows as Markdown, scores to three digits, with their intervals where they have one.

    How long and how fast was learnt is left to results.csv where other settings tell the jobs apart.  Rows that differ
    in nothing but the seed are one: the mean of each score and its standard deviation over the seeds.  Of a fit at
    chance level (see `untrained`) top-1 says so.
    """
    arms = arms_of(rows)
    rows = [averaged(arm) for arm in arms]
    known = {name for row in rows for name, value in row.items() if value is not None}
    settings = settings_of(rows)
    shown = [name for name in rows[0] if name in settings or (name in (*measures, "job") and name in known)]
    cells = [
        [_cell(row, name) + (_failed(arm) if name in RIGHT else "") for name in shown]
        for arm, row in zip(arms, rows, strict=True)
    ]
    return tabulate(cells, shown, "pipe", disable_numparse=True)


def _failed(arm: Sequence[Row]) -> str:
    failed = sum(map(untrained, arm))
    some = f"{failed} of {len(arm)} " if failed < len(arm) else ""
    return f" ({some}did not train)" if failed else ""


def _cell(row: Row, name: str) -> str:
    value = row[name]
    if f"{name} low" in row:
        return f"{value:.3f} [{row[f'{name} low']:.3f}, {row[f'{name} high']:.3f}]"
    if name not in MEASURES or value is None:
        return "–" if value is None else str(value)
    if name in LARGE:
        size, unit = LARGE[name]
        return f"{value / size:.3g} {unit}"
    digits = 0 if name in COUNTED else 3
    spread = f" ± {row[f'{name} sd']:.{digits}f}" if row.get(f"{name} sd") else ""
    return f"{value:.{digits}f}{spread}"


if __name__ == "__main__":
    sys.exit(main())
