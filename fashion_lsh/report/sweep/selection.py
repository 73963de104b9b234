"""Which value of a setting is best, by a measure, for each of the other settings: how a rate is chosen on `val`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fashion_lsh.report.page_file import Row
from fashion_lsh.report.phrases import as_markdown
from fashion_lsh.report.sweep.rows import MEASURES, arms_of, averaged, settings_of

SELECTION = re.compile(r"^<!-- selection: (.+) by (.+) -->$", re.MULTILINE)


class Selection(NamedTuple):
    """A setting, and the one of MEASURES whose highest value chooses it."""

    setting: str
    measure: str


def selection_of(page: Path) -> Selection | None:
    """The selection that an experiment's README.md asks for (`<!-- selection: optim.lr by val top-1 -->`); None: none.

    Raises:
        ValueError: the measure is unknown.
    """
    found = SELECTION.search(page.read_text()) if page.exists() else None
    if found and found[2] not in MEASURES:
        raise ValueError(f"{page}: measure {found[2]!r} is unknown; known are {', '.join(MEASURES)}")
    return Selection(*found.groups()) if found else None


def best_of(selection: Selection, rows: Sequence[Row]) -> list[Row]:
    """Of the arms that are alike but for the setting, the one with the highest measure, the mean over its seeds; of
    equals the first.  A row without the measure is none.

    Raises:
        ValueError: the rows do not differ in the setting, or none has the measure.
    """
    means = [row for row in map(averaged, arms_of(rows)) if row.get(selection.measure) is not None]
    if not means:
        raise ValueError(f"selection: no job tells {selection.measure}: name a measure that some do")
    alike = [name for name in settings_of(means) if name not in (selection.setting, "seeds")]
    if any(selection.setting not in row for row in means):
        raise ValueError(
            f"selection: {selection.setting} is the same in all jobs, or unknown: name a setting that differs"
        )
    best: dict[str, Row] = {}
    for row in means:
        key = str([row[name] for name in alike])
        if key not in best or row[selection.measure] > best[key][selection.measure]:
            best[key] = row
    return list(best.values())


def selection_table(selection: Selection, rows: Sequence[Row]) -> str:
    """Markdown: the best value of the setting, and its measure, for each of the other settings."""
    best = best_of(selection, rows)
    shown = [name for name in settings_of(best) if name not in (selection.setting, "seeds")]
    cells = [
        [
            *("–" if row[name] is None else row[name] for name in (*shown, selection.setting)),
            f"{row[selection.measure]:.3f}",
        ]
        for row in best
    ]
    told = f"The best of the values of {selection.setting} that were tried, by {selection.measure}:"
    names = [*shown, selection.setting, selection.measure]
    return f"{told}\n\n{as_markdown(cells, names)}"
