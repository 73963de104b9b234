"""Validate the arguments of an index."""

import numpy as np

ROW_BITS = 40  # a row of 40 bits and a Hamming distance fit into one int64 sort key
MAX_ROW = 2**ROW_BITS - 1
MAX_ABS_VALUE = 1e16  # limit for embeddings, so that the sum of thousands of squared values fits into float32


def check_positive(**numbers: int) -> int:
    """Check that all numbers are integers of at least 1; return the smallest number.  Raises ValueError."""
    for name, number in numbers.items():
        if not isinstance(number, (int, np.integer)) or number < 1:
            raise ValueError(f"{name}={number!r}: not a positive integer; pass 1 or more")
    return min(numbers.values())


def check_embeddings(embeddings: np.ndarray, dimensions: int) -> None:
    """Validate embeddings: (B, dimensions) float32, finite.  Raises ValueError."""
    if embeddings.dtype != np.float32 or embeddings.ndim != 2 or embeddings.shape[1] != dimensions:
        raise ValueError(
            f"embeddings has shape {embeddings.shape} and dtype {embeddings.dtype}; pass (B, {dimensions}) float32"
        )
    is_invalid = ~(np.abs(embeddings) < MAX_ABS_VALUE).all(axis=1)  # also true for NaN
    if is_invalid.any():
        raise ValueError(
            f"embeddings[{int(is_invalid.argmax())}] contains NaN or values of {MAX_ABS_VALUE:g} and more; "
            "check the model's input and weights"
        )


def check_not_indexed(rows: np.ndarray, indexed_rows: np.ndarray) -> None:
    """Check that rows, (n,) int64, are unique and not among the indexed rows, (N,) int64.  Raises ValueError."""
    unique, counts = np.unique(rows, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"rows contains {unique[counts > 1][0]} more than once; pass each row once")
    is_indexed = np.isin(rows, indexed_rows)
    if is_indexed.any():
        raise ValueError(f"row {rows[is_indexed][0]} is already in the index; remove it first or pass another row")


def check_indexed(rows: np.ndarray, indexed_rows: np.ndarray) -> None:
    """Check that rows, (n,) int64, are unique and among the indexed rows, (N,) int64.  Raises ValueError."""
    if len(np.unique(rows)) < len(rows):
        raise ValueError("rows contains a row more than once; pass each row once")
    is_missing = ~np.isin(rows, indexed_rows)
    if is_missing.any():
        raise ValueError(f"row {rows[is_missing][0]} is not in the index; pass only indexed rows")


def check_integers(name: str, values: np.ndarray, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    """Validate int64 values of `shape` from `low` to `high`; return them C-contiguous.  Raises ValueError."""
    values = _check_int64(name, values, shape)
    is_out_of_range = (values < low) | (values > high)
    if is_out_of_range.any():
        raise ValueError(f"{name} contains {values[is_out_of_range][0]}; pass values from {low} to {high}")
    return values


def check_probed_lists(probed_lists: np.ndarray, num_queries: int, num_lists: int) -> np.ndarray:
    """Validate lists to probe: (num_queries, num_lists) int64, no list repeated by a query, padded with -1.

    Returns the lists C-contiguous.  Raises ValueError.
    """
    probed_lists = _check_int64("probed_lists", probed_lists, (num_queries, num_lists))
    for query, values in enumerate(probed_lists.tolist()):  # for one query, numpy would take 4 times as long
        lowest, highest = min(values), max(values)
        if lowest < -1 or highest >= num_lists:
            value = lowest if lowest < -1 else highest
            raise ValueError(f"probed_lists contains {value}; pass values from -1 to {num_lists - 1}")
        list_ids = [list_id for list_id in values if list_id >= 0]
        if len(set(list_ids)) < len(list_ids):
            raise ValueError(
                f"probed_lists[{query}] contains a list more than once; pass each list once, padded with -1"
            )
    return probed_lists


def _check_int64(name: str, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Check dtype and shape; return the values C-contiguous.  Raises ValueError."""
    values = np.asarray(values)
    if values.dtype != np.int64 or values.shape != shape:
        raise ValueError(f"{name} has shape {values.shape} and dtype {values.dtype}; pass {shape} int64")
    return np.ascontiguousarray(values)
