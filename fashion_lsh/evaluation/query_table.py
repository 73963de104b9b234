"""Query table of a run: one row per query and method, with the scores of the query."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.io.files import atomic_write
from fashion_lsh.metrics.ranking import Scores
from fashion_lsh.metrics.results import CLASSIFIER, QUERY_METRICS, SEARCH, WHOLE_GALLERY, Column, Result, score_name

QUERY_COLUMNS = ("id", "category", "item")


def query_table(
    method: tuple[str, str],
    query: Catalogue,
    scores: Mapping[str, Scores],
    outputs: Mapping[str, Sequence[Any] | np.ndarray] | None = None,
) -> pa.Table:
    """Build the table of one method: id, true category and item of each query, its outputs and its QUERY_METRICS.

    Args:
        method: name and scope of the method.
        query: Q catalogue rows.
        scores: relevance (`category` or `item`) -> (metric, k) -> (Q,).
        outputs: (Q,) each; for the run's own search `predicted` category, its `confidence`, ids of the first `hits`,
            the `code` and `search_ms`.
    """
    columns: dict[str, Any] = {"method": [method[0]] * len(query), "scope": [method[1]] * len(query)}
    columns |= {name: query.column(name) for name in QUERY_COLUMNS}
    columns |= outputs or {}
    columns |= {
        score_name(relevance, metric, k): values.astype(np.float32)
        for relevance, by_metric in scores.items()
        for (metric, k), values in by_metric.items()
        if (metric, k) in QUERY_METRICS
    }
    return pa.table(columns)


def write_queries(path: Path, table: pa.Table) -> None:
    """Write the rows of methods to a Parquet file, replacing older rows of the same methods and scopes in the file.

    Raises:
        ValueError: the file is damaged.
        OSError: the file could not be written.
    """
    if path.exists():
        try:
            existing = pq.read_table(path)
            kept = existing.filter(pc.invert(_is_in(existing, table)))
        except (OSError, KeyError, pa.ArrowException) as error:
            raise ValueError(
                f"{path} is damaged ({error}); remove this file and metrics.json, and run the train command again"
            ) from error
        table = pa.concat_tables([kept, table], promote_options="default")
    with atomic_write(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def _is_in(table: pa.Table, other: pa.Table) -> pa.Array:
    """True for each row of `table` whose method and scope are in `other`."""
    keys, other_keys = (pc.binary_join_element_wise(each["method"], each["scope"], "\n") for each in (table, other))
    return pc.is_in(keys, pc.unique(other_keys))


def shared_garment_results(item_scores: Scores, query: Catalogue, gallery: Catalogue, **fields: Any) -> list[Result]:
    """Mean item scores of the queries whose garment is also in another item of the gallery, and of all other queries.

    A subset in which no query has a relevant row is skipped. fields: further fields of each Result.
    """
    items_by_group: dict[str, set[str]] = defaultdict(set)
    for group, item in zip(gallery.column("group"), gallery.column("item"), strict=True):
        items_by_group[group].add(item)
    queries = zip(query.column("group"), query.column("item"), strict=True)
    is_shared = np.array([group != "" and bool(items_by_group[group] - {item}) for group, item in queries])
    subsets = {"garment_shared": is_shared, "garment_unshared": ~is_shared}
    return [
        Result(
            f"{metric}_{subset}",
            float(np.nanmean(values[in_subset])),
            k=k,
            relevance="item",
            n=int(np.isfinite(values[in_subset]).sum()),
            **fields,
        )
        for subset, in_subset in subsets.items()
        for (metric, k), values in item_scores.items()
        if (metric, k) in QUERY_METRICS and not np.isnan(values[in_subset]).all()
    ]


class QueryScores:
    """Scores of the single queries of a run, read from its query table on demand.

    Args:
        path: queries.parquet of a run, or the query table of a job.
        search: method and scope of the run's own search.

    Raises (all methods):
        ValueError: the file is damaged.
    """

    def __init__(self, path: Path, search: tuple[str, str]) -> None:
        self.path, self.search = path, search

    @cached_property
    def ids(self) -> np.ndarray:
        """Ids of the queries, (Q,) str."""
        return self._own("id")

    @cached_property
    def groups(self) -> np.ndarray:
        """Row of the first query of the same item, or own row of a query without an item, (Q,) int64."""
        items = self._own("item")
        _, first_rows, item_ids = np.unique(items, return_index=True, return_inverse=True)
        return np.where(items == "", np.arange(len(items)), first_rows[item_ids])

    def scores(self, column: Column) -> np.ndarray | None:
        """Scores of a column, (Q,) float, NaN for queries without relevant rows; None if the method has none.

        The accuracy of the classifier is 1 for a query whose predicted category is the true category, else 0.
        """
        if column.condition or column.category or column.split != "query":
            return None
        if (column.method, column.metric, column.k) == (CLASSIFIER, "accuracy", 0):
            return (self._own("predicted") == self._own("category")).astype(np.float64)
        name = score_name(column.relevance, column.metric, column.k)
        table = self._read(column.method, column.scope, name)
        return None if table is None or table[name].null_count == len(table) else table[name].to_numpy()

    def _own(self, name: str) -> np.ndarray:
        table = self._read(SEARCH, None, name)
        if table is None:
            raise ValueError(f"{self.path} is damaged (no column {name!r}); remove it and run its job again")
        return np.asarray(table[name].to_pylist(), dtype=str)

    def _read(self, method: str, scope: str | None, name: str) -> pa.Table | None:
        """Read one column of one method; None if the file does not have the column."""
        method, scope = self.search if method == SEARCH else (method, scope or WHOLE_GALLERY)
        try:
            if name not in pq.read_schema(self.path).names:
                return None
            return pq.read_table(self.path, columns=[name], filters=[("method", "=", method), ("scope", "=", scope)])
        except (OSError, pa.ArrowException) as error:
            raise ValueError(f"{self.path} is damaged ({error}); remove it and run its job again") from error
