"""Select rows of a table."""

import numpy as np


def evenly_spaced(num_rows: int, count: int) -> np.ndarray:
    """Select 1 to `count` evenly spaced rows of 0..num_rows - 1; return row numbers, (n,) int64, ascending."""
    return np.unique(np.linspace(0, num_rows - 1, min(num_rows, max(1, count))).astype(np.int64))
