"""Measure latency with interleaved methods, and compute medians and bootstrap intervals."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch

from fashion_lsh.index.indexes import faiss_threads

NUM_WARM_UP = 20  # number of untimed queries before the timed queries
BOOTSTRAP_SAMPLES = 1000


@contextmanager
def single_thread() -> Iterator[None]:
    """Use one thread for networks and searches within the block."""
    previous_count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with faiss_threads(1):
            yield
    finally:
        torch.set_num_threads(previous_count)


def time_interleaved(
    methods: Mapping[str, Callable[[int], object]], num_queries: int, num_warm_up: int = NUM_WARM_UP
) -> dict[str, np.ndarray]:
    """Time each method on each query, with the methods in a random order per query.

    Interleaving the methods ensures that load peaks and warm caches affect all methods equally.

    Args:
        methods: name -> function of the index of a query.
        num_queries: number of queries.
        num_warm_up: number of untimed queries at the start.

    Returns:
        Name of the method -> (num_queries,) float64 milliseconds.
    """
    names, rng = list(methods), np.random.default_rng(0)
    milliseconds = {name: np.zeros(num_queries) for name in names}
    for query in [*range(-min(num_warm_up, num_queries), 0), *range(num_queries)]:
        for index in rng.permutation(len(names)):
            call = methods[names[index]]
            start = time.perf_counter()
            call(query % num_queries)
            elapsed = 1000 * (time.perf_counter() - start)
            if query >= 0:
                milliseconds[names[index]][query] = elapsed
    return milliseconds


def latency_summary(prefix: str, milliseconds: np.ndarray) -> dict[str, float]:
    """Median, its 95 % bootstrap interval, and 95th percentile of latencies; milliseconds: (Q,).

    Returns:
        `<prefix>_ms`, `<prefix>_ms_low`, `<prefix>_ms_high` and `<prefix>_ms_p95`.
    """
    rng = np.random.default_rng(0)
    draws = rng.choice(milliseconds, (BOOTSTRAP_SAMPLES, len(milliseconds)))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    median, p95 = np.quantile(milliseconds, [0.5, 0.95])
    return {
        f"{prefix}_ms": float(median),
        f"{prefix}_ms_low": float(low),
        f"{prefix}_ms_high": float(high),
        f"{prefix}_ms_p95": float(p95),
    }


def time_saving(method_ms: np.ndarray, baseline_ms: np.ndarray) -> tuple[float, float, float]:
    """Ratio of time saved, 1 - mean method time / mean baseline time, with the bounds of its 95 % bootstrap interval.

    method_ms and baseline_ms: (Q,) milliseconds of the same queries -> ratio, lower bound, upper bound.
    """
    rng = np.random.default_rng(0)
    draws = rng.integers(len(method_ms), size=(BOOTSTRAP_SAMPLES, len(method_ms)))
    ratios = 1 - method_ms[draws].mean(axis=1) / baseline_ms[draws].mean(axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(1 - method_ms.mean() / baseline_ms.mean()), float(low), float(high)
