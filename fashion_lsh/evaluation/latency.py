"""How long things take, told so that it can be compared."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch

from fashion_lsh.index.inverted_lists import threads

WARM_UP = 20  # queries that are asked before those that are timed
SAMPLES = 1000  # of the bootstrap


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for networks and searches inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threads(1):
            yield
    finally:
        torch.set_num_threads(before)


def interleaved(
    arms: Mapping[str, Callable[[int], object]], queries: int, warm_up: int = WARM_UP
) -> dict[str, np.ndarray]:
    """Time every arm on every query, all arms of a query in turn and each time in another order.

    What disturbs the machine for a moment, or lies in its caches, so meets all arms alike.

    Args:
        arms: by name; called with the number of a query.
        queries: how many, numbered from 0.
        warm_up: so many of them are asked first, untimed.

    Returns:
        (queries,) float64 milliseconds, by arm.
    """
    names, rng = list(arms), np.random.default_rng(0)
    milliseconds = {name: np.zeros(queries) for name in names}
    for query in [*range(-min(warm_up, queries), 0), *range(queries)]:
        for place in rng.permutation(len(names)):
            asked = arms[names[place]]
            began = time.perf_counter()
            asked(query % queries)
            took = 1000 * (time.perf_counter() - began)
            if query >= 0:
                milliseconds[names[place]][query] = took
    return milliseconds


def summary(prefix: str, milliseconds: np.ndarray) -> dict[str, float]:
    """`<prefix>_ms`, the median, its 95 % bootstrap interval `…_low` and `…_high`, and `…_p95`.  (Q,) -> flat."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(milliseconds, (SAMPLES, len(milliseconds)))
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    median, p95 = np.quantile(milliseconds, [0.5, 0.95])
    return {
        f"{prefix}_ms": float(median),
        f"{prefix}_ms_low": float(low),
        f"{prefix}_ms_high": float(high),
        f"{prefix}_ms_p95": float(p95),
    }


def saving(first: np.ndarray, whole: np.ndarray) -> tuple[float, float, float]:
    """1 - first / whole of the mean times, (Q,) and (Q,) of the same queries, with its 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(first), size=(SAMPLES, len(first)))
    shares = 1 - first[drawn].mean(axis=1) / whole[drawn].mean(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(1 - first.mean() / whole.mean()), float(low), float(high)
