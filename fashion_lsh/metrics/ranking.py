"""Ranking metrics of rankings without ties (with ties: see `ties.py`).

R is the number of relevant rows in the gallery, retrieved or not. The scores of a query with R = 0 are NaN, so average
scores with `np.nanmean`. The scores of a query with R > 0 and no hit are 0. docs/metrics.md compares the conventions.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

Scores = dict[tuple[str, int], np.ndarray]  # metric and cutoff rank, for example ("map", 100) -> (Q,) float
ALL = 0  # cutoff rank that stands for the whole ranking
CUTOFFS = (1, 10, 100, ALL)  # cutoff ranks of the evaluation
CURVE_METRICS = ("precision", "recall_ratio")  # metrics at the cutoff ranks of a curve, see `curve_cutoffs`
BLOCK_CELLS = 1 << 20  # number of array elements per block; an intermediate array then takes 8 MB


class RelevantRanks(NamedTuple):
    """Ranks of the retrieved relevant rows of Q queries.

    Attributes:
        query: (M,) int64 query of each retrieved relevant row, ascending.
        rank: (M,) int64 its rank, from 1, ascending within a query.
        total_relevant: (Q,) int64, R of each query.
    """

    query: np.ndarray
    rank: np.ndarray
    total_relevant: np.ndarray

    @classmethod
    def from_ranking(cls, is_relevant: np.ndarray, total_relevant: np.ndarray) -> "RelevantRanks":
        """Find the ranks in complete rankings.

        Args:
            is_relevant: (Q, K) bool, nearest first, True for a relevant hit, False for padding.
            total_relevant: (Q,) int, R of each query.

        Raises:
            ValueError: a shape or dtype is wrong, or a query retrieves more than R relevant rows.
        """
        if is_relevant.ndim != 2 or is_relevant.dtype != np.bool_:
            raise ValueError(
                f"is_relevant has shape {is_relevant.shape} and dtype {is_relevant.dtype}; "
                "pass (Q, K) bool, False for padding"
            )
        check_totals(is_relevant.sum(axis=1), total_relevant)
        query, column = np.nonzero(is_relevant)
        return cls(query, column + 1, total_relevant)

    def num_relevant(self, max_rank: int | np.ndarray) -> np.ndarray:
        """Number of relevant rows up to a rank: int, or (Q,) int for a rank per query -> (Q,) int64."""
        return self.sums(np.ones(len(self.rank)), max_rank).astype(np.int64)

    def sums(self, gains: np.ndarray, max_rank: int | np.ndarray) -> np.ndarray:
        """Sum of the gains, (M,) float, up to a rank (see `num_relevant`): (Q,) float64."""
        is_counted = self.rank <= np.broadcast_to(max_rank, self.total_relevant.shape)[self.query]
        return np.bincount(self.query[is_counted], gains[is_counted], minlength=len(self.total_relevant))

    @property
    def ordinals(self) -> np.ndarray:
        """Position of each relevant row among the retrieved relevant rows of its query, from 1: (M,) int64."""
        counts = np.bincount(self.query, minlength=len(self.total_relevant))
        return np.arange(1, len(self.query) + 1) - (np.cumsum(counts) - counts)[self.query]


def score_ranks(ranks: RelevantRanks, cutoffs: Sequence[int] = CUTOFFS) -> Scores:
    """All metrics of rankings without ties, (Q,) float64 by metric and cutoff rank; see `metric_scores`."""
    gains = {"precision": ranks.ordinals / ranks.rank, "dcg": discounts(ranks.rank)}
    gains["first"] = np.where(ranks.ordinals == 1, 1 / ranks.rank, 0)

    def sums(name: str, max_rank: int | np.ndarray) -> np.ndarray:
        match name:
            case "count":
                return ranks.sums(np.ones(len(ranks.rank)), max_rank)
            case "any":
                return (ranks.num_relevant(max_rank) > 0).astype(np.float64)
            case "mean_precision":
                return ranks.sums(gains["precision"], max_rank) / np.maximum(ranks.num_relevant(max_rank), 1)
        return ranks.sums(gains[name], max_rank)

    return metric_scores(sums, ranks.total_relevant, cutoffs)


def metric_scores(
    sums: Callable[[str, int | np.ndarray], np.ndarray], total_relevant: np.ndarray, cutoffs: Sequence[int]
) -> Scores:
    """Normalise sums over the relevant ranks to metrics.

    Args:
        sums: function of a name and a maximum rank (int, or (Q,) int) that returns (Q,) float: `precision`, the sum of
            the precisions at the relevant ranks; `mean_precision`, their mean over the relevant rows found; `dcg`, the
            sum of 1 / log2(1 + rank); `first`, the reciprocal of the first relevant rank; `count`, the number of
            relevant rows; `any`, 1 if there is one.
        total_relevant: (Q,) int, R of each query.
        cutoffs: cutoff ranks; ALL for the whole ranking.

    Returns:
        (Q,) float64 by metric and cutoff rank k: `map`, `map_r` and `map_hits` (AP@k with min(R, k), R and the number
        of relevant rows among the first k as denominator), `ndcg`, `recall` (1 if a relevant row is among the first
        k), `recall_ratio` (relevant rows among the first k, divided by R), `precision`, and without cutoff rank `mrr`
        and `r_precision`. NaN if R = 0.
    """
    whole = np.iinfo(np.int64).max
    ideal = np.concatenate([[0.0], np.cumsum(discounts(np.arange(1, total_relevant.max(initial=0) + 1)))])
    nonzero_total = np.maximum(total_relevant, 1)
    scores: Scores = {}
    for k in cutoffs:
        check_cutoff(k)
        max_rank = k or whole
        num_ideal = np.minimum(total_relevant, max_rank)
        precision_sum, count = sums("precision", max_rank), sums("count", max_rank)
        scores["map", k] = precision_sum / np.maximum(num_ideal, 1)
        scores["map_hits", k] = sums("mean_precision", max_rank)
        scores["ndcg", k] = sums("dcg", max_rank) / np.where(total_relevant > 0, ideal[num_ideal], 1)
        scores["recall", k] = sums("any", max_rank)
        scores["recall_ratio", k] = count / nonzero_total
        if k:
            scores["map_r", k] = precision_sum / nonzero_total
            scores["precision", k] = count / k
    scores["mrr", ALL] = sums("first", whole)
    scores["r_precision", ALL] = sums("count", total_relevant) / nonzero_total
    return {column: nan_without_relevant(values, total_relevant) for column, values in scores.items()}


def discounts(ranks: np.ndarray) -> np.ndarray:
    """Discount of nDCG, 1 / log2(1 + rank).  ranks of any shape, int -> float64 of this shape.

    K. Järvelin, J. Kekäläinen: Cumulated gain-based evaluation of IR techniques, TOIS 2002, with the discount of
    C. Burges et al., ICML 2005.
    """
    return np.asarray(1 / np.log2(1 + ranks))


def cutoff_ranks(names: Sequence[int | str]) -> tuple[int, ...]:
    """Cutoff ranks of the setting `evaluation.k`: ranks and `all`, and always 1, 10 and 100, which reports show."""
    return tuple(sorted({1, 10, 100} | {int(name) for name in names if name != "all"})) + (ALL,) * ("all" in names)


def curve_cutoffs(num_rows: int) -> tuple[int, ...]:
    """Cutoff ranks of the curves of precision and recall: 1, 2, 5, 10, 20, … and the number of rows."""
    steps = [step * 10**power for power in range(len(str(num_rows))) for step in (1, 2, 5)]
    return (*(k for k in steps if k < num_rows), num_rows)


def concatenate_scores(blocks: Sequence[Scores]) -> Scores:
    """Concatenate the scores of blocks of queries."""
    return {column: np.concatenate([block[column] for block in blocks]) for column in blocks[0]}


def block_slices(num_rows: int, row_size: int) -> Iterator[slice]:
    """Split `num_rows` rows of `row_size` elements each into slices of about BLOCK_CELLS elements."""
    step = max(1, BLOCK_CELLS // max(row_size, 1))
    return (slice(start, start + step) for start in range(0, num_rows, step))


def nan_without_relevant(scores: np.ndarray, total_relevant: np.ndarray) -> np.ndarray:
    """Replace scores by NaN where R = 0.  scores (Q,), total_relevant (Q,) int -> (Q,) float64."""
    return np.where(total_relevant > 0, scores, np.nan)


def check_cutoff(k: int) -> None:
    """Check a cutoff rank.

    Raises:
        ValueError: k is negative.
    """
    if k < 0:
        raise ValueError(f"{k=}: negative cutoff rank; pass 1 or more, or {ALL} for the whole ranking")


def check_totals(retrieved: np.ndarray, total_relevant: np.ndarray) -> None:
    """Check that no query retrieves more relevant rows than R.

    retrieved: (Q,) int, number of relevant rows retrieved; total_relevant: (Q,) int, R of each query.

    Raises:
        ValueError: the check failed, or the shape or dtype of `total_relevant` is wrong.
    """
    if total_relevant.shape != retrieved.shape or not np.issubdtype(total_relevant.dtype, np.integer):
        raise ValueError(
            f"total_relevant has shape {total_relevant.shape} and dtype {total_relevant.dtype}; "
            f"pass {retrieved.shape} int"
        )
    if (retrieved > total_relevant).any():
        query = int(np.argmax(retrieved > total_relevant))
        raise ValueError(
            f"total_relevant[{query}]={total_relevant[query]} is below the {retrieved[query]} relevant rows retrieved; "
            "count all relevant rows of the gallery, and retrieve each at most once"
        )
