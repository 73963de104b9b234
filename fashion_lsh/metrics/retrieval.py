"""Per-query scores of one search, by category and by item (pure)."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fashion_lsh.index.distances import hamming
from fashion_lsh.index.hits import Hits
from fashion_lsh.metrics.ranking import Scores, average_precision, blocks, precision, recall, scored
from fashion_lsh.metrics.ties import (
    TiedScores,
    distance_histograms,
    tied_average_precision,
    tied_precision,
    tied_recall,
)

DEPTH = 100  # hits a served ranking must hold


@dataclass(frozen=True)
class Truth:
    """What is relevant to what: numbers that are equal belong together, -1 belongs to nothing.

    Attributes:
        query: (Q,) int64.
        gallery: (N,) int64.
        lost: (L,) int64, what should be in the gallery and is not: nobody finds it, and it counts.
    """

    query: np.ndarray
    gallery: np.ndarray
    lost: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    @classmethod
    def of(cls, query_names: np.ndarray, gallery_names: np.ndarray, lost_names: np.ndarray | None = None) -> "Truth":
        """From names, (Q,), (N,) and (L,) str; "" belongs to nothing."""
        lost = np.empty(0, dtype=object) if lost_names is None else lost_names
        names = np.concatenate([query_names, gallery_names, lost]).astype(str)
        _, numbers = np.unique(names, return_inverse=True)
        numbers = np.where(names == "", -1, numbers)
        return cls(*np.split(numbers, np.cumsum([len(query_names), len(gallery_names)])))

    def relevant(self, queries: slice) -> np.ndarray:
        """(q, N) bool for some of the queries."""
        query = self.query[queries, None]
        return np.asarray((query == self.gallery) & (query >= 0))

    @property
    def totals(self) -> np.ndarray:
        """(Q,) int64: relevant rows in the gallery, and lost ones."""
        numbers = np.concatenate([self.gallery, self.lost])
        known = numbers[numbers >= 0]
        counts = np.bincount(known, minlength=self.query.max(initial=0) + 1)
        return np.where(self.query >= 0, counts[self.query], 0)


def of_hits(hits: Hits, truth: Truth) -> Scores:
    """Scores of a served ranking, (Q,) each: its order is a fixed rule, so best and worst equal the expected."""
    found = np.where(hits.rows >= 0, truth.gallery[hits.rows], -1)
    relevant = (found == truth.query[:, None]) & (found >= 0)
    ap = average_precision(relevant, truth.totals, DEPTH)
    scores = {"map@100": ap, "map@100_best": ap, "map@100_worst": ap}
    for k in (1, 10):
        scores[f"recall@{k}"] = recall(relevant, truth.totals, k)
    return scores | {"precision@10": precision(relevant, truth.totals, 10)}


def of_distances(
    distances: Callable[[slice], np.ndarray], levels: int, truth: Truth, reached: Callable[[slice], np.ndarray] | None
) -> Scores:
    """Tie-aware scores of whole-number distances, (Q,) each: the expectation over random order among equals.

    Args:
        distances: gives (q, N) int for a slice of the queries, 0..levels - 1.
        levels: how many distances there are.
        truth: what is relevant.
        reached: gives (q, N) bool, the rows in the lists that those queries probe; None: all.
    """
    parts = []
    for block in blocks(len(truth.query), len(truth.gallery)):
        probed = None if reached is None else reached(block)
        parts.append(distance_histograms(distances(block), truth.relevant(block), levels, probed))
    relevant_at, total_at = (np.concatenate(histogram) for histogram in zip(*parts, strict=True))
    ap = tied_average_precision(relevant_at, total_at, truth.totals, DEPTH)
    scores = {"map@100": ap.expected, "map@100_best": ap.best, "map@100_worst": ap.worst}
    measures: dict[str, TiedScores] = {
        f"recall@{k}": tied_recall(relevant_at, total_at, truth.totals, k) for k in (1, 10)
    } | {"precision@10": tied_precision(relevant_at, total_at, truth.totals, 10)}
    return scores | {name: tied.expected for name, tied in measures.items()}


def of_codes(
    queries: np.ndarray, gallery: np.ndarray, truth: Truth, reached: Callable[[slice], np.ndarray] | None
) -> Scores:
    """The same of the Hamming distances between packed codes, (Q, W) and (N, W) uint8."""
    levels = 8 * queries.shape[1] + 1
    return of_distances(lambda block: hamming(queries[block], gallery), levels, truth, reached)


def precision_within(queries: np.ndarray, gallery: np.ndarray, truth: Truth, radius: int) -> np.ndarray:
    """Precision of a look-up: relevant rows among those at most `radius` bits away, 0 where there is none; R = 0: NaN.

    (Q, W) and (N, W) uint8 packed codes -> (Q,) float64.
    """
    near, relevant = np.zeros((2, len(queries)))
    for block in blocks(len(queries), len(gallery)):
        reached = hamming(queries[block], gallery) <= radius
        near[block], relevant[block] = reached.sum(axis=1), (reached & truth.relevant(block)).sum(axis=1)
    return scored(relevant / np.maximum(near, 1), truth.totals)
