"""Compare list selection methods: latency, scanned fraction, recall and scores."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from fashion_lsh.evaluation.latency import latency_summary, time_interleaved, time_saving
from fashion_lsh.evaluation.protocol import score_search
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.metrics.retrieval import MAX_K, Relevance
from fashion_lsh.models.encoding import Encoded, Model
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher
from fashion_lsh.studies.latency_steps import QueryPreprocessing, time_steps

DISTANCES = ("euclidean", "hamming", "rerank")
METHODS: dict[str, dict[str, Any]] = {  # list selection: changes to the search policy
    "whole": {"nprobe": "all"},
    "1": {"nprobe": 1}, "2": {"nprobe": 2}, "3": {"nprobe": 3},
    "0.9": {"min_probability": 0.9}, "0.95": {"min_probability": 0.95}, "0.99": {"min_probability": 0.99},
    "1, all if unsure": {"nprobe": 1, "min_confidence": 0.5},
    "true category": {"nprobe": 1},
}  # fmt: skip
# Lists sized by another data set's frequencies have no classifier, so methods that need probabilities are skipped.
FREQUENCY_METHODS = ("whole", "1", "2", "3")
RECALL_K = 10  # recall against a search of the whole gallery is measured at this k

Row = dict[str, Any]
MetricSet = Literal["times", "recall", "scores"]


@dataclass(frozen=True)
class QuerySet:
    """Encoded queries with their labels.

    encoded: Q queries; oracle: the same with probability 1 for the true category; labels: (Q,); items: (Q,);
    timed_rows: (T,) indices of the timed queries; preprocessing: steps before the search, for the timed queries.
    """

    encoded: Encoded
    oracle: Encoded
    labels: np.ndarray
    items: np.ndarray
    timed_rows: np.ndarray
    preprocessing: QueryPreprocessing

    def encoded_for(self, method: str) -> Encoded:
        """Return the queries as encoded for a method: oracle probabilities for `true category`."""
        return self.oracle if method == "true category" else self.encoded


def time_methods(
    model: Model,
    gallery: Gallery,
    queries: QuerySet,
    rerank_k: int | float,
    methods: Sequence[str],
    metric_set: MetricSet,
) -> Iterator[Row]:
    """Time all distances and methods interleaved, and yield a row for each pair.

    `metric_set` (each includes those before it):
        times: latency and scanned fraction, for lists that are not the model's own.
        recall: recall of the first hits of the whole gallery.
        scores: item scores, for galleries without perturbed copies.
    """
    base_policy = SearchPolicy("hamming", 1, rerank_k, alpha=0.5, min_confidence=0.0, min_probability=None)
    base_searcher = Searcher(model, gallery, base_policy)
    searchers = {
        (distance, method): base_searcher.with_policy(replace(base_policy, distance=distance, **METHODS[method]))  # type: ignore[arg-type]
        for distance in DISTANCES
        for method in methods
    }

    def search_one(distance: str, method: str) -> Callable[[int], object]:
        return lambda query: searchers[distance, method].search_encoded(
            queries.encoded_for(method).at(int(queries.timed_rows[query])), MAX_K
        )

    searches = {"|".join(key): search_one(*key) for key in searchers}
    milliseconds = time_interleaved({"before": queries.preprocessing, **searches}, len(queries.timed_rows))
    before = queries.preprocessing.total()
    for (distance, method), searcher in searchers.items():
        elapsed, whole_ms, exact_ms = (
            milliseconds[key] for key in (f"{distance}|{method}", f"{distance}|whole", f"euclidean|{method}")
        )
        row: Row = {"distance": distance, "method": method} | _speed(searcher, queries, method, elapsed, whole_ms)
        row |= _saving("saved over euclidean", before + elapsed, before + exact_ms)
        if distance == "rerank":
            row |= time_steps(searcher, queries.encoded_for(method), queries.timed_rows)
        if metric_set != "times":
            row |= _recall(searcher, searchers[distance, "whole"], queries, method)
        if metric_set == "scores":
            row |= _scores(searcher, queries, method)
        yield row


def _saving(name: str, method_ms: np.ndarray, baseline_ms: np.ndarray) -> Row:
    """Fraction of time saved and its confidence interval.  (T,) milliseconds each."""
    return dict(zip((name, f"{name} low", f"{name} high"), time_saving(method_ms, baseline_ms), strict=True))


def _speed(searcher: Searcher, queries: QuerySet, method: str, elapsed: np.ndarray, whole_ms: np.ndarray) -> Row:
    """Latency of a method compared with searching the whole gallery.  (T,) milliseconds each."""
    gallery, lists = searcher.gallery, searcher.policy.select_lists(queries.encoded_for(method).probabilities)
    scanned = np.append(gallery.index.list_sizes(), 0)[lists].sum(axis=1) / len(gallery)
    method_ms, baseline_ms = queries.preprocessing.total() + elapsed, queries.preprocessing.total() + whole_ms
    search_ratio = float(whole_ms.mean() / baseline_ms.mean())
    return {
        "lists probed": float((lists >= 0).sum(axis=1).mean()), "scanned": float(scanned.mean()),
        **latency_summary("search", elapsed), **latency_summary("end_to_end", method_ms),
        **{f"{step}_ms": float(np.median(values)) for step, values in queries.preprocessing.milliseconds.items()},
        "search fraction": search_ratio, **_saving("saved", method_ms, baseline_ms),
        "faster by": float(baseline_ms.mean() / method_ms.mean() - 1),
        "search faster by": float(whole_ms.mean() / elapsed.mean() - 1),
        "predicted saving": search_ratio * float(1 - scanned[queries.timed_rows].mean()),
    }  # fmt: skip


def _recall(searcher: Searcher, whole: Searcher, queries: QuerySet, method: str) -> Row:
    """Fraction of the first RECALL_K hits at most as far as hit RECALL_K in the whole gallery (ties count)."""
    part = queries.encoded_for(method).take(queries.timed_rows)
    found, best = searcher.search_encoded(part, RECALL_K).distances, whole.search_encoded(part, RECALL_K).distances
    return {f"recall@{RECALL_K} of whole": float((found <= best[:, -1:] * (1 + 1e-6)).mean())}


def _scores(searcher: Searcher, queries: QuerySet, method: str) -> Row:
    """Item scores over all queries, and separately for correctly and wrongly predicted categories."""
    encoded, items = queries.encoded_for(method), searcher.gallery.catalogue.column("item")
    scores = score_search(searcher, encoded, Relevance.from_names(queries.items, items))
    correct = queries.encoded.predicted == queries.labels
    row = {f"item {name}": float(np.nanmean(scores[name])) for name in ("map@100", "recall@10")}
    row |= {f"item map@100, {name}": float(np.nanmean(scores["map@100"][which]))
            for name, which in (("category correct", correct), ("category wrong", ~correct))}  # fmt: skip
    known = np.flatnonzero(items != "")
    list_of_item = dict(zip(items[known], searcher.gallery.lists[known], strict=True))
    item_lists = np.array([list_of_item.get(item, -1) for item in queries.items])
    labels = searcher.gallery.catalogue.column("category")[known].astype(int)
    lists = searcher.policy.select_lists(encoded.probabilities)
    return row | {
        "gallery top-1": float((searcher.gallery.lists[known] == labels).mean()),
        "scored": len(correct),
        "top-1": float(correct.mean()),
        "list reached": float((lists == item_lists[:, None]).any(axis=1).mean()),
    }
