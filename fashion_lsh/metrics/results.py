"""Results as rows of one long table: a value with its method, relevance, metric and cutoff rank."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from fashion_lsh.metrics.ranking import ALL, Scores
from fashion_lsh.metrics.statistics import item_interval, macro_mean

WHOLE_GALLERY = "whole gallery"  # scope of a search that scans all rows
ONE_LIST = "1 list"  # scope of a search in the list of the predicted category
CLASSIFIER = "classifier"  # method of the classification results
CropMode = Literal["whole", "annotated", "detected", "detected_or_whole"]
CROP_MODES: tuple[CropMode, ...] = get_args(CropMode)
# metrics and cutoff ranks with scores of the single queries in queries.parquet
QUERY_METRICS = {
    ("map", 100), ("map", ALL), ("ndcg", 10), ("mrr", ALL), ("recall", 1), ("recall", 10), ("precision", 10),
}  # fmt: skip
MACRO_METRICS = {"map", "ndcg", "recall"}  # metrics that are also averaged over the categories
SEARCH = "search"  # the method of a run's own search, in lookups and in flat names


class Result(NamedTuple):
    """One result.

    Attributes:
        metric: name without the cutoff rank, for example `map`.
        value: value, a mean over queries for scores.
        low, high: bounds of the 95 % confidence interval; NaN if not computed.
        k: cutoff rank; for `radius_precision` the Hamming radius; 0 if the metric has none.
        method: `classifier`, `detector`, `model`, `data`, a distance such as `rerank 1000`, or a baseline (`lsh`).
        scope: rows that a search scans, for example `1 list` or `whole gallery`; boxes that a detector metric counts.
        relevance: what makes a hit relevant, `category` or `item`; "" for metrics without relevance.
        category: category that the value is limited to; "" for all categories.
        split: evaluated part of the data.
        condition: change of the images, for example `crop=whole` or `corruption=blur`; "" for none.
        bits: code length of the method; 0 without codes.
        n: number of scored queries; 0 if the value is not a mean over queries.
    """

    metric: str
    value: float
    low: float = math.nan
    high: float = math.nan
    k: int = 0
    method: str = ""
    scope: str = ""
    relevance: str = ""
    category: str = ""
    split: str = "query"
    condition: str = ""
    bits: int = 0
    n: int = 0

    @property
    def has_interval(self) -> bool:
        """True if the bounds were computed."""
        return not math.isnan(self.low)


class Column(NamedTuple):
    """Result to look up in a ResultTable; the fields are those of Result.

    Attributes:
        scope: None: any scope, the first row counts.
    """

    method: str
    metric: str
    k: int = 0
    relevance: str = ""
    category: str = ""
    split: str = "query"
    condition: str = ""
    scope: str | None = None


class ResultTable:
    """All results of a run.

    Args:
        rows: results.
        search: method and scope of the run's own search.

    Raises:
        ValueError: two rows differ only in value, bounds, bits or n.
    """

    def __init__(self, rows: Iterable[Result], search: tuple[str, str]) -> None:
        self.rows, self.search = list(rows), search
        self._by_column: dict[Column, Result] = {}
        for row in self.rows:
            column = column_of(row)
            if column in self._by_column:
                raise ValueError(f"two results of {column}; keep one of them")
            self._by_column[column] = row
            self._by_column.setdefault(column._replace(scope=None), row)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def find(self, column: Column) -> Result | None:
        """Return the result of a column, or None; the method SEARCH stands for the run's own search."""
        if column.method == SEARCH:
            column = column._replace(method=self.search[0], scope=self.search[1])
        return self._by_column.get(column)

    def value(self, method: str, metric: str, k: int = 0, **fields: Any) -> float | None:
        """Return one value, or None; `fields` are further fields of Column."""
        row = self.find(Column(method, metric, k, **fields))
        return None if row is None else row.value

    def select(self, **fields: Any) -> list[Result]:
        """Return the rows with these values of fields."""
        return [row for row in self.rows if all(getattr(row, name) == value for name, value in fields.items())]

    def methods(self) -> list[tuple[str, str]]:
        """Return method and scope of each search: the run's own first, the others in the order of their names."""
        scored = {(row.method, row.scope) for row in self.rows if row.relevance and row.metric == "map"}
        return [self.search, *sorted(scored - {self.search})]

    def replace(self, rows: Iterable[Result]) -> "ResultTable":
        """Return a table in which `rows` replace the rows with the same columns, or are added."""
        added = {column_of(row): row for row in rows}
        kept = [row for row in self.rows if column_of(row) not in added]
        return ResultTable([*kept, *added.values()], self.search)

    def by_flat_name(self, name: str) -> Result | None:
        """Return the result with a flat name (see `flat`), or None."""
        return next((row for row in self.rows if self._flat_name(row) == name), None)

    def flat(self) -> dict[str, float]:
        """Return the values by flat name, for trackers: `search/category/map@100`, `lsh/item/recall@10`.

        A flat name joins condition, method, split, scope, relevance, category and metric, without empty fields, the
        split `query` and the scope `whole gallery`.
        """
        return {self._flat_name(row): row.value for row in self.rows}

    def _flat_name(self, row: Result) -> str:
        is_own = (row.method, row.scope) == self.search
        method, scope = (SEARCH, "") if is_own else (row.method, "" if row.scope == WHOLE_GALLERY else row.scope)
        split = "" if row.split == "query" else row.split
        parts = [row.condition, method, split, scope, row.relevance, row.category, metric_name(row.metric, row.k)]
        return "/".join(filter(None, parts))


def crop_condition(mode: str) -> str:
    """Condition of results with another crop mode, one of CROP_MODES."""
    return f"crop={mode}"


def metric_name(metric: str, k: int) -> str:
    """Join a metric and its cutoff rank: `map@100`; without a cutoff rank, the metric alone."""
    return f"{metric}@{k}" if k else metric


def score_name(relevance: str, metric: str, k: int) -> str:
    """Name of the column of queries.parquet with the scores of the single queries: `category/map@100`."""
    return f"{relevance}/{metric_name(metric, k)}"


def mean_results(
    scores: Mapping[str, Scores], items: np.ndarray, categories: np.ndarray, **fields: Any
) -> list[Result]:
    """Mean of each metric over the queries with relevant rows (no NaN), and macro averages of MACRO_METRICS.

    A mean has a 95 % confidence interval (see `item_interval`). A macro average, `macro_map` for the metric `map`, is
    the mean of the means of the categories.

    Args:
        scores: relevance (`category` or `item`) -> (metric, k) -> (Q,) float, NaN for a query without relevant rows.
        items: (Q,) str, "" for a query without an item.
        categories: (Q,) str, category of each query.
        fields: further fields of each Result.
    """
    results: list[Result] = []
    for relevance, by_metric in scores.items():
        for (metric, k), values in by_metric.items():
            bounds = item_interval(values, items)
            shared: dict[str, Any] = {"k": k, "relevance": relevance, "n": int((~np.isnan(values)).sum())} | fields
            results.append(Result(metric, float(np.nanmean(values)), *bounds, **shared))
            if metric in MACRO_METRICS:
                results.append(Result(f"macro_{metric}", macro_mean(values, categories), **shared))
    return results


def column_of(row: Result) -> Column:
    """Return the column that finds a result."""
    return Column(row.method, row.metric, row.k, row.relevance, row.category, row.split, row.condition, row.scope)
