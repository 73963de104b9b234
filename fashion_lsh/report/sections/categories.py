"""Accuracy and retrieval scores by category, with confidence intervals."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fashion_lsh.metrics.statistics import item_interval
from fashion_lsh.report import category_figures
from fashion_lsh.report.blocks import Block, Download, Figure, Table, Text
from fashion_lsh.report.page_file import Row, to_csv
from fashion_lsh.report.phrases import one_line
from fashion_lsh.report.run_data import RunData

MAX_PLOTTED = 20  # maximum number of categories in the figure
INTERVALS = (
    "Error bars: 95 % confidence intervals (over items), for categories with more than one item. Dashed: "
    "mean over all queries."
)
Interval = Callable[[np.ndarray, np.ndarray], tuple[float, float]]
SCORES = {"category AP@100": "category/map@100", "item recall@10": "item/recall@10"}


class CategoryScore(NamedTuple):
    """Mean score of the queries of a category, with its 95 % interval.

    Attributes:
        value: mean over the queries with a score; NaN without any.
        low, high: bounds of the interval; NaN for fewer than two items, whose variation is unknown.
        n: number of queries with a score.
    """

    value: float
    low: float
    high: float
    n: int


def categories(run_data: RunData) -> list[Block]:
    """Plot the scores of the worst categories; tabulate all of them, on the page and as CSV."""
    scores = query_scores(run_data)
    if not scores:
        return [Text("Skipped: no query has a garment of its category in the gallery.", note=True)]
    caption = f"Means over the queries of a category; the lowest {next(iter(scores))} first."
    return category_blocks(run_data.column("category"), run_data.column("item"), scores, caption)


def category_blocks(
    categories: np.ndarray,
    items: np.ndarray,
    scores: Mapping[str, np.ndarray],
    caption: str,
    order: Callable[[float], float] = float,
    interval: Interval = item_interval,
) -> list[Block]:
    """Figure, table and CSV of mean scores by category.

    Args:
        categories, items: (Q,) str.
        scores: (Q,) float by title, NaN for a query without a score; not empty.
        caption: sentences that describe values and order.
        order: sort key of the mean of the first score; the first MAX_PLOTTED categories are plotted.
        interval: function of values and items, (Q,) each, that returns the bounds of the interval of the mean.
    """
    means = category_scores(categories, items, scores, interval)
    first, *_ = scores
    names = sorted(means, key=lambda name: (means[name][first].n == 0, order(means[name][first].value), name))
    plotted, num_left_out = names[:MAX_PLOTTED], len(names[MAX_PLOTTED:])
    caption += f" Without the other {num_left_out} categories, which are in the table." if num_left_out else ""
    panels = {title: np.array([means[name][title][:3] for name in plotted]) for title in scores}
    overall = {title: float(np.nanmean(values)) for title, values in scores.items()}
    svg, width = category_figures.category_scores([one_line(name) for name in plotted], panels, overall)
    rows = [[one_line(name), *(cell for title in scores for cell in _cells(means[name][title]))] for name in names]
    columns = ["category", *(cell for title in scores for cell in (title, "queries"))]
    return [
        Figure("categories.svg", svg, f"{caption} {INTERVALS}", width),
        Table(columns, rows, summary=f"All {len(names)} categories"),
        Download("categories.csv", _csv(names, means), "the same table."),
    ]


def category_scores(
    categories: np.ndarray,
    items: np.ndarray,
    scores: Mapping[str, np.ndarray],
    interval: Interval = item_interval,
) -> dict[str, dict[str, CategoryScore]]:
    """Mean of each score by category: category -> title of the score -> CategoryScore.

    categories and items: (Q,) str; scores: (Q,) float each, NaN for a query without a score.
    """
    return {
        name: {
            title: _mean(values[categories == name], items[categories == name], interval)
            for title, values in scores.items()
        }
        for name in sorted(set(categories))
    }


def _mean(values: np.ndarray, items: np.ndarray, interval: Interval) -> CategoryScore:
    has_score = ~np.isnan(values)
    values, items = values[has_score], items[has_score]
    num_items = len(set(items) - {""}) + int((items == "").sum())
    low, high = interval(values, items) if num_items > 1 else (np.nan, np.nan)
    return CategoryScore(float(values.mean()) if len(values) else np.nan, low, high, len(values))


def query_scores(run_data: RunData) -> dict[str, np.ndarray]:
    """Scores of the single queries by title, (Q,) float each; scores that no query has are left out."""
    scores: dict[str, np.ndarray] = {}
    if run_data.has_known_categories:
        scores["top-1 accuracy"] = (run_data.column("category") == run_data.column("predicted")).astype(float)
    for title, column in SCORES.items():
        if run_data.has(column) and not np.isnan(run_data.column(column)).all():
            scores[title] = run_data.column(column).astype(float)
    return scores


def _cells(score: CategoryScore) -> tuple[str, str]:
    if not score.n:
        return "–", "0"
    interval = "" if np.isnan(score.low) else f" [{score.low:.3f}, {score.high:.3f}]"
    return f"{score.value:.3f}{interval}", f"{score.n:,}"


def _csv(names: Sequence[str], scores: Mapping[str, Mapping[str, CategoryScore]]) -> bytes:
    rows: list[Row] = [
        {"category": name}
        | {f"{title}{suffix}": value
           for title, score in scores[name].items()
           for suffix, value in zip(("", " low", " high", " queries"), score, strict=True)}
        for name in names
    ]  # fmt: skip
    return to_csv(rows).encode()
