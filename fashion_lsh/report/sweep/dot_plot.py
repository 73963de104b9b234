"""Figure of a sweep: a dot with an error bar for each row, or curves over a numeric setting."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from fashion_lsh.report.figures import BLUE, GREEN, GREY, ORANGE, RED, legend, svg_figure
from fashion_lsh.report.sweep.metrics import METRICS
from fashion_lsh.report.sweep.rows import Estimate, SweepRow

MAX_PANELS = 3
MIN_POINTS, MAX_CURVES = 3, 5  # minimum number of values on a numeric axis; maximum number of curves
ROW_HEIGHT = 0.24  # inches
RATIO_METRICS = [name for name in METRICS if name not in (  # metrics between 0 and 1
    "queries", "distinct codes", "search ms", "network ms", "parameters", "FLOPs", "feature bytes", "code bytes",
    "quantisation error", "chance",
)]  # fmt: skip


def dot_plot(means: Sequence[SweepRow], settings: Sequence[str], metrics: Sequence[str]) -> bytes | None:
    """Plot the rows of a sweep as SVG; None if fewer than two rows can be compared.

    Args:
        means: rows averaged over seeds.
        settings: settings in which the rows differ.
        metrics: titles in METRICS; the first MAX_PANELS metrics between 0 and 1 are drawn.
    """
    settings = _distinguishing(means, settings)
    plotted = [name for name in metrics if name in RATIO_METRICS and sum(name in row.metrics for row in means) > 1]
    if not plotted or not settings:
        return None
    axis = _axis(means, settings)
    if axis:
        return _curves(means, axis, [name for name in settings if name != axis], plotted[:MAX_PANELS])
    return _rows(means, settings, plotted[:MAX_PANELS])


def _axis(means: Sequence[SweepRow], settings: Sequence[str]) -> str:
    """Select a numeric setting with at least MIN_POINTS values and at most MAX_CURVES curves; "" if there is none."""
    for name in settings:
        values = [row.settings[name] for row in means]
        is_numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        curve_labels = {_label(row, [other for other in settings if other != name]) for row in means}
        if is_numeric and len(set(values)) >= MIN_POINTS and len(curve_labels) <= MAX_CURVES:
            return name
    return ""


def _distinguishing(means: Sequence[SweepRow], settings: Sequence[str]) -> list[str]:
    """Select the settings that are needed to distinguish the rows, and always the first setting."""
    selected = [name for name in settings if name != "seeds"]
    for name in reversed(selected[1:]):
        fewer = [other for other in selected if other != name]
        if len({_label(row, fewer) for row in means}) == len({_label(row, selected) for row in means}):
            selected = fewer
    return selected


def _rows(means: Sequence[SweepRow], settings: Sequence[str], metrics: Sequence[str]) -> bytes:
    with svg_figure(0.9 + ROW_HEIGHT * len(means), 2.2 + 2.4 * len(metrics)) as (figure, buffer):
        panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            for position, row in enumerate(means):
                if estimate := row.metrics.get(metric):
                    axes.errorbar(estimate.value, position, xerr=_error_bar(estimate), fmt="o", color=BLUE, capsize=2)
            axes.set(xlabel=metric, ylim=(len(means) - 0.5, -0.5))
        panels[0].set(yticks=range(len(means)), yticklabels=[_label(row, settings) for row in means])
    return buffer.getvalue()


def _curves(means: Sequence[SweepRow], axis: str, other_settings: Sequence[str], metrics: Sequence[str]) -> bytes:
    curves: dict[str, list[SweepRow]] = {}
    for row in sorted(means, key=lambda row: float(row.settings[axis])):
        curves.setdefault(_label(row, other_settings), []).append(row)
    with svg_figure(3.2, 0.8 + 2.8 * len(metrics)) as (figure, buffer):
        panels = figure.subplots(1, len(metrics), squeeze=False)[0]
        for index, (axes, metric) in enumerate(zip(panels, metrics, strict=True)):
            for colour, (name, rows) in zip((BLUE, ORANGE, GREEN, RED, GREY), curves.items(), strict=False):
                available = [row for row in rows if metric in row.metrics]
                positions = [row.settings[axis] for row in available]
                estimates = [row.metrics[metric] for row in available]
                label = name if index == 0 else None
                errors = np.hstack([_error_bar(estimate) for estimate in estimates]) if available else None
                values = [estimate.value for estimate in estimates]
                axes.errorbar(
                    positions, values, yerr=errors, fmt="o-", color=colour, capsize=2, markersize=4, label=label
                )
            _number_axis(axes, sorted({row.settings[axis] for row in means}), axis, metric)
        if any(curves):
            legend(figure)
    return buffer.getvalue()


def _number_axis(axes: Axes, values: Sequence[float], name: str, metric: str) -> None:
    if values[0] > 0 and values[-1] / values[0] >= 8:
        axes.set_xscale("log")
        axes.minorticks_off()
    axes.set_xticks(values, [f"{value:g}" for value in values], rotation=45)
    axes.set(xlabel=name, title=metric)


def _error_bar(estimate: Estimate) -> np.ndarray:
    """Lengths of an error bar below and above the value, (2, 1) float."""
    if not math.isnan(estimate.low):
        return np.array([[estimate.value - estimate.low], [estimate.high - estimate.value]]).clip(0)
    return np.full((2, 1), 0.0 if math.isnan(estimate.sd) else estimate.sd)


def _label(row: SweepRow, settings: Sequence[str]) -> str:
    """Label a row by its settings on one line; a number is preceded by the name of its setting."""
    shown = [name for name in settings if row.settings.get(name) is not None]
    return " · ".join(_format_setting(name, row.settings[name]) for name in shown)


def _format_setting(name: str, value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value) if isinstance(value, str) else f"{name.rpartition('.')[2]} {value}"
