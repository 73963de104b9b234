"""Figures with a row for each category: confusion matrix, and scores with intervals."""

import textwrap
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.textpath import TextPath

from fashion_lsh.report.figures import BLUE, GREY, MIN_SPAN, STYLE, svg_figure
from fashion_lsh.report.phrases import percent

LINE_HEIGHT = 0.145  # inches between the lines of a category name
MAX_ANNOTATED = 15  # maximum number of categories for which the confusion matrix shows counts


def confusion_matrix(counts: np.ndarray, ratios: np.ndarray, names: Sequence[str]) -> tuple[bytes, int]:
    """Plot a confusion matrix as SVG; also return the width in pixels at which the figure is readable.

    Args:
        counts: (C, C) int, shown in the cells for at most MAX_ANNOTATED categories.
        ratios: (C, C) float, 0..1, shown as colours of the cells.
        names: C category names.
    """
    labels = _labels(names)
    cell = max(
        0.42 if len(names) <= MAX_ANNOTATED else 0.24,
        LINE_HEIGHT * (0.3 + max(label.count("\n") + 1 for label in labels)),
    )
    margin = 0.4 + _label_width(labels)
    matrix_size, colorbar_width = cell * len(names), 0.85
    size = (margin + matrix_size + colorbar_width, margin + matrix_size + 0.15)
    with svg_figure(size[1], size[0]) as (figure, buffer):
        figure.set_layout_engine("none")
        axes = figure.add_axes((margin / size[0], margin / size[1], matrix_size / size[0], matrix_size / size[1]))
        image = axes.imshow(ratios, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
        _draw_grid(axes, len(names))
        _draw_labels(axes, labels, cell)
        figure.text(0.12 / size[0], (margin + matrix_size / 2) / size[1], "true", rotation=90, ha="center", va="center")
        figure.text((margin + matrix_size / 2) / size[0], 0.12 / size[1], "predicted", ha="center", va="center")
        if len(names) <= MAX_ANNOTATED:
            _draw_counts(axes, counts, ratios)
        colorbar_box = (
            (margin + matrix_size + 0.12) / size[0],
            margin / size[1],
            0.12 / size[0],
            matrix_size / size[1],
        )
        figure.colorbar(image, cax=figure.add_axes(colorbar_box), format=lambda value, _: percent(value, 0))
    return buffer.getvalue(), round(96 * size[0])


def category_scores(
    names: Sequence[str], panels: Mapping[str, np.ndarray], means: Mapping[str, float]
) -> tuple[bytes, int]:
    """Plot scores by category with error bars as SVG; also return the width in pixels at which it is readable.

    Args:
        names: C category names, drawn top down.
        panels: (C, 3) float value and bounds by title, one panel each; without an error bar if a bound is NaN.
        means: value of the dashed line by title.
    """
    labels = _labels(names)
    row = max(0.22, LINE_HEIGHT * (0.3 + max(label.count("\n") + 1 for label in labels)))
    margin, panel, height = 0.15 + _label_width(labels), 2.1, row * len(names)
    size = (margin + panel * len(panels), height + 0.9)
    with svg_figure(size[1], size[0]) as (figure, buffer):
        figure.set_layout_engine("none")
        for number, (title, scores) in enumerate(panels.items()):
            left = (margin + panel * number) / size[0]
            axes = figure.add_axes((left, 0.35 / size[1], (panel - 0.35) / size[0], height / size[1]))
            _draw_scores(axes, scores)
            axes.axvline(means[title], color=GREY, linestyle="--", linewidth=1)
            axes.set_title(title, fontsize=10)
            axes.set_ylim(len(names) - 0.5, -0.5)
            axes.set_yticks(range(len(names)), labels if number == 0 else [""] * len(names), fontsize=9)
            axes.tick_params(axis="y", length=0)
    return buffer.getvalue(), round(96 * size[0])


def _draw_scores(axes: Axes, scores: np.ndarray) -> None:
    """Draw (C, 3) value and bounds, one row each, on an axis with 0 and all bounds."""
    left, right = np.nanmin(scores, initial=0.0), np.nanmax(scores, initial=0.0)
    padding = max(MIN_SPAN, right - left) * 0.05
    axes.set_xlim(left - padding, right + padding)
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(4))
    for position, (value, low, high) in enumerate(scores):
        error = None if np.isnan(low) else np.array([[value - low], [high - value]]).clip(0)
        axes.errorbar(value, position, xerr=error, fmt="o", color=BLUE, markersize=4, capsize=2, elinewidth=1.2)


def _labels(names: Sequence[str]) -> list[str]:
    """Wrap names to lines of at most 26 characters."""
    return ["\n".join(textwrap.wrap(name, 26)) or name for name in names]


def _label_width(labels: Sequence[str]) -> float:
    """Upper bound of the width in inches of the labels."""
    return max(_text_width(line, 9) for label in labels for line in label.split("\n"))


def _draw_labels(axes: Axes, labels: Sequence[str], cell: float) -> None:
    """Draw the names of rows and columns, one text element per line, aligned with the matrix."""
    row_style: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": 9}
    column_style = row_style | {"rotation": 90, "rotation_mode": "anchor"}
    for index, label in enumerate(labels):
        lines = label.split("\n")
        centres = [index + (number - (len(lines) - 1) / 2) * LINE_HEIGHT / cell for number in range(len(lines))]
        for centre, line in zip(centres, lines, strict=True):
            axes.text(-0.6, centre, line, **row_style)
        for centre, line in zip(centres, lines, strict=True):
            axes.text(centre, len(labels) - 0.4, line, **column_style)


def _draw_grid(axes: Axes, num_cells: int) -> None:
    """Draw white lines between the cells, without ticks."""
    axes.set(xticks=[], yticks=[])
    axes.set_xticks(np.arange(1, num_cells) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, num_cells) - 0.5, minor=True)
    axes.grid(True, which="minor", color="white", linewidth=1)
    axes.tick_params(which="minor", length=0)


def _draw_counts(axes: Axes, counts: np.ndarray, ratios: np.ndarray) -> None:
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if ratios[row, column] > 0.55 else "#222222"
            axes.text(column, row, f"{count}", ha="center", va="center", fontsize=8, color=colour)


def _text_width(text: str, size: int) -> float:
    """Upper bound of the width in inches of a line at `size` points; wide East Asian characters count as W."""
    measured = "".join("W" if unicodedata.east_asian_width(character) in "WF" else character for character in text)
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        return float(TextPath((0, 0), measured, size=size).get_extents().xmax) * 1.05 / 72
