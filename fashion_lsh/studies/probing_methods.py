"""Compare methods of list selection: latency, scanned fraction, recall and scores."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from fashion_lsh.evaluation.latency import latency_summary, time_interleaved, time_saving
from fashion_lsh.evaluation.scoring import score_search
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.metrics.retrieval import MAX_HITS, Relevance
from fashion_lsh.models.encoding import Encoded, Model
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher
from fashion_lsh.studies.latency_steps import QueryPreprocessing, time_steps

DISTANCES = ("euclidean", "hamming", "rerank")
ALL_LISTS, TOP_LIST, TRUE_CATEGORY = "all lists", "top 1", "true category"
METHODS: dict[str, dict[str, Any]] = {  # method of list selection -> changes to the search policy
    ALL_LISTS: {"nprobe": "all"},
    TOP_LIST: {"nprobe": 1},
    "top 2": {"nprobe": 2},
    "top 3": {"nprobe": 3},
    "cumulative probability 0.9": {"min_probability": 0.9},
    "cumulative probability 0.95": {"min_probability": 0.95},
    "cumulative probability 0.99": {"min_probability": 0.99},
    "top 1; all if probability < 0.5": {"nprobe": 1, "min_confidence": 0.5},
    TRUE_CATEGORY: {"nprobe": 1},
}
# Random lists have no classifier, so methods that need probabilities are skipped.
RANDOM_LIST_METHODS = (ALL_LISTS, TOP_LIST, "top 2", "top 3")
RECALL_K = 10  # recall relative to an exhaustive search

Row = dict[str, Any]
MetricSet = Literal["times", "recall", "scores"]


@dataclass(frozen=True)
class QuerySet:
    """Encoded queries with labels.

    Attributes:
        encoded: Q queries.
        oracle: The Q queries with probability 1 for the true category.
        labels: (Q,) int64, true categories.
        items: (Q,) str.
        timed_rows: (T,) int64, indices of the timed queries.
        preprocessing: Steps before the search, for the timed queries.
    """

    encoded: Encoded
    oracle: Encoded
    labels: np.ndarray
    items: np.ndarray
    timed_rows: np.ndarray
    preprocessing: QueryPreprocessing

    def encoded_for(self, method: str) -> Encoded:
        """Return the queries for a method, with oracle probabilities for TRUE_CATEGORY."""
        return self.oracle if method == TRUE_CATEGORY else self.encoded


def time_methods(
    model: Model,
    gallery: Gallery,
    queries: QuerySet,
    rerank_k: int | float,
    methods: Sequence[str],
    metric_set: MetricSet,
) -> Iterator[Row]:
    """Time all distances and methods interleaved, and yield a row for each combination.

    Args:
        model: Model of the run.
        gallery: Gallery with inverted lists.
        queries: Queries to search and to time.
        rerank_k: Number of candidates for re-ranking.
        methods: Keys of METHODS.
        metric_set: `times`: latency and scanned fraction, for random lists; `recall`: also recall relative to an
            exhaustive search; `scores`: also item scores, for galleries without perturbed copies.
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
            queries.encoded_for(method).at(int(queries.timed_rows[query])), MAX_HITS
        )

    searches = {"|".join(key): search_one(*key) for key in searchers}
    milliseconds = time_interleaved({"preprocessing": queries.preprocessing, **searches}, len(queries.timed_rows))
    preprocessing_ms = queries.preprocessing.total()
    for (distance, method), searcher in searchers.items():
        search_ms, all_lists_ms, euclidean_ms = (
            milliseconds[key] for key in (f"{distance}|{method}", f"{distance}|{ALL_LISTS}", f"euclidean|{method}")
        )
        row: Row = {"distance": distance, "method": method} | _speed(searcher, queries, method, search_ms, all_lists_ms)
        row |= _saving("time saved vs euclidean", preprocessing_ms + search_ms, preprocessing_ms + euclidean_ms)
        if distance == "rerank":
            row |= time_steps(searcher, queries.encoded_for(method), queries.timed_rows)
        if metric_set != "times":
            row |= _recall(searcher, searchers[distance, ALL_LISTS], queries, method)
        if metric_set == "scores":
            row |= _scores(searcher, queries, method)
        yield row


