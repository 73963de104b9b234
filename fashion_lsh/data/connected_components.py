"""Connected components of rows, linked by shared values or by pairs (pure)."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def components_by_value(columns: Sequence[np.ndarray]) -> np.ndarray:
    """Connected components of rows that share a value in any column.  (N,) str each -> (N,) int64.

    A component is numbered by its first row; empty strings are missing values.
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
    """Connected components of `count` rows.  pairs: (P, 2) int64 -> (count,) int64, the first row of each component.

    A row in no pair is a component of its own.
    """
    group = np.arange(count)
    left, right = pairs.T
    while (differing := group[left] != group[right]).any():
        one, other = group[left[differing]], group[right[differing]]
        np.minimum.at(group, np.maximum(one, other), np.minimum(one, other))  # merge the roots
        while (group != group[group]).any():  # follow links to the root
            group = group[group]
    return group


def factorize(names: np.ndarray) -> np.ndarray:
    """Encode names as integers.  (N,) str -> (N,) int64; equal names share a number, each empty name has its own."""
    value_ids = pa.array(names, pa.string()).dictionary_encode().indices.to_numpy().astype(np.int64)
    return np.where(names == "", value_ids.max(initial=0) + 1 + np.arange(len(names)), value_ids)
