"""Latency of queries sent one at a time."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation import end_to_end, protocol
from fashion_lsh.evaluation.end_to_end import time_end_to_end
from fashion_lsh.evaluation.latency import NUM_WARM_UP
from fashion_lsh.evaluation.protocol import time_search
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.search.policy import SearchPolicy
from tests.evaluation.factories import make_searcher, random_split


@pytest.mark.parametrize("num_queries", [1, 5, 30])
def test_single_queries_return_the_same_hits_as_a_batch(num_queries: int) -> None:
    query, searcher = random_split(0, num_queries), make_searcher(random_split(1, 150), "rerank", 2)
    hits, milliseconds = time_search(searcher, query.encoded)
    batch_hits = searcher.search_encoded(query.encoded, 100)
    assert np.array_equal(hits.rows, batch_hits.rows)
    np.testing.assert_allclose(hits.distances, batch_hits.distances, rtol=1e-6)
    assert milliseconds.shape == (num_queries,)
    assert (milliseconds > 0).all()


class Clock:
    """Fake clock that is advanced only by `advance`."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    instance = Clock()
    for module in (protocol, end_to_end):
        monkeypatch.setattr(module, "time", instance)
    return instance


def test_a_search_is_timed_after_20_warm_up_queries(clock: Clock) -> None:
    query, gallery = random_split(0, 25), random_split(1, 150)
    searcher, calls = make_searcher(gallery, "hamming", 1), []

    class SlowSearcher:
        def search_encoded(self, queries: Encoded, k: int) -> Any:
            calls.append(k)
            clock.advance(9 if len(calls) <= 20 else 0.002)
            return searcher.search_encoded(queries, k)

    slow_searcher: Any = SlowSearcher()
    assert time_search(slow_searcher, query.encoded)[1] == pytest.approx([2.0] * 25)
    assert calls == [100] * 45


def test_end_to_end_latency_is_the_median_after_the_warm_up_queries(
    clock: Clock, make_data: Callable[..., GarmentData], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, calls = make_data(), []

    class SlowSearcher:
        policy = SearchPolicy("hamming", 2)

        def search(self, image: np.ndarray, box: np.ndarray, k: int) -> None:
            calls.append((image, box, k))
            clock.advance(9 if len(calls) <= NUM_WARM_UP else 0.003 if len(calls) % 3 else 0.5)

    open_image = data.source.image
    monkeypatch.setattr(
        data.source, "image", lambda key: (clock.advance(7), open_image(key))[1]
    )  # loading is not timed
    slow_searcher: Any = SlowSearcher()
    result = time_end_to_end(slow_searcher, data, num_queries=21)
    assert (result.metric, result.method, result.scope) == ("end_to_end_ms", "hamming", "2 lists")
    assert result.value == pytest.approx(3.0)
    rows = data.rows("query")
    assert len(calls) == NUM_WARM_UP + 21 > len(rows)
    for index, (image, box, k) in enumerate(calls):
        row = rows[index % len(rows)]
        assert np.array_equal(image, open_image(data.catalogue.column("image")[row]))
        assert np.array_equal(box, data.crop_boxes[row])
        assert k == 100
