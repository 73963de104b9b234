"""Measure latency in a comparable way: interleaved methods, medians and bootstrap intervals."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch

from fashion_lsh.index.inverted_lists import threads

WARM_UP = 20  # untimed queries before the timed ones
BOOTSTRAP_SAMPLES = 1000


@contextmanager
def single_thread() -> Iterator[None]:
    """Use one thread for networks and searches inside the block."""
    threads_before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threads(1):
            yield
    finally:
        torch.set_num_threads(threads_before)


def time_interleaved(
    methods: Mapping[str, Callable[[int], object]], queries: int, warm_up: int = WARM_UP
) -> dict[str, np.ndarray]:
    """Time every method on every query: all methods of a query in turn, in a random order per query.

    Load peaks and warm caches then affect all methods equally.

    Args:
        methods: name -> function of a query number.
        queries: number of queries, numbered from 0.
        warm_up: untimed queries at the start.

    Returns:
        Method -> (queries,) float64 milliseconds.
    """
    names, rng = list(methods), np.random.default_rng(0)
    milliseconds = {name: np.zeros(queries) for name in names}
    for query in [*range(-min(warm_up, queries), 0), *range(queries)]:
        for index in rng.permutation(len(names)):
            call = methods[names[index]]
            start = time.perf_counter()
            call(query % queries)
            elapsed = 1000 * (time.perf_counter() - start)
            if query >= 0:
                milliseconds[names[index]][query] = elapsed
    return milliseconds


def latency_summary(prefix: str, milliseconds: np.ndarray) -> dict[str, float]:
    """`<prefix>_ms`: median, its 95 % bootstrap interval `…_low` and `…_high`, and `…_p95`.  milliseconds: (Q,)."""
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
    """1 - method / baseline of the mean times, (Q,) each of the same queries, with its 95 % bootstrap interval."""
    rng = np.random.default_rng(0)
    draws = rng.integers(len(method_ms), size=(BOOTSTRAP_SAMPLES, len(method_ms)))
    ratios = 1 - method_ms[draws].mean(axis=1) / baseline_ms[draws].mean(axis=1)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(1 - method_ms.mean() / baseline_ms.mean()), float(low), float(high)
