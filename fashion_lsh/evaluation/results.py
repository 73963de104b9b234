"""Build and save the query table, which has one row per query with all scores."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.io.files import atomic_write
from fashion_lsh.metrics.ranking import Scores

QUERY_COLUMNS = ("id", "category", "item")


def query_table(
    label: str, query: Catalogue, outputs: Mapping[str, Sequence[Any] | np.ndarray], scores: Mapping[str, Scores]
) -> pa.Table:
    """Build the table of one search policy, with id, true category, item, outputs and scores of each query.

    Args:
        label: label of the search policy.
        query: Q catalogue rows.
        outputs: (Q,) each: `predicted` category, its `confidence`, ids of the first `hits`, and `search_ms`.
        scores: relevance (`category` or `item`) -> metric -> (Q,).
    """
    columns: dict[str, Any] = {"search": [label] * len(query)}
    columns |= {name: query.column(name) for name in QUERY_COLUMNS}
    columns |= outputs
    columns |= {
        f"{relevance}/{name}": values for relevance, by_metric in scores.items() for name, values in by_metric.items()
    }
    return pa.table(columns)


def write_queries(path: Path, table: pa.Table) -> None:
    """Write the rows of one search policy to a Parquet file, replacing older rows of the same policy in the file.

    Raises:
        ValueError: the file is damaged.
        OSError: the file could not be written.
    """
    if path.exists():
        try:
            existing = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise ValueError(
                f"{path} is damaged ({error}); remove this file and metrics.json, and run the train.py command again"
            ) from error
        other_policies = existing.filter(pc.not_equal(existing["search"], table["search"][0]))
        table = pa.concat_tables([other_policies, table], promote_options="default")
    with atomic_write(path) as temporary:
        pq.write_table(table, temporary)


def scores_by_shared_garment(item_scores: Scores, query: Catalogue, gallery: Catalogue) -> dict[str, float]:
    """Mean item scores of the queries whose garment is also in another item of the gallery, and of all other queries.

    A subset in which no query has a relevant row is skipped.
    """
    items_by_group: dict[str, set[str]] = defaultdict(set)
    for group, item in zip(gallery.column("group"), gallery.column("item"), strict=True):
        items_by_group[group].add(item)
    queries = zip(query.column("group"), query.column("item"), strict=True)
    is_shared = np.array([group != "" and bool(items_by_group[group] - {item}) for group, item in queries])
    subsets = {"garment_shared": is_shared, "garment_unshared": ~is_shared}
    return {
        f"query/item/{name}_{subset}": float(np.nanmean(values[in_subset]))
        for subset, in_subset in subsets.items()
        for name, values in item_scores.items()
        if not np.isnan(values[in_subset]).all()
    }
