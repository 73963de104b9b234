"""Rows that belong together: by a name they share, by pairs, directly or through others (pure)."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def linked(columns: Sequence[np.ndarray]) -> np.ndarray:
    """(N,) int64: rows that have a name in common in one of the columns, (N,) str each, directly or through others, get
    the number of the first of them; "" is no name."""
    rows = np.arange(len(columns[0]))
    pairs = []
    for column in columns:
        number = numbered(column)
        first = np.full(number.max(initial=-1) + 1, len(rows))
        np.minimum.at(first, number, rows)
        pairs.append(np.stack([first[number], rows], axis=1))
    return grouped(len(rows), np.concatenate(pairs))


def grouped(count: int, pairs: np.ndarray) -> np.ndarray:
    """The group of each of `count` rows: the smallest row it is linked with, through others too.

    (P, 2) int64 -> (count,) int64; a row in no pair is a group of its own.
    """
    group = np.arange(count)
    left, right = pairs.T
    while (apart := group[left] != group[right]).any():
        one, other = group[left[apart]], group[right[apart]]
        np.minimum.at(group, np.maximum(one, other), np.minimum(one, other))  # the groups' own rows hear it ...
        while (group != group[group]).any():  # ... and all that go by them ask until nobody tells of a smaller one
            group = group[group]
    return group


def numbered(names: np.ndarray) -> np.ndarray:
    """(N,) int64: equal names get one number; empty names one each."""
    number = pa.array(names, pa.string()).dictionary_encode().indices.to_numpy().astype(np.int64)
    return np.where(names == "", number.max(initial=0) + 1 + np.arange(len(names)), number)
