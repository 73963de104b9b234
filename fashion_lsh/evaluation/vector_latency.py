"""Time searches with vectors instead of images."""

import time

import numpy as np

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.latency import NUM_WARM_UP
from fashion_lsh.metrics.results import Result
from fashion_lsh.metrics.retrieval import MAX_HITS
from fashion_lsh.search.searcher import Searcher


def time_vector_search(searcher: Searcher, data: GarmentData, num_queries: int = 100) -> Result:
    """Median latency from the vector of a query to its hits, after NUM_WARM_UP queries: `end_to_end_ms`.

    Args:
        searcher: model, gallery and policy.
        data: data=embeddings, with the queries.
        num_queries: number of timed queries.
    """
    assert data.features is not None
    rows = np.resize(data.rows("query"), NUM_WARM_UP + num_queries)
    vectors = data.features.take(np.stack([rows, np.zeros_like(rows)], axis=1), augment=False)
    milliseconds = []
    for row in range(len(vectors)):
        start = time.perf_counter()
        searcher.search_vectors(vectors[row : row + 1], MAX_HITS)
        milliseconds.append(1000 * (time.perf_counter() - start))
    policy = searcher.policy
    median = float(np.median(milliseconds[NUM_WARM_UP:]))
    return Result("end_to_end_ms", median, method=policy.method, scope=policy.scope)
