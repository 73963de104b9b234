"""Time the steps of a query separately."""

import time

import numpy as np

from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.latency import time_interleaved
from fashion_lsh.index.indexes import HashIndex
from fashion_lsh.metrics.retrieval import MAX_HITS
from fashion_lsh.models.encoding import Encoded, Model, encode_crops
from fashion_lsh.search.rerank import rerank
from fashion_lsh.search.searcher import Searcher


class QueryPreprocessing:
    """Run and time the steps before a search, one query image at a time.

    Attributes:
        milliseconds: (Q,) float64 by step, the latest time of each query. Steps: `decode`, `crop`, and `features`
            (backbone, hash layer and head).
    """

    def __init__(self, model: Model, data: GarmentData, rows: np.ndarray) -> None:
        """rows: (Q,) int, catalogue rows of the queries."""
        self._model, self._source = model, data.source
        self._images, self._boxes = data.catalogue.column("image")[rows], data.crop_boxes[rows]
        self.milliseconds = {step: np.zeros(len(rows)) for step in ("decode", "crop", "features")}

    def __call__(self, query: int) -> None:
        """Run the steps for a query, 0..Q - 1, and store the times."""
        timestamps = [time.perf_counter()]
        pixels = self._source.image(self._images[query])
        timestamps.append(time.perf_counter())
        crop = crop_image(pixels, self._boxes[query], self._model.margin, self._model.image_size)
        timestamps.append(time.perf_counter())
        encode_crops(self._model, [crop])
        timestamps.append(time.perf_counter())
        for step, elapsed in zip(self.milliseconds, np.diff(timestamps), strict=True):
            self.milliseconds[step][query] = 1000 * elapsed

    def total(self) -> np.ndarray:
        """Return the sum over steps, (Q,) float64 milliseconds."""
        return np.sum(list(self.milliseconds.values()), axis=0)


def time_steps(searcher: Searcher, queries: Encoded, timed_rows: np.ndarray) -> dict[str, float]:
    """Median milliseconds of the steps of a search with re-ranking: `category_ms`, `hamming_ms`, `rerank_ms`.

    Args:
        searcher: Searcher with codes and an integer `rerank_k`.
        queries: Q encoded queries.
        timed_rows: (T,) int, indices of the queries to time.

    Raises:
        ValueError: the gallery has no codes, or `rerank_k` is a fraction.
    """
    index, codes, rerank_k = searcher.gallery.index, queries.codes, searcher.policy.rerank_k
    if codes is None or not isinstance(index, HashIndex) or not isinstance(rerank_k, int):
        raise ValueError(
            f"search.rerank_k={rerank_k} ({searcher.policy.label}): timing the steps needs codes and an integer; "
            "set search=rerank search.rerank_k=1000"
        )
    lists = searcher.policy.select_lists(queries.probabilities)
    candidates = index.search(codes[timed_rows], lists[timed_rows], max(MAX_HITS, rerank_k))
    times = time_interleaved(
        {
            "category": lambda query: searcher.policy.select_lists(queries.at(timed_rows[query]).probabilities),
            "hamming": lambda query: index.search(
                codes[[timed_rows[query]]], lists[[timed_rows[query]]], max(MAX_HITS, rerank_k)
            ),
            "rerank": lambda query: rerank(
                queries.embeddings[[timed_rows[query]]], candidates.at(query), searcher.gallery.embeddings, MAX_HITS
            ),
        },
        len(timed_rows),
    )
    return {f"{name}_ms": float(np.median(values)) for name, values in times.items()}
