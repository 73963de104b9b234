"""Validate arguments before FAISS sees them."""

import numpy as np

ROW_BITS = 40
MAX_ABS_VALUE = 1e16  # of an embedding's values: the sum of thousands of squares fits into float32
MAX_ROW = 2**ROW_BITS - 1  # a row and a Hamming distance fit into one int64


def check_positive(**numbers: int) -> int:
    """Return the smallest of the numbers; raise ValueError naming a number that is not an integer of at least 1."""
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
    bad = ~(np.abs(embeddings) < MAX_ABS_VALUE).all(axis=1)  # also true for NaN
    if bad.any():
        raise ValueError(
            f"embeddings[{int(bad.argmax())}] contains NaN or values of {MAX_ABS_VALUE:g} and more; "
            "check the model's input and weights"
        )


def check_not_indexed(rows: np.ndarray, indexed: np.ndarray) -> None:
    """Check that rows, (n,) int64, are unique and not among the indexed rows, (N,) int64.  Raises ValueError."""
    unique, counts = np.unique(rows, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"rows contains {unique[counts > 1][0]} more than once; pass each row once")
    known = np.isin(rows, indexed)
    if known.any():
        raise ValueError(f"row {rows[known][0]} is already in the index; remove it first or pass another row number")


def check_indexed(rows: np.ndarray, indexed: np.ndarray) -> None:
    """Check that rows, (n,) int64, are unique and among the indexed rows, (N,) int64.  Raises ValueError."""
    if len(np.unique(rows)) < len(rows):
        raise ValueError("rows contains a row more than once; pass each row once")
    unknown = ~np.isin(rows, indexed)
    if unknown.any():
        raise ValueError(f"row {rows[unknown][0]} is not in the index; pass only indexed rows")


def check_integers(name: str, values: np.ndarray, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    """Validate int64 values of `shape` from `low` to `high`; return them C-contiguous.  Raises ValueError."""
    values = np.asarray(values)
    if values.dtype != np.int64 or values.shape != shape:
        raise ValueError(f"{name} has shape {values.shape} and dtype {values.dtype}; pass {shape} int64")
    outside = (values < low) | (values > high)
    if outside.any():
        raise ValueError(f"{name} contains {values[outside][0]}; pass values from {low} to {high}")
    return np.ascontiguousarray(values)


def check_probed_lists(probed_lists: np.ndarray, queries: int, lists: int) -> np.ndarray:
    """Validate lists to probe: (queries, lists) int64, each list once per query, padded with -1.

    Returns the lists C-contiguous.  Raises ValueError.
    """
    probed_lists = check_integers("probed_lists", probed_lists, (queries, lists), -1, lists - 1)
    if lists < 2:
        return probed_lists
    ordered = np.sort(probed_lists, axis=1)
    repeated = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if repeated.any():
        query = int(repeated.any(axis=1).argmax())
        raise ValueError(f"probed_lists[{query}] contains a list more than once; pass each list once, padded with -1")
    return probed_lists
