"""Milliseconds of queries sent one at a time."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation import protocol
from fashion_lsh.evaluation.protocol import end_to_end, timed_hits
from fashion_lsh.models.encoding import Encoded
from tests.evaluation.factories import pictures, searcher


@pytest.mark.parametrize("count", [1, 5, 30])
def test_hits_asked_one_by_one_are_those_asked_together(count: int) -> None:
    query, asked = pictures(0, count), searcher(pictures(1, 150), "rerank", 2)
    hits, milliseconds = timed_hits(asked, query.encoded)
    together = asked.search_encoded(query.encoded, 100)
    assert np.array_equal(hits.rows, together.rows)
    np.testing.assert_allclose(hits.distances, together.distances, rtol=1e-6)
    assert milliseconds.shape == (count,)
    assert (milliseconds > 0).all()


class Clock:
    """A clock that stands still but for what `spend` adds."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(protocol, "time", made)
    return made


def test_a_search_is_timed_after_20_to_warm_up(clock: Clock) -> None:
    query, gallery = pictures(0, 25), pictures(1, 150)
    asked, calls = searcher(gallery, "hamming", 1), []

    class Slow:
        def search_encoded(self, queries: Encoded, k: int) -> Any:
            calls.append(k)
            clock.spend(9 if len(calls) <= 20 else 0.002)
            return asked.search_encoded(queries, k)

    stand_in: Any = Slow()
    assert timed_hits(stand_in, query.encoded)[1] == pytest.approx([2.0] * 25)
    assert calls == [100] * 45


def test_end_to_end_is_the_median_after_10_to_warm_up(
    clock: Clock, make_data: Callable[..., GarmentData], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, asked = make_data(), []

    class Slow:
        def find(self, picture: np.ndarray, box: np.ndarray, k: int) -> None:
            asked.append((picture, box, k))
            clock.spend(9 if len(asked) <= 10 else 0.003 if len(asked) % 3 else 0.5)

    opened = data.source.image
    monkeypatch.setattr(data.source, "image", lambda key: (clock.spend(7), opened(key))[1])  # is not counted
    stand_in: Any = Slow()
    assert end_to_end(stand_in, data, count=21) == {"speed/end_to_end_ms": pytest.approx(3.0)}
    rows = data.rows("query")
    assert len(asked) == 31 > len(rows)
    for number, (picture, box, k) in enumerate(asked[10:]):
        row = rows[number % len(rows)]
        assert np.array_equal(picture, opened(data.catalogue.column("image")[row]))
        assert np.array_equal(box, data.crop_boxes[row])
        assert k == 100
