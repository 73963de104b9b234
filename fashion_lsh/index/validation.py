"""What is asked of arguments before an index acts on them."""

import numpy as np

ROW_BITS = 40
MAX_ABS_VALUE = 1e16  # of an embedding's values: the squares of thousands add up to a float32
MAX_ROW = 2**ROW_BITS - 1  # a row and a Hamming distance fit into one number


def check_positive(**numbers: int) -> int:
    """The least of these numbers, once none is below 1; one that is, is refused by its name."""
    for name, number in numbers.items():
        if not isinstance(number, (int, np.integer)) or number < 1:
            raise ValueError(f"{name}={number!r}: give at least 1, a whole number")
    return min(numbers.values())


def check_embeddings(embeddings: np.ndarray, dimensions: int) -> None:
    """Hold embeddings to their contract: (B, dimensions) float32, finite."""
    if embeddings.dtype != np.float32 or embeddings.ndim != 2 or embeddings.shape[1] != dimensions:
        raise ValueError(f"embeddings are {embeddings.shape} {embeddings.dtype}: give (B, {dimensions}) float32")
    bad = ~(np.abs(embeddings) < MAX_ABS_VALUE).all(axis=1)  # NaN is not
    if bad.any():
        raise ValueError(f"embedding {int(bad.argmax())} is not finite, or its square is not: nothing is near it")


def check_not_indexed(rows: np.ndarray, indexed: np.ndarray) -> None:
    """Refuse rows, (n,), that stand twice or among those filed already, (N,)."""
    unique, counts = np.unique(rows, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"row {unique[counts > 1][0]} is given more than once: a row is filed once")
    known = np.isin(rows, indexed)
    if known.any():
        raise ValueError(f"row {rows[known][0]} is in the index already: a row is filed once")


def check_indexed(rows: np.ndarray, indexed: np.ndarray) -> None:
    """Refuse rows, (n,), that stand twice or not among those filed, (N,)."""
    if len(np.unique(rows)) < len(rows):
        raise ValueError("a row is named more than once: name each once")
    unknown = ~np.isin(rows, indexed)
    if unknown.any():
        raise ValueError(f"row {rows[unknown][0]} is not in the index: only what is filed can be removed")


def check_integers(name: str, values: np.ndarray, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    """Values, int64 of `shape` and from `low` to `high`, in memory order; else ValueError."""
    values = np.asarray(values)
    if values.dtype != np.int64 or values.shape != shape:
        raise ValueError(f"{name} are {values.shape} {values.dtype}: give {shape} int64")
    outside = (values < low) | (values > high)
    if outside.any():
        raise ValueError(f"{name} hold {values[outside][0]}: give numbers from {low} to {high}")
    return np.ascontiguousarray(values)


def check_probed_lists(probed_lists: np.ndarray, queries: int, lists: int) -> np.ndarray:
    """Probes in memory order, once (queries, lists) int64, each list named once, padded with -1; else ValueError."""
    probed_lists = check_integers("probed_lists", probed_lists, (queries, lists), -1, lists - 1)
    if lists < 2:
        return probed_lists
    ordered = np.sort(probed_lists, axis=1)
    repeated = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if repeated.any():
        query = int(repeated.any(axis=1).argmax())
        raise ValueError(f"probed_lists of query {query} name a list twice: name each once, pad with -1")
    return probed_lists
