"""Scores of re-ranked candidates whose last Hamming distance is tied.

Re-ranking takes the m nearest rows by Hamming distance. Of the rows at the largest of these distances, usually only
some fit into the m candidates, and which ones is arbitrary. The scores are the exact expectation over all choices.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fashion_lsh.metrics.ranking import CUTOFFS, Scores, discounts, metric_scores
from fashion_lsh.metrics.tie_formulas import hypergeometric


class Candidates(NamedTuple):
    """Rows that may be candidates of one query, in the order of the re-ranking.

    Attributes:
        is_relevant: (S,) bool.
        is_edge: (S,) bool, True for the n rows at the largest Hamming distance, of which `num_drawn` are candidates.
        num_drawn: number of candidates among these rows, 0..n.
    """

    is_relevant: np.ndarray
    is_edge: np.ndarray
    num_drawn: int


def find_candidates(distances: np.ndarray, num_candidates: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Find the rows that may be among the nearest `num_candidates`.

    Args:
        distances: (N,) int Hamming distances of one query to the rows in the probed lists.
        num_candidates: number of candidates, at least 1.

    Returns:
        Rows (S,) int64, `is_edge` (S,) bool and `num_drawn`, see Candidates.
    """
    if num_candidates >= len(distances):
        return np.arange(len(distances)), np.zeros(len(distances), dtype=bool), 0
    largest = np.partition(distances, num_candidates - 1)[num_candidates - 1]
    rows = np.flatnonzero(distances <= largest)
    is_edge = distances[rows] == largest
    return rows, is_edge, num_candidates - int((~is_edge).sum())


def score_candidates(
    candidates: Sequence[Candidates], total_relevant: np.ndarray, cutoffs: Sequence[int] = CUTOFFS
) -> Scores:
    """Expected scores of Q re-ranked queries over all choices of candidates.

    Args:
        candidates: candidates of each query.
        total_relevant: (Q,) int, R of each query.
        cutoffs: cutoff ranks, ALL for all candidates.

    Returns:
        (Q,) float64 by metric and cutoff rank: see `metric_scores`, without `map_hits`, whose denominator depends on
        the choice.
    """
    length = max((len(each.is_relevant) for each in candidates), default=0)
    profiles = np.zeros((len(candidates), 3, length + 1))
    for profile, each in zip(profiles, candidates, strict=True):
        profile[:, : len(each.is_relevant) + 1] = _profile(each)
    relevant, precision, first = profiles[:, :, 1:].transpose(1, 0, 2)  # (Q, S) each, by rank from 1
    ranks = np.arange(1, length + 1)
    values = {"precision": precision, "dcg": relevant * discounts(ranks), "first": first / np.maximum(ranks, 1),
              "count": relevant, "any": first}  # fmt: skip

    def sums(name: str, max_rank: int | np.ndarray) -> np.ndarray:
        if name == "mean_precision":
            return np.zeros(len(candidates))
        return np.asarray(np.where(ranks <= np.reshape(max_rank, (-1, 1)), values[name], 0).sum(axis=1))

    scores = metric_scores(sums, total_relevant, cutoffs)
    return {column: values for column, values in scores.items() if column[0] != "map_hits"}


def _profile(candidates: Candidates) -> np.ndarray:
    """Expectations at each rank 0..S, (3, S + 1) float64.

    The rows are the probability that the row at the rank is relevant, the expectation of its precision if it is
    relevant (else 0), and the probability that it is the first relevant row.

    A relevant row has a certain rows and b edge rows before it; j of the b are candidates with the probability of the
    hypergeometric distribution. The rank is then a + j + 1, and the expected number of relevant rows up to it is
    1 + c + j r / b, where c of the a rows and r of the b rows are relevant. It is the first one if c = 0 and none of
    the j is relevant, with probability C(b - r, j) / C(b, j).
    """
    is_edge, is_relevant, drawn = candidates.is_edge, candidates.is_relevant, candidates.num_drawn
    rows = np.flatnonzero(is_relevant & (~is_edge | (drawn > 0)))
    before = [_counts_before(mask)[rows] for mask in (~is_edge, is_edge, is_relevant & ~is_edge, is_relevant & is_edge)]
    certain, edge, certain_relevant, edge_relevant = (counts[:, None] for counts in before)
    is_drawn = is_edge[rows].astype(np.int64)  # an edge row is itself one of the drawn rows
    num_edge = np.full(len(rows), is_edge.sum())
    share = np.where(is_drawn, drawn / max(int(is_edge.sum()), 1), 1.0)[:, None]
    probabilities = share * hypergeometric(num_edge - is_drawn, edge[:, 0], np.maximum(drawn - is_drawn, 0))
    drawn_before = np.arange(probabilities.shape[1])
    ranks = certain + drawn_before + 1
    hits = 1 + certain_relevant + drawn_before * edge_relevant / np.maximum(edge, 1)
    steps = np.maximum(edge - edge_relevant - drawn_before[:-1], 0) / np.maximum(edge - drawn_before[:-1], 1)
    none_relevant = np.concatenate([np.ones((len(rows), 1)), np.cumprod(steps, axis=1)], axis=1)
    first = probabilities * none_relevant * (certain_relevant == 0)
    is_possible = probabilities > 0
    return np.stack([
        np.bincount(ranks[is_possible], values[is_possible], minlength=len(is_relevant) + 1)
        for values in (probabilities, probabilities * hits / ranks, first)
    ])  # fmt: skip


def _counts_before(mask: np.ndarray) -> np.ndarray:
    """Number of True values before each position.  (S,) bool -> (S,) int64."""
    return np.asarray(mask.cumsum() - mask)
