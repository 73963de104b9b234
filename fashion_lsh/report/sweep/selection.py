"""Select the best value of a setting by a metric, for example the learning rate by validation accuracy."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fashion_lsh.report.page_file import Row
from fashion_lsh.report.phrases import markdown_table
from fashion_lsh.report.sweep.rows import METRICS, average_seeds, distinguishing_settings, group_by_method

SELECTION_COMMENT = re.compile(r"^<!-- selection: (.+) by (.+) -->$", re.MULTILINE)


class Selection(NamedTuple):
    """Selection of the value of a setting that maximises a metric.

    Attributes:
        setting: name of the setting.
        metric: title in METRICS.
    """

    setting: str
    metric: str


def read_selection(page: Path) -> Selection | None:
    """Read the selection from README.md (`<!-- selection: optim.lr by val top-1 -->`); None without one.

    Raises:
        ValueError: the metric is unknown.
    """
    match = SELECTION_COMMENT.search(page.read_text()) if page.exists() else None
    if match and match[2] not in METRICS:
        raise ValueError(f"{page}: metric {match[2]!r} is unknown; choose one of {', '.join(METRICS)}")
    return Selection(*match.groups()) if match else None


def select_best(selection: Selection, rows: Sequence[Row]) -> list[Row]:
    """Select the row with the highest mean metric among rows that differ only in the setting; the first row on ties.

    Rows without the metric are ignored.

    Raises:
        ValueError: the rows do not differ in the setting, or none has the metric.
    """
    means = [row for row in map(average_seeds, group_by_method(rows)) if row.get(selection.metric) is not None]
    if not means:
        raise ValueError(f"selection: no job has the metric {selection.metric!r}; choose another metric")
    other_settings = [name for name in distinguishing_settings(means) if name not in (selection.setting, "seeds")]
    if any(selection.setting not in row for row in means):
        raise ValueError(f"selection: {selection.setting} does not differ between jobs; choose a setting that differs")
    best: dict[str, Row] = {}
    for row in means:
        key = str([row[name] for name in other_settings])
        if key not in best or row[selection.metric] > best[key][selection.metric]:
            best[key] = row
    return list(best.values())


def selection_table(selection: Selection, rows: Sequence[Row]) -> str:
    """Markdown table of the best value of the setting and of the metric, by combination of the other settings."""
    best = select_best(selection, rows)
    settings = [name for name in distinguishing_settings(best) if name not in (selection.setting, "seeds")]
    cells = [
        [
            *("–" if row[name] is None else row[name] for name in (*settings, selection.setting)),
            f"{row[selection.metric]:.3f}",
        ]
        for row in best
    ]
    title = f"Best {selection.setting} by {selection.metric}:"
    names = [*settings, selection.setting, selection.metric]
    return f"{title}\n\n{markdown_table(cells, names)}"
