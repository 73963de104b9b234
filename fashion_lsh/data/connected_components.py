"""Rows that belong together: by a name they share, by pairs, directly or through others (pure)."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def components_by_value(columns: Sequence[np.ndarray]) -> np.ndarray:
    """(N,) int64: rows that have a name in common in one of the columns, (N,) str each, directly or through others, get
    the number of the first of them; "" is no name."""
    rows = np.arange(len(columns[0]))
    pairs = []
    for column in columns:
        value_ids = factorize(column)
        first_row = np.full(value_ids.max(initial=-1) + 1, len(rows))
        np.minimum.at(first_row, value_ids, rows)
        pairs.append(np.stack([first_row[value_ids], rows], axis=1))
    return connected_components(len(rows), np.concatenate(pairs))


def connected_components(count: int, pairs: np.ndarray) -> np.ndarray:
    """The group of each of `count` rows: the smallest row it is linked with, through others too.

    (P, 2) int64 -> (count,) int64; a row in no pair is a group of its own.
    """
    group = np.arange(count)
    left, right = pairs.T
    while (differing := group[left] != group[right]).any():
        one, other = group[left[differing]], group[right[differing]]
        np.minimum.at(group, np.maximum(one, other), np.minimum(one, other))  # the groups' own rows hear it ...
        while (group != group[group]).any():  # ... and all that go by them ask until nobody tells of a smaller one
            group = group[group]
    return group


def factorize(names: np.ndarray) -> np.ndarray:
    """(N,) int64: equal names get one number; empty names one each."""
    value_ids = pa.array(names, pa.string()).dictionary_encode().indices.to_numpy().astype(np.int64)
    return np.where(names == "", value_ids.max(initial=0) + 1 + np.arange(len(names)), value_ids)
