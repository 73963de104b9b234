"""Expectations and bounds of sums over the relevant ranks of rankings with ties (see `ties.py`)."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from fashion_lsh.metrics.ties import Levels

NEGLIGIBLE = 1e-18  # probability that does not change a sum of probabilities, which is at most 1


class Boundary(NamedTuple):
    """Level that contains a rank k, or the last level if fewer rows are retrieved.  All attributes are (Q,) int64.

    Attributes:
        nearer: number of rows at nearer levels, N.
        nearer_relevant: number of relevant rows at nearer levels, c.
        num_rows: number of rows at the level, n.
        num_relevant: number of relevant rows at the level, r.
        num_ranks: number of ranks up to k within the level, m.
    """

    nearer: np.ndarray
    nearer_relevant: np.ndarray
    num_rows: np.ndarray
    num_relevant: np.ndarray
    num_ranks: np.ndarray


def expected_precision_sum(levels: "Levels", max_rank: int | np.ndarray) -> np.ndarray:
    """Expected sum of the precisions at the relevant ranks up to a rank: (Q,) float64.

    The row at rank i = N + j of a level is relevant with probability r/n; the expected number of relevant rows before
    it in the level is then (j - 1)(r - 1)/(n - 1). With s = (r - 1)/(n - 1), rank i adds
    r/n · (1 + c + (i - N - 1)s) / i. With m ranks up to `max_rank`, and harmonic numbers H, the level adds
    r/n · ((1 + c - (N + 1)s)(H[N + m] - H[N]) + ms).
    """
    return np.asarray(_level_sums(levels, levels.ranks_up_to(max_rank)).sum(axis=1))


def expected_mean_precision(levels: "Levels", max_rank: int | np.ndarray) -> np.ndarray:
    """Expected mean of the precisions at the relevant ranks up to a rank, 0 without a relevant row: (Q,) float64.

    Of the m ranks in the boundary level, h are relevant with the probability of the hypergeometric distribution; given
    h, the level adds the sum of `expected_precision_sum` with n = m and r = h. The mean over h of the sum divided by
    c + h is exact, unlike the ratio of two expectations.
    """
    boundary = levels.boundary(max_rank)
    num_ranks = levels.ranks_up_to(max_rank)
    is_nearer = levels.nearer + levels.total <= boundary.nearer[:, None]
    nearer_sum = np.where(is_nearer, _level_sums(levels, num_ranks), 0).sum(axis=1)[:, None]
    is_whole = boundary.num_ranks == boundary.num_rows  # the number of relevant rows is known
    drawn = np.where(is_whole, 0, boundary.num_ranks)
    probabilities = hypergeometric(boundary.num_rows, boundary.num_relevant, drawn)  # (Q, H + 1)
    hits = np.arange(probabilities.shape[1])
    level_sum = _sum_of_level(
        boundary.nearer[:, None], boundary.nearer_relevant[:, None], drawn[:, None], hits, drawn[:, None],
        levels.harmonic,
    )  # fmt: skip
    means = (nearer_sum + level_sum) / np.maximum(boundary.nearer_relevant[:, None] + hits, 1)
    expected = np.where(probabilities > 0, probabilities * means, 0).sum(axis=1)
    total = expected_precision_sum(levels, max_rank)
    known = total / np.maximum(boundary.nearer_relevant + boundary.num_relevant, 1)
    return np.where(is_whole, known, expected)


def expected_reciprocal_rank(levels: "Levels") -> np.ndarray:
    """Expectation of 1 / (first relevant rank), 0 without a relevant row: (Q,) float64.

    In the first level with relevant rows, the first of them is at position t with probability
    P(t) = P(t - 1) (n - r - t + 2) / (n - t + 1), P(1) = r/n.
    """
    first = np.argmax(levels.relevant > 0, axis=1)[:, None]
    columns = (levels.nearer, levels.total, levels.relevant)
    triples = np.stack([np.take_along_axis(counts, first, axis=1)[:, 0] for counts in columns], axis=1)
    unique, inverse = np.unique(triples, axis=0, return_inverse=True)
    expectations = np.array([_reciprocal_rank(*map(int, triple)) for triple in unique])
    return expectations[inverse.ravel()] if len(triples) else np.zeros(0)


def precision_sum_bounds(levels: "Levels", max_rank: int) -> np.ndarray:
    """Sum of the precisions at the relevant ranks with the relevant rows of a level last, and first: (2, Q) float64."""
    num_ranks = levels.ranks_up_to(max_rank)
    best = _precision_sum(
        levels.nearer_relevant, levels.nearer, np.minimum(levels.relevant, num_ranks), levels.harmonic
    )
    worst_nearer = levels.nearer + levels.total - levels.relevant  # rows before the relevant rows of the level
    worst_count = np.clip(max_rank - worst_nearer, 0, levels.relevant)
    worst = _precision_sum(levels.nearer_relevant, worst_nearer, worst_count, levels.harmonic)
    return np.stack([worst.sum(axis=1), best.sum(axis=1)])


def probability_of_none(boundary: Boundary) -> np.ndarray:
    """P(no relevant row at the m ranks of the level) = C(n - r, m) / C(n, m), with min(m, r) factors: (Q,)."""
    smaller = np.minimum(boundary.num_ranks, boundary.num_relevant)
    larger = np.maximum(boundary.num_ranks, boundary.num_relevant)
    probability = np.ones(len(smaller))
    for step in range(int(smaller.max(initial=0))):
        active = np.flatnonzero((step < smaller) & (probability > NEGLIGIBLE))
        if not active.size:
            break
        remaining = boundary.num_rows[active] - step
        probability[active] *= np.maximum(remaining - larger[active], 0) / remaining
    return probability


def hypergeometric(num_rows: np.ndarray, num_relevant: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Probability of h relevant rows among m rows drawn from n rows, r of them relevant.

    The probabilities are products of the ratios P(h + 1) / P(h) = (r - h)(m - h) / ((h + 1)(n - r - m + h + 1)),
    normalised to a sum of 1.

    num_rows n (Q,), num_relevant r (Q,), drawn m (Q,), int -> (Q, max(min(m, r)) + 1) float64, by h from 0.
    """
    largest = np.minimum(num_relevant, drawn)
    smallest = np.maximum(drawn - (num_rows - num_relevant), 0)[:, None]
    hits = np.arange(largest.max(initial=0) + 1)
    n, r, m, h = num_rows[:, None], num_relevant[:, None], drawn[:, None], hits[:-1]
    has_ratio = (h >= smallest) & (h < largest[:, None])
    ratios = np.where(has_ratio, (r - h) * (m - h) / np.maximum((h + 1.0) * (n - r - m + h + 1), 1), 1)
    logarithms = np.concatenate([np.zeros((len(n), 1)), np.cumsum(np.log(ratios), axis=1)], axis=1)
    logarithms = np.where((hits >= smallest) & (hits <= largest[:, None]), logarithms, -np.inf)
    weights = np.exp(logarithms - logarithms.max(axis=1, keepdims=True, initial=-np.inf))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _level_sums(levels: "Levels", num_ranks: np.ndarray) -> np.ndarray:
    """Expected sums of precisions of each level, (Q, L) float64; `num_ranks`: (Q, L)."""
    return _sum_of_level(
        levels.nearer, levels.nearer_relevant, levels.total, levels.relevant, num_ranks, levels.harmonic
    )


