"""The ways of choosing lists, timed beside each other: what each saves, scans, recalls and scores."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from fashion_lsh.evaluation.latency import interleaved, saving, summary
from fashion_lsh.evaluation.protocol import own_search
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.metrics.retrieval import DEPTH, Truth
from fashion_lsh.models.encoding import Encoded, Model
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher
from fashion_lsh.studies.latency_steps import Before, steps

DISTANCES = ("euclidean", "hamming", "rerank")
ARMS: dict[str, dict[str, Any]] = {  # how the lists are chosen
    "whole": {"probes": "all"},
    "1": {"probes": 1}, "2": {"probes": 2}, "3": {"probes": 3},
    "0.9": {"probes": 0.9}, "0.95": {"probes": 0.95}, "0.99": {"probes": 0.99},
    "1, whole if unsure": {"probes": 1, "min_confidence": 0.5},
    "true category": {"probes": 1},
}  # fmt: skip
COUNTED = ("whole", "1", "2", "3")  # arms for lists of another data set's frequencies: no classifier, no masses
NEAR = 10  # places whose recall is told

Row = dict[str, Any]
Told = Literal["times", "recalled", "scores"]


@dataclass(frozen=True)
class Asked:
    """The queries of one setting: as they are filed and asked.

    encoded: Q queries; known: the same with all mass on the true category; labels: (Q,); items: (Q,); timed: (T,) which
    of them are timed; before: all that comes before the search of each of these.
    """

    encoded: Encoded
    known: Encoded
    labels: np.ndarray
    items: np.ndarray
    timed: np.ndarray
    before: Before

    def of(self, arm: str) -> Encoded:
        """As they are asked in one arm."""
        return self.known if arm == "true category" else self.encoded


def timed(
    model: Model, gallery: Gallery, asked: Asked, shortlist: int | float, arms: Sequence[str], told: Told
) -> Iterator[Row]:
    """A row for each distance and each of these arms, all timed in turns.

    `told`, each with what stands before it:
        times: and shares: where the lists are not the model's own.
        recalled: how much of the whole gallery's first places is found.
        scores: where all pictures were really composed.
    """
    plain = SearchPolicy("hamming", 1, shortlist, alpha=0.5, min_confidence=0.0)
    any_way = Searcher(model, gallery, plain)
    searchers = {(distance, arm): any_way.with_policy(replace(plain, distance=distance, **chosen))  # type: ignore[arg-type]
                 for distance in DISTANCES for arm, chosen in ((arm, ARMS[arm]) for arm in arms)}  # fmt: skip

    def one(distance: str, arm: str) -> Callable[[int], object]:
        return lambda query: searchers[distance, arm].search_encoded(asked.of(arm).at(int(asked.timed[query])), DEPTH)

    arms_asked = {"|".join(key): one(*key) for key in searchers}
    milliseconds = interleaved({"before": asked.before, **arms_asked}, len(asked.timed))
    before = asked.before.total()
    for (distance, arm), searcher in searchers.items():
        taken, whole, exact = (
            milliseconds[key] for key in (f"{distance}|{arm}", f"{distance}|whole", f"euclidean|{arm}")
        )
        row: Row = {"distance": distance, "arm": arm} | _speed(searcher, asked, arm, taken, whole)
        row |= _saved("saved over euclidean", before + taken, before + exact)
        if distance == "rerank":
            row |= steps(searcher, asked.of(arm), asked.timed)
        if told != "times":
            row |= _recalled(searcher, searchers[distance, "whole"], asked, arm)
        if told == "scores":
            row |= _scores(searcher, asked, arm)
        yield row


def _saved(name: str, ours: np.ndarray, theirs: np.ndarray) -> Row:
    """The share of the time that is saved, and its interval.  (T,) milliseconds each."""
    return dict(zip((name, f"{name} low", f"{name} high"), saving(ours, theirs), strict=True))


def _speed(searcher: Searcher, asked: Asked, arm: str, taken: np.ndarray, whole: np.ndarray) -> Row:
    """Times of one arm beside those of the whole gallery, (T,) milliseconds each."""
    gallery, lists = searcher.gallery, searcher.policy.select_lists(asked.of(arm).probabilities)
    scanned = np.append(gallery.index.list_sizes(), 0)[lists].sum(axis=1) / len(gallery)
    ours, theirs = asked.before.total() + taken, asked.before.total() + whole
    share = float(whole.mean() / theirs.mean())
    return {
        "lists probed": float((lists >= 0).sum(axis=1).mean()), "scanned": float(scanned.mean()),
        **summary("search", taken), **summary("end_to_end", ours),
        **{f"{step}_ms": float(np.median(values)) for step, values in asked.before.milliseconds.items()},
        "search share": share, **_saved("saved", ours, theirs),
        "faster by": float(theirs.mean() / ours.mean() - 1), "search faster by": float(whole.mean() / taken.mean() - 1),
        "predicted saving": share * float(1 - scanned[asked.timed].mean()),
    }  # fmt: skip


def _recalled(searcher: Searcher, whole: Searcher, asked: Asked, arm: str) -> Row:
    """Of the first NEAR places, how many are as near as the last of them in the whole gallery."""
    part = asked.of(arm).take(asked.timed)
    found, best = searcher.search_encoded(part, NEAR).distances, whole.search_encoded(part, NEAR).distances
    return {f"recall@{NEAR} of whole": float((found <= best[:, -1:] * (1 + 1e-6)).mean())}


def _scores(searcher: Searcher, asked: Asked, arm: str) -> Row:
    """Item scores over all queries, and apart for those whose category was predicted right and wrong."""
    of, items = asked.of(arm), searcher.gallery.catalogue.column("item")
    scores = own_search(searcher, of, Truth.of(asked.items, items))
    right = asked.encoded.predicted == asked.labels
    row = {f"item {name}": float(np.nanmean(scores[name])) for name in ("map@100", "recall@10")}
    row |= {f"item map@100, {name}": float(np.nanmean(scores["map@100"][which]))
            for name, which in (("category right", right), ("category wrong", ~right))}  # fmt: skip
    known = np.flatnonzero(items != "")
    filed = dict(zip(items[known], searcher.gallery.lists[known], strict=True))
    wanted = np.array([filed.get(item, -1) for item in asked.items])
    labels = searcher.gallery.catalogue.column("category")[known].astype(int)
    lists = searcher.policy.select_lists(of.probabilities)
    return row | {
        "gallery top-1": float((searcher.gallery.lists[known] == labels).mean()),
        "scored": len(right),
        "top-1": float(right.mean()),
        "list reached": float((lists == wanted[:, None]).any(axis=1).mean()),
    }
