"""Figures as SVG with text elements: the fonts of the browser draw the characters of any script."""

import io
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fashion_lsh.report.curves import Curves, Reliability

BLUE, ORANGE, GREEN, RED, GREY = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#8a8a8a",
)  # colour-blind safe, by Okabe and Ito
WIDTH = 4.4  # inches; scaled to the width of a phone, 10-point text is displayed at 8 points
STYLE: Any = {
    "svg.fonttype": "none", "svg.hashsalt": "report", "text.parse_math": False, "axes.unicode_minus": False,
    "font.size": 10, "axes.labelsize": 10, "legend.fontsize": 9, "legend.frameon": False,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e4e4e4",
    "axes.axisbelow": True, "axes.edgecolor": "#777777", "figure.constrained_layout.use": True,
}  # fmt: skip
MIN_SPAN = 0.05  # minimum range of the score axis


def learning(curves: Curves) -> bytes:
    """Plot loss and validation scores of one stage by training step, as SVG.  curves: see `learning_curves`."""
    with svg_figure(3.0 + 1.6 * ("val/accuracy" in curves)) as (figure, buffer):
        extra_panels = [["val/accuracy"]] if "val/accuracy" in curves else []
        panels = figure.subplots(1 + len(extra_panels), 1, sharex=True, squeeze=False)[:, 0]
        _lines(panels[0], curves, {"train/loss": ("training", GREY), "val/loss": ("validation", BLUE)}, "loss")
        if extra_panels:
            lines = {"val/accuracy": ("accuracy", BLUE), "val/macro_f1": ("macro F1", ORANGE),
                     "val/code_map": ("mAP of the codes", GREEN)}  # fmt: skip
            _lines(panels[1], curves, lines, "validation score")
            bottom, top = panels[1].get_ylim()
            padding = max(0.0, MIN_SPAN - (top - bottom)) / 2  # a single epoch has no range
            panels[1].set_ylim(bottom - padding, top + padding)
        panels[-1].set_xlabel("training step (batches)")
    return buffer.getvalue()


def precision_recall(curves: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> bytes:
    """Plot precision-recall curves as SVG, the first on top.  curves: (l,) recall and (l,) precision by name."""
    few_styles = [{"color": GREEN, "linestyle": "--"}, {"color": RED, "linestyle": ":"}]
    many_styles = [
        {"color": mpl.colormaps["tab20"](number % 20), "linewidth": 1.2, "marker": ""} for number in range(len(curves))
    ]
    line_styles: list[dict[str, Any]] = [
        {"color": BLUE, "linewidth": 2.2},
        *(few_styles if len(curves) <= 3 else many_styles),
    ]
    with svg_figure(3.4) as (figure, buffer):
        axes = figure.subplots()
        for order, (name, (recall, precision)) in enumerate(curves.items()):
            axes.plot(
                recall,
                precision,
                label=name,
                zorder=5 - order,
                **{"marker": ".", "markersize": 4, **line_styles[order]},
            )
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.05))
        legend(figure)
    return buffer.getvalue()


def precision_at_ranks(lines: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> bytes:
    """Plot precision by number of hits as SVG.  lines: (n,) numbers of hits and (n,) precision by name."""
    with svg_figure(3.4) as (figure, buffer):
        axes = figure.subplots()
        for number, (name, (counts, precision)) in enumerate(lines.items()):
            axes.plot(counts, precision, label=name, color=mpl.colormaps["tab10"](number % 10), marker=".")
        axes.set(xlabel="hits N", ylabel="precision", xscale="log", ylim=(0, 1.05))
        legend(figure)
    return buffer.getvalue()


def hamming(panels: Sequence[Mapping[str, np.ndarray]]) -> bytes:
    """Plot the fraction of pairs at each Hamming distance as SVG.  panels: (L,) counts by name, drawn top down."""
    with svg_figure(1.3 + 1.9 * len(panels)) as (figure, buffer):
        panel_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, counts in zip(panel_axes, panels, strict=True):
            for (name, histogram), (colour, linestyle) in zip(counts.items(), ((RED, "-"), (BLUE, "--")), strict=True):
                ratios, distances = histogram / max(1, histogram.sum()), np.arange(len(histogram))
                axes.plot(distances, ratios, color=colour, linestyle=linestyle, drawstyle="steps-mid", label=name)
                axes.fill_between(distances, ratios, step="mid", color=colour, alpha=0.15)
            axes.set(ylabel="fraction of pairs", xlim=(-0.5, len(histogram) - 0.5))
            axes.set_ylim(bottom=0)
            axes.legend(loc="best")
        panel_axes[-1].set_xlabel("Hamming distance (bits)")
    return buffer.getvalue()


def reliability(diagram: Reliability, intervals: np.ndarray) -> bytes:
    """Plot a reliability diagram, with the number of queries in each bin, as SVG.

    intervals: (BINS, 2) float, lower and upper bound of the accuracy; NaN for empty bins.
    """
    bins = len(diagram.counts)
    centres, nonempty = (np.arange(bins) + 0.5) / bins, diagram.counts > 0
    with svg_figure(4.6) as (figure, buffer):
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        upper.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="perfect calibration")
        upper.bar(centres[nonempty], diagram.accuracy[nonempty], 0.9 / bins, color=BLUE, alpha=0.35, label="accuracy")
        accuracy, bounds = diagram.accuracy[nonempty], intervals[nonempty]
        errors = np.abs(bounds.T - accuracy)
        upper.errorbar(
            diagram.confidence[nonempty], accuracy, yerr=errors, fmt="o", color=BLUE, markersize=4, capsize=2,
            label="bin mean",
        )  # fmt: skip
        upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
        legend(figure)
        lower.bar(centres, diagram.counts, 0.9 / bins, color=GREY)
        lower.set(xlabel="confidence (calibrated probability)", ylabel="queries")
        lower.yaxis.set_major_locator(mpl.ticker.MaxNLocator(3, integer=True))
    return buffer.getvalue()


@contextmanager
def svg_figure(height: float, width: float = WIDTH) -> Iterator[tuple[Figure, io.BytesIO]]:
    """Yield a figure, sized in inches, and a buffer, to which the figure is written as SVG when the block ends."""
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # A missing glyph is measured as a box; the browser draws it in another font.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = Figure((width, height))
        yield figure, buffer
        figure.savefig(buffer, format="svg", metadata={"Date": None}, dpi=150)  # deterministic without a date


def legend(figure: Figure) -> None:
    """Draw one legend for all panels, above the panels."""
    figure.legend(loc="outside upper left", ncols=3, columnspacing=1.2, handlelength=1.8)


def _lines(axes: Axes, curves: Curves, lines: Mapping[str, tuple[str, str]], label: str) -> None:
    for name, (title, colour) in lines.items():
        if name in curves:
            steps, _, values = curves[name].T
            line_style = {"marker": "o", "markersize": 4} if name.startswith("val/") else {"linewidth": 1.0}
            axes.plot(steps + 1, values, color=colour, label=title, **line_style)
    axes.set_ylabel(label)
    axes.legend(loc="best")
