"""Times are taken of every arm alike, and told as their quantiles say."""

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from fashion_lsh.evaluation.latency import interleaved, one_thread, saving, summary


def test_every_arm_meets_every_query_once_after_the_warm_up() -> None:
    met: list[tuple[str, int]] = []

    def arm(name: str) -> Callable[[int], object]:
        return lambda query: met.append((name, query))

    times = interleaved({"a": arm("a"), "b": arm("b")}, queries=6, warm_up=2)
    assert {name: values.shape for name, values in times.items()} == {"a": (6,), "b": (6,)}
    assert sorted(met[4:]) == sorted((name, query) for name in "ab" for query in range(6))
    assert [query for _, query in met[4:]] == [query for query in range(6) for _ in "ab"]  # both of a query in turn
    assert len({tuple(name for name, _ in met[4 + 2 * at : 6 + 2 * at]) for at in range(6)}) == 2  # in either order


def test_slow_arms_take_longer() -> None:
    times = interleaved({"slow": lambda _: time.sleep(0.004), "fast": lambda _: None}, queries=10, warm_up=1)
    assert np.median(times["slow"]) > 3.5
    assert np.median(times["slow"]) > 10 * np.median(times["fast"])


def test_a_summary_holds_the_median_within_its_interval() -> None:
    told = summary("search", np.random.default_rng(0).normal(5, 1, 400))
    assert list(told) == ["search_ms", "search_ms_low", "search_ms_high", "search_ms_p95"]
    assert told["search_ms_low"] < told["search_ms"] < told["search_ms_high"]
    assert told["search_ms"] == pytest.approx(5, abs=0.2)
    assert told["search_ms_p95"] == pytest.approx(5 + 1.645, abs=0.3)


def test_savings_are_of_the_mean_times() -> None:
    whole = np.random.default_rng(0).uniform(9, 11, 300)
    saved, low, high = saving(0.8 * whole, whole)
    assert (saved, low, high) == pytest.approx((0.2, 0.2, 0.2))
    noisy, low, high = saving(np.random.default_rng(1).permutation(0.8 * whole), whole)
    assert low < noisy < high
    assert noisy == pytest.approx(0.2)


def test_one_thread_inside_and_as_before_after() -> None:
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
