"""Time a query from its pixels, or from its vector, to the hits."""

import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.detections import BoxDetector
from fashion_lsh.evaluation.latency import NUM_WARM_UP
from fashion_lsh.metrics.results import Result
from fashion_lsh.metrics.retrieval import MAX_HITS
from fashion_lsh.search.searcher import Searcher


def time_end_to_end(
    searcher: Searcher, data: GarmentData, detector: BoxDetector | None = None, num_queries: int = 100
) -> Result:
    """Median latency of single queries, after NUM_WARM_UP queries: `end_to_end_ms`.

    A query starts with the pixels of an image in memory, or with its vector if the data have no images.

    Args:
        searcher: model, gallery and policy.
        data: data with the queries.
        detector: detector of the crops; None if detection is not timed.
        num_queries: number of timed queries.
    """
    rows = np.resize(data.rows("query"), NUM_WARM_UP + num_queries)
    if data.has_images:
        milliseconds = _time_images(searcher, data, rows, detector)
    else:
        milliseconds = _time_vectors(searcher, data, rows)
    policy = searcher.policy
    median = float(np.median(milliseconds[NUM_WARM_UP:]))
    return Result("end_to_end_ms", median, method=policy.method, scope=policy.scope)


def _time_images(searcher: Searcher, data: GarmentData, rows: np.ndarray, detector: BoxDetector | None) -> list[float]:
    keys, boxes, annotated = data.catalogue.column("image"), data.crop_boxes, data.catalogue.boxes

    def search(query: tuple[int, np.ndarray]) -> object:
        row, image = query
        if detector is None:
            return searcher.search(image, boxes[row], MAX_HITS)
        box = data.box_selector.select_one(detector.detect([image])[0], annotated[row])
        return searcher.search(image, box, MAX_HITS)

    return _time(search, ((row, data.source.image(keys[row])) for row in rows))


def _time_vectors(searcher: Searcher, data: GarmentData, rows: np.ndarray) -> list[float]:
    assert data.features is not None
    vectors = data.features.take(np.stack([rows, np.zeros_like(rows)], axis=1), augment=False)
    return _time(lambda vector: searcher.search_vectors(vector[None], MAX_HITS), vectors)


def _time(search: Callable[[Any], object], queries: Iterable[Any]) -> list[float]:
    """Milliseconds of each search; making the next query is not timed."""
    milliseconds = []
    for query in queries:
        start = time.perf_counter()
        search(query)
        milliseconds.append(1000 * (time.perf_counter() - start))
    return milliseconds
