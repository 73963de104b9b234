"""The figure of an experiment: each row of its table with its spread, or curves where a number is varied."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from fashion_lsh.report.figures import BLUE, GREEN, GREY, ORANGE, RED, drawing, legend
from fashion_lsh.report.page_file import Row
from fashion_lsh.report.sweep.rows import MEASURES

PANELS = 3  # measures drawn at most, those first that the page names first
POINTS, CURVES = 3, 5  # values of a number from which it is an axis, and curves over it at most
ROW = 0.24  # inches
SHARES = [name for name in MEASURES if name not in (  # measures between 0 and 1
    "queries", "distinct codes", "search ms", "network ms", "parameters", "FLOPs", "feature bytes", "code bytes",
    "quantisation error", "chance",
)]  # fmt: skip


def dots(means: Sequence[Row], settings: Sequence[str], measures: Sequence[str]) -> bytes | None:
    """As SVG; None where nothing can be compared.

    Args:
        means: averaged rows.
        settings: names of the columns that tell them apart.
        measures: of MEASURES; the first that are shares are drawn, with the spread that the table tells.
    """
    settings = _telling(means, settings)
    drawn = [name for name in measures if name in SHARES and sum(row.get(name) is not None for row in means) > 1]
    if not drawn or not settings:
        return None
    axis = _axis(means, settings)
    if axis:
        return _curves(means, axis, [name for name in settings if name != axis], drawn[:PANELS])
    return _rows(means, settings, drawn[:PANELS])


def _axis(means: Sequence[Row], settings: Sequence[str]) -> str:
    """The one setting that is a number of several values, where few curves over it hold all rows."""
    for name in settings:
        values = [row[name] for row in means]
        numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        others = {_label(row, [other for other in settings if other != name]) for row in means}
        if numbers and len(set(values)) >= POINTS and len(others) <= CURVES:
            return name
    return ""


def _telling(means: Sequence[Row], settings: Sequence[str]) -> list[str]:
    """The first of the settings, and as few of the others as tell the rows apart."""
    kept = [name for name in settings if name != "seeds"]
    for name in reversed(kept[1:]):
        fewer = [other for other in kept if other != name]
        if len({_label(row, fewer) for row in means}) == len({_label(row, kept) for row in means}):
            kept = fewer
    return kept


def _rows(means: Sequence[Row], settings: Sequence[str], measures: Sequence[str]) -> bytes:
    with drawing(0.9 + ROW * len(means), 2.2 + 2.4 * len(measures)) as (figure, out):
        panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
        for axes, measure in zip(panels, measures, strict=True):
            for place, row in enumerate(means):
                if row.get(measure) is not None:
                    axes.errorbar(row[measure], place, xerr=_spread(row, measure), fmt="o", color=BLUE, capsize=2)
            axes.set(xlabel=measure, ylim=(len(means) - 0.5, -0.5))
        panels[0].set(yticks=range(len(means)), yticklabels=[_label(row, settings) for row in means])
    return out.getvalue()


def _curves(means: Sequence[Row], axis: str, others: Sequence[str], measures: Sequence[str]) -> bytes:
    curves: dict[str, list[Row]] = {}
    for row in sorted(means, key=lambda row: float(row[axis])):
        curves.setdefault(_label(row, others), []).append(row)
    with drawing(3.2, 0.8 + 2.8 * len(measures)) as (figure, out):
        panels = figure.subplots(1, len(measures), squeeze=False)[0]
        for number, (axes, measure) in enumerate(zip(panels, measures, strict=True)):
            for colour, (name, rows) in zip((BLUE, ORANGE, GREEN, RED, GREY), curves.items(), strict=False):
                found = [row for row in rows if row.get(measure) is not None]
                places, spreads = [row[axis] for row in found], [_spread(row, measure) for row in found]
                label = name if number == 0 else None
                around = np.hstack(spreads) if found else None
                values = [row[measure] for row in found]
                axes.errorbar(places, values, yerr=around, fmt="o-", color=colour, capsize=2, markersize=4, label=label)
            _number_axis(axes, sorted({row[axis] for row in means}), axis, measure)
        if any(curves):
            legend(figure)
    return out.getvalue()


def _number_axis(axes: Axes, values: Sequence[float], name: str, measure: str) -> None:
    if values[0] > 0 and values[-1] / values[0] >= 8:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(values, [f"{value:g}" for value in values], rotation=45)
    axes.set(xlabel=name, title=measure)


def _spread(row: Row, measure: str) -> np.ndarray:
    """(2, 1) float, down and up."""
    if f"{measure} low" in row:
        return np.array([[row[measure] - row[f"{measure} low"]], [row[f"{measure} high"] - row[measure]]]).clip(0)
    return np.full((2, 1), row.get(f"{measure} sd") or 0.0)


def _label(row: Mapping[str, object], settings: Sequence[str]) -> str:
    """What tells a row apart, on one line: numbers by their names, too."""
    return " · ".join(_told(name, row[name]) for name in settings if row.get(name) is not None)


def _told(name: str, value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value) if isinstance(value, str) else f"{name.rpartition('.')[2]} {value}"
