"""Which value of a setting is best, by a measure, for each of the other settings: how a rate is chosen on `val`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fashion_lsh.report.page_file import Row
from fashion_lsh.report.phrases import markdown_table
from fashion_lsh.report.sweep.rows import METRICS, average_seeds, distinguishing_settings, group_by_method

SELECTION = re.compile(r"^<!-- selection: (.+) by (.+) -->$", re.MULTILINE)


class Selection(NamedTuple):
    """A setting, and the one of METRICS whose highest value chooses it."""

    setting: str
    metric: str


def read_selection(page: Path) -> Selection | None:
    """The selection that an experiment's README.md asks for (`<!-- selection: optim.lr by val top-1 -->`); None: none.

    Raises:
        ValueError: the measure is unknown.
    """
    match = SELECTION.search(page.read_text()) if page.exists() else None
    if match and match[2] not in METRICS:
        raise ValueError(f"{page}: measure {match[2]!r} is unknown; known are {', '.join(METRICS)}")
    return Selection(*match.groups()) if match else None


def select_best(selection: Selection, rows: Sequence[Row]) -> list[Row]:
    """Of the arms that are alike but for the setting, the one with the highest measure, the mean over its seeds; of
    equals the first.  A row without the measure is none.

    Raises:
        ValueError: the rows do not differ in the setting, or none has the measure.
    """
    means = [row for row in map(average_seeds, group_by_method(rows)) if row.get(selection.metric) is not None]
    if not means:
        raise ValueError(f"selection: no job tells {selection.metric}: name a measure that some do")
    other_settings = [name for name in distinguishing_settings(means) if name not in (selection.setting, "seeds")]
    if any(selection.setting not in row for row in means):
        raise ValueError(
            f"selection: {selection.setting} is the same in all jobs, or unknown: name a setting that differs"
        )
    best: dict[str, Row] = {}
    for row in means:
        key = str([row[name] for name in other_settings])
        if key not in best or row[selection.metric] > best[key][selection.metric]:
            best[key] = row
    return list(best.values())


def selection_table(selection: Selection, rows: Sequence[Row]) -> str:
    """Markdown: the best value of the setting, and its measure, for each of the other settings."""
    best = select_best(selection, rows)
    shown = [name for name in distinguishing_settings(best) if name not in (selection.setting, "seeds")]
    cells = [
        [
            *("–" if row[name] is None else row[name] for name in (*shown, selection.setting)),
            f"{row[selection.metric]:.3f}",
        ]
        for row in best
    ]
    title = f"The best of the values of {selection.setting} that were tried, by {selection.metric}:"
    names = [*shown, selection.setting, selection.metric]
    return f"{title}\n\n{markdown_table(cells, names)}"
