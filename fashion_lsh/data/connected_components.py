"""Connected components of rows linked by equal values or by pairs (pure functions)."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def components_by_value(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Connected components of rows with an equal value in any column.  columns: (N,) str each -> (N,) int64.

    The number of a component is its first row. Empty strings are missing values and link no rows.
    """
    rows = np.arange(len(columns[0]))
    pairs = []
    for column in columns:
        value_ids = factorize(column)
        first_row = np.full(value_ids.max(initial=-1) + 1, len(rows))
        np.minimum.at(first_row, value_ids, rows)
        pairs.append(np.stack([first_row[value_ids], rows], axis=1))
    return connected_components(len(rows), np.concatenate(pairs))


def connected_components(count: int, pairs: np.ndarray) -> np.ndarray:
    """Connected components of `count` rows.  pairs: (P, 2) int64 -> first row of each row's component, (count,) int64.

    A row in no pair is a component of its own.
    """
    from scipy.sparse import coo_array  # slow to import, and not needed for searching
    from scipy.sparse.csgraph import connected_components as label_components

    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    labels = label_components(graph, directed=False)[1]
    return np.unique(labels, return_index=True)[1][labels]


def factorize(names: np.ndarray) -> np.ndarray:
    """Encode names, (N,) str, as ids, (N,) int64: equal names have equal ids, and each empty name has a unique id."""
    value_ids = pa.array(names, pa.string()).dictionary_encode().indices.to_numpy().astype(np.int64)
    return np.where(names == "", value_ids.max(initial=0) + 1 + np.arange(len(names)), value_ids)
