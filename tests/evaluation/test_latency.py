"""Interleaved latency measurement and its summary."""

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from fashion_lsh.evaluation.latency import latency_summary, single_thread, time_interleaved, time_saving


def test_every_method_is_timed_once_per_query_after_the_warm_up() -> None:
    calls: list[tuple[str, int]] = []

    def make_method(name: str) -> Callable[[int], object]:
        return lambda query: calls.append((name, query))

    times = time_interleaved({"a": make_method("a"), "b": make_method("b")}, num_queries=6, num_warm_up=2)
    assert {name: values.shape for name, values in times.items()} == {"a": (6,), "b": (6,)}
    assert sorted(calls[4:]) == sorted((name, query) for name in "ab" for query in range(6))
    assert [query for _, query in calls[4:]] == [query for query in range(6) for _ in "ab"]
    orders = {tuple(name for name, _ in calls[start : start + 2]) for start in range(4, 16, 2)}
    assert orders == {("a", "b"), ("b", "a")}


def test_a_slow_method_has_a_higher_latency() -> None:
    times = time_interleaved(
        {"slow": lambda _: time.sleep(0.004), "fast": lambda _: None}, num_queries=10, num_warm_up=1
    )
    assert np.median(times["slow"]) > 3.5
    assert np.median(times["slow"]) > 10 * np.median(times["fast"])


def test_the_median_lies_within_its_interval() -> None:
    result = latency_summary("search", np.random.default_rng(0).normal(5, 1, 400))
    assert list(result) == ["search_ms", "search_ms_low", "search_ms_high", "search_ms_p95"]
    assert result["search_ms_low"] < result["search_ms"] < result["search_ms_high"]
    assert result["search_ms"] == pytest.approx(5, abs=0.2)
    assert result["search_ms_p95"] == pytest.approx(5 + 1.645, abs=0.3)


def test_time_saving_uses_mean_times() -> None:
    baseline = np.random.default_rng(0).uniform(9, 11, 300)
    ratio, low, high = time_saving(0.8 * baseline, baseline)
    assert (ratio, low, high) == pytest.approx((0.2, 0.2, 0.2))
    noisy_ratio, low, high = time_saving(np.random.default_rng(1).permutation(0.8 * baseline), baseline)
    assert low < noisy_ratio < high
    assert noisy_ratio == pytest.approx(0.2)


def test_single_thread_restores_the_number_of_threads() -> None:
    num_threads = torch.get_num_threads()
    with single_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == num_threads
