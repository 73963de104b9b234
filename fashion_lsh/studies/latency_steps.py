"""Each step of an answer, timed by itself."""

import time

import numpy as np

from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.latency import time_interleaved
from fashion_lsh.index.indexes import HashIndex
from fashion_lsh.metrics.retrieval import MAX_K
from fashion_lsh.models.encoding import Encoded, Model, encode_crops
from fashion_lsh.search.rerank import rerank
from fashion_lsh.search.searcher import Searcher


class QueryPreprocessing:
    """All that comes before a search, of pictures asked one at a time.

    Attributes:
        milliseconds: (Q,) float64 of `decode`, `crop` and `features` (with hash layer and head): what each query took
            when it was asked last.
    """

    def __init__(self, model: Model, data: GarmentData, rows: np.ndarray) -> None:
        """`rows`: (Q,) of the data's catalogue."""
        self._model, self._source = model, data.source
        self._images, self._boxes = data.catalogue.column("image")[rows], data.crop_boxes[rows]
        self.milliseconds = {step: np.zeros(len(rows)) for step in ("decode", "crop", "features")}

    def __call__(self, query: int) -> None:
        """Ask the query of this number."""
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
        """(Q,) milliseconds of all steps."""
        return np.sum(list(self.milliseconds.values()), axis=0)


def time_steps(searcher: Searcher, queries: Encoded, timed: np.ndarray) -> dict[str, float]:
    """Median milliseconds of the steps of a shortlist search: `category_ms`, `hamming_ms`, `rerank_ms`.

    Args:
        searcher: by shortlist, of so many rows.
        queries: Q.
        timed: (T,) which of them to time.

    Raises:
        ValueError: the search is by no shortlist of so many rows.
    """
    index, codes, rerank_k = searcher.gallery.index, queries.codes, searcher.policy.rerank_k
    if codes is None or not isinstance(index, HashIndex) or not isinstance(rerank_k, int):
        raise ValueError(f"{searcher.policy.label} has no shortlist of a fixed number of codes: its steps are others")
    lists = searcher.policy.select_lists(queries.probabilities)
    candidates = index.search_exact(codes[timed], lists[timed], max(MAX_K, rerank_k))
    times = time_interleaved(
        {
            "category": lambda query: searcher.policy.select_lists(queries.at(timed[query]).probabilities),
            "hamming": lambda query: index.search_exact(
                codes[[timed[query]]], lists[[timed[query]]], max(MAX_K, rerank_k)
            ),
            "rerank": lambda query: rerank(
                queries.embeddings[[timed[query]]], candidates.at(query), searcher.gallery.embeddings, MAX_K
            ),
        },
        len(timed),
    )
    return {f"{name}_ms": float(np.median(values)) for name, values in times.items()}
