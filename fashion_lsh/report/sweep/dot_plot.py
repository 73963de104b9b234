"""Figure of a sweep: a dot with an error bar for each row, or curves over a numeric setting."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from fashion_lsh.report.figures import BLUE, GREEN, GREY, ORANGE, RED, legend, svg_figure
from fashion_lsh.report.page_file import Row
from fashion_lsh.report.sweep.rows import METRICS

MAX_PANELS = 3
MIN_POINTS, MAX_CURVES = 3, 5  # minimum number of values on a numeric axis; maximum number of curves
ROW_HEIGHT = 0.24  # inches
RATIO_METRICS = [name for name in METRICS if name not in (  # metrics between 0 and 1
    "queries", "distinct codes", "search ms", "network ms", "parameters", "FLOPs", "feature bytes", "code bytes",
    "quantisation error", "chance",
)]  # fmt: skip


def dot_plot(means: Sequence[Row], settings: Sequence[str], metrics: Sequence[str]) -> bytes | None:
    """Plot the rows of a sweep as SVG; None if fewer than two rows can be compared.

    Args:
        means: rows averaged over seeds.
        settings: settings in which the rows differ.
        metrics: titles in METRICS; the first MAX_PANELS metrics between 0 and 1 are drawn.
    """
    settings = _distinguishing(means, settings)
    plotted = [
        name for name in metrics if name in RATIO_METRICS and sum(row.get(name) is not None for row in means) > 1
    ]
    if not plotted or not settings:
        return None
    axis = _axis(means, settings)
    if axis:
        return _curves(means, axis, [name for name in settings if name != axis], plotted[:MAX_PANELS])
    return _rows(means, settings, plotted[:MAX_PANELS])


def _axis(means: Sequence[Row], settings: Sequence[str]) -> str:
    """Select a numeric setting with at least MIN_POINTS values and at most MAX_CURVES curves; "" if there is none."""
    for name in settings:
        values = [row[name] for row in means]
        is_numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        curve_labels = {_label(row, [other for other in settings if other != name]) for row in means}
        if is_numeric and len(set(values)) >= MIN_POINTS and len(curve_labels) <= MAX_CURVES:
            return name
    return ""


def _distinguishing(means: Sequence[Row], settings: Sequence[str]) -> list[str]:
    """Select the settings that are needed to distinguish the rows, and always the first setting."""
    selected = [name for name in settings if name != "seeds"]
    for name in reversed(selected[1:]):
        fewer = [other for other in selected if other != name]
        if len({_label(row, fewer) for row in means}) == len({_label(row, selected) for row in means}):
            selected = fewer
    return selected


def _rows(means: Sequence[Row], settings: Sequence[str], metrics: Sequence[str]) -> bytes:
    with svg_figure(0.9 + ROW_HEIGHT * len(means), 2.2 + 2.4 * len(metrics)) as (figure, buffer):
        panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            for position, row in enumerate(means):
                if row.get(metric) is not None:
                    axes.errorbar(row[metric], position, xerr=_error_bar(row, metric), fmt="o", color=BLUE, capsize=2)
            axes.set(xlabel=metric, ylim=(len(means) - 0.5, -0.5))
        panels[0].set(yticks=range(len(means)), yticklabels=[_label(row, settings) for row in means])
    return buffer.getvalue()


def _curves(means: Sequence[Row], axis: str, other_settings: Sequence[str], metrics: Sequence[str]) -> bytes:
    curves: dict[str, list[Row]] = {}
    for row in sorted(means, key=lambda row: float(row[axis])):
        curves.setdefault(_label(row, other_settings), []).append(row)
    with svg_figure(3.2, 0.8 + 2.8 * len(metrics)) as (figure, buffer):
        panels = figure.subplots(1, len(metrics), squeeze=False)[0]
        for index, (axes, metric) in enumerate(zip(panels, metrics, strict=True)):
            for colour, (name, rows) in zip((BLUE, ORANGE, GREEN, RED, GREY), curves.items(), strict=False):
                available = [row for row in rows if row.get(metric) is not None]
                positions, error_bars = [row[axis] for row in available], [_error_bar(row, metric) for row in available]
                label = name if index == 0 else None
                errors = np.hstack(error_bars) if available else None
                values = [row[metric] for row in available]
                axes.errorbar(
                    positions, values, yerr=errors, fmt="o-", color=colour, capsize=2, markersize=4, label=label
                )
            _number_axis(axes, sorted({row[axis] for row in means}), axis, metric)
        if any(curves):
            legend(figure)
    return buffer.getvalue()


def _number_axis(axes: Axes, values: Sequence[float], name: str, metric: str) -> None:
    if values[0] > 0 and values[-1] / values[0] >= 8:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(values, [f"{value:g}" for value in values], rotation=45)
    axes.set(xlabel=name, title=metric)


def _error_bar(row: Row, metric: str) -> np.ndarray:
    """Lengths of a metric's error bar below and above the value, (2, 1) float."""
    if f"{metric} low" in row:
        return np.array([[row[metric] - row[f"{metric} low"]], [row[f"{metric} high"] - row[metric]]]).clip(0)
    return np.full((2, 1), row.get(f"{metric} sd") or 0.0)


def _label(row: Mapping[str, object], settings: Sequence[str]) -> str:
    """Label a row by its settings on one line; a number is preceded by the name of its setting."""
    return " · ".join(_format_setting(name, row[name]) for name in settings if row.get(name) is not None)


def _format_setting(name: str, value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value) if isinstance(value, str) else f"{name.rpartition('.')[2]} {value}"