def _saving(name: str, method_ms: np.ndarray, baseline_ms: np.ndarray) -> Row:
    """Fraction of time saved, with its confidence interval.  (T,) milliseconds each."""
    return dict(zip((name, f"{name} low", f"{name} high"), time_saving(method_ms, baseline_ms), strict=True))


def _speed(searcher: Searcher, queries: QuerySet, method: str, search_ms: np.ndarray, all_lists_ms: np.ndarray) -> Row:
    """Latency of a method, and time saved relative to probing all lists.  (T,) milliseconds each."""
    gallery, lists = searcher.gallery, searcher.policy.select_lists(queries.encoded_for(method).probabilities)
    scanned = np.append(gallery.index.list_sizes(), 0)[lists].sum(axis=1) / len(gallery)
    preprocessing_ms = queries.preprocessing.total()
    method_ms, baseline_ms = preprocessing_ms + search_ms, preprocessing_ms + all_lists_ms
    search_ratio = float(all_lists_ms.mean() / baseline_ms.mean())
    return {
        "lists probed": float((lists >= 0).sum(axis=1).mean()), "scanned": float(scanned.mean()),
        **latency_summary("search", search_ms), **latency_summary("end_to_end", method_ms),
        **{f"{step}_ms": float(np.median(values)) for step, values in queries.preprocessing.milliseconds.items()},
        "search fraction": search_ratio, **_saving("time saved", method_ms, baseline_ms),
        "speed-up": float(baseline_ms.mean() / method_ms.mean() - 1),
        "search speed-up": float(all_lists_ms.mean() / search_ms.mean() - 1),
        "predicted saving": search_ratio * float(1 - scanned[queries.timed_rows].mean()),
    }  # fmt: skip


def _recall(searcher: Searcher, exhaustive: Searcher, queries: QuerySet, method: str) -> Row:
    """Fraction of the RECALL_K hits whose distance is at most that of hit RECALL_K in an exhaustive search."""
    timed = queries.encoded_for(method).take(queries.timed_rows)
    distances, best = (each.search_encoded(timed, RECALL_K).distances for each in (searcher, exhaustive))
    return {f"recall@{RECALL_K} vs exhaustive": float((distances <= best[:, -1:] * (1 + 1e-6)).mean())}


def _scores(searcher: Searcher, queries: QuerySet, method: str) -> Row:
    """Item scores over all queries, and separately for correctly and wrongly predicted categories."""
    encoded, items = queries.encoded_for(method), searcher.gallery.catalogue.column("item")
    scores = score_search(searcher, encoded, Relevance.from_names(queries.items, items))
    is_correct = queries.encoded.predicted == queries.labels
    row = {f"item {metric}@{k}": float(np.nanmean(scores[metric, k])) for metric, k in (("map", 100), ("recall", 10))}
    row |= {f"item map@100, {name}": float(np.nanmean(scores["map", 100][mask]))
            for name, mask in (("category correct", is_correct), ("category wrong", ~is_correct))}  # fmt: skip
    item_rows = np.flatnonzero(items != "")
    list_by_item = dict(zip(items[item_rows], searcher.gallery.lists[item_rows], strict=True))
    item_lists = np.array([list_by_item.get(item, -1) for item in queries.items])
    labels = searcher.gallery.catalogue.column("category")[item_rows].astype(int)
    lists = searcher.policy.select_lists(encoded.probabilities)
    return row | {
        "gallery top-1": float((searcher.gallery.lists[item_rows] == labels).mean()),
        "scored": len(is_correct),
        "top-1": float(is_correct.mean()),
        "item in probed lists": float((lists == item_lists[:, None]).any(axis=1).mean()),
    }
