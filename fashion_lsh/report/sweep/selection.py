"""Select the best value of a setting by a metric, for example the learning rate by validation accuracy."""

from collections.abc import Sequence

from fashion_lsh.report.page_settings import Selection
from fashion_lsh.report.phrases import markdown_table
from fashion_lsh.report.sweep.rows import SweepRow, average_seeds, distinguishing_settings, group_by_method


def select_best(selection: Selection, rows: Sequence[SweepRow]) -> list[SweepRow]:
    """Select the row with the highest mean metric among rows that differ only in the setting; the first row on ties.

    Rows without the metric are ignored.

    Raises:
        ValueError: the rows do not differ in the setting, or none has the metric.
    """
    means = [row for row in map(average_seeds, group_by_method(rows)) if selection.metric in row.metrics]
    if not means:
        raise ValueError(f"selection: no job has the metric {selection.metric!r}; choose another metric")
    if any(selection.setting not in row.settings for row in means):
        raise ValueError(f"selection: {selection.setting} does not differ between jobs; choose a setting that differs")
    other_settings = [name for name in distinguishing_settings(means) if name not in (selection.setting, "seeds")]
    best: dict[str, SweepRow] = {}
    for row in means:
        key = str([row.settings[name] for name in other_settings])
        if key not in best or row.metrics[selection.metric].value > best[key].metrics[selection.metric].value:
            best[key] = row
    return list(best.values())


def selection_table(selection: Selection, rows: Sequence[SweepRow]) -> str:
    """Markdown table of the best value of the setting and of the metric, by combination of the other settings."""
    best = select_best(selection, rows)
    names = [name for name in distinguishing_settings(best) if name not in (selection.setting, "seeds")]
    names.append(selection.setting)
    cells = [
        [*("–" if row.settings[name] is None else row.settings[name] for name in names),
         f"{row.metrics[selection.metric].value:.3f}"]
        for row in best
    ]  # fmt: skip
    title = f"Best {selection.setting} by {selection.metric}:"
    return f"{title}\n\n{markdown_table(cells, [*names, selection.metric])}"
