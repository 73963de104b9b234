"""Which value of a setting is best, by a measure, for each of the other settings: how a rate is chosen on `val`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tabulate import tabulate

from fashion_lsh.report.pages import Row
from fashion_lsh.report.rows import MEASURES, arms_of, averaged, settings_of

CHOICE = re.compile(r"^<!-- choice: (.+) by (.+) -->$", re.MULTILINE)


class Choice(NamedTuple):
    """A setting, and the one of MEASURES whose highest value chooses it."""

    setting: str
    measure: str


def choice_of(page: Path) -> Choice | None:
    """The choice that an experiment's README.md asks for (`<!-- choice: optim.lr by val top-1 -->`); None: none.

    Raises:
        ValueError: the measure is unknown.
    """
    found = CHOICE.search(page.read_text()) if page.exists() else None
    if found and found[2] not in MEASURES:
        raise ValueError(f"{page}: measure {found[2]!r} is unknown; known are {', '.join(MEASURES)}")
    return Choice(*found.groups()) if found else None


def best_of(choice: Choice, rows: Sequence[Row]) -> list[Row]:
    """Of the arms that are alike but for the setting, the one with the highest measure, the mean over its seeds; of
    equals the first.  A row without the measure is none.

    Raises:
        ValueError: the rows do not differ in the setting.
    """
    means = [row for row in map(averaged, arms_of(rows)) if row.get(choice.measure) is not None]
    alike = [name for name in settings_of(means) if name not in (choice.setting, "seeds")]
    if any(choice.setting not in row for row in means):
        raise ValueError(f"choice: {choice.setting} is the same in all jobs, or unknown: name a setting that differs")
    best: dict[str, Row] = {}
    for row in means:
        key = str([row[name] for name in alike])
        if key not in best or row[choice.measure] > best[key][choice.measure]:
            best[key] = row
    return list(best.values())


def choice_table(choice: Choice, rows: Sequence[Row]) -> str:
    """Markdown: the best value of the setting, and its measure, for each of the other settings."""
    best = best_of(choice, rows)
    shown = [name for name in settings_of(best) if name not in (choice.setting, "seeds")]
    tried = len({str(row[choice.setting]) for row in rows})
    cells = [
        [*("–" if row[name] is None else row[name] for name in (*shown, choice.setting)), f"{row[choice.measure]:.3f}"]
        for row in best
    ]
    told = f"The best of {tried} values of {choice.setting}, by {choice.measure}:"
    names = [*shown, choice.setting, choice.measure]
    return f"{told}\n\n{tabulate(cells, names, 'pipe', disable_numparse=True)}"