def _sum_of_level(
    nearer: np.ndarray,
    nearer_relevant: np.ndarray,
    total: np.ndarray,
    relevant: np.ndarray,
    num_ranks: np.ndarray,
    harmonic: np.ndarray,
) -> np.ndarray:
    """Expected sum of the precisions at the relevant ranks among the first `num_ranks` of a level, elementwise."""
    slope = (relevant - 1) / np.maximum(total - 1, 1)
    harmonic_sum = _harmonic_between(nearer, num_ranks, harmonic)
    level_sum = (1 + nearer_relevant - (nearer + 1) * slope) * harmonic_sum + num_ranks * slope
    return np.asarray(relevant / np.maximum(total, 1) * level_sum)


def _reciprocal_rank(nearer: int, num_rows: int, num_relevant: int) -> float:
    if not num_relevant:
        return 0.0
    # beyond this position, the probability that no relevant row has occurred is NEGLIGIBLE
    max_position = int(-np.log(NEGLIGIBLE) * num_rows / num_relevant) + 1
    earlier = np.arange(min(num_rows - num_relevant, max_position))  # number of rows before the first relevant row
    ratios = (num_rows - num_relevant - earlier) / (num_rows - earlier - 1)
    probabilities = num_relevant / num_rows * np.concatenate([[1.0], np.cumprod(ratios)])
    return float((probabilities / (nearer + 1 + np.arange(len(probabilities)))).sum())


def _precision_sum(
    nearer_relevant: np.ndarray, nearer: np.ndarray, count: np.ndarray, harmonic: np.ndarray
) -> np.ndarray:
    """Sum of precisions over `count` consecutive relevant rows after `nearer` rows."""
    return np.asarray(count + (nearer_relevant - nearer) * _harmonic_between(nearer, count, harmonic))


def _harmonic_between(nearer: np.ndarray, count: np.ndarray, harmonic: np.ndarray) -> np.ndarray:
    """1/(nearer + 1) + ... + 1/(nearer + count), elementwise."""
    return np.asarray(harmonic[nearer + count] - harmonic[nearer])
