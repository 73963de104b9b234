"""How good a ranking is: AP@k, recall@k, precision@k, with and without ties (pure numpy).

Common to all: R is the number of relevant rows in the gallery, retrieved or not. A query with R = 0 scores NaN: take
`np.nanmean` and count the NaN. A query with R > 0 and no hit scores 0.

Ties. Rows at one Hamming distance have no order of their own, so a score depends on how a library happens to order
them. The `tied_*` functions need no ranking: from the number of rows and of relevant rows at each distance they give
the exact expectation over all orders inside the distances, and the two extremes. The formulas follow F. McSherry and
M. Najork, "Computing information retrieval performance measures efficiently in the presence of tied scores", ECIR 2008.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

BLOCK_CELLS = 1 << 20  # array cells worked on at once: 8 MB an intermediate array

Denominator = Literal["reachable", "hits", "relevant"]


class TiedScores(NamedTuple):
    """Scores of rankings with ties, (Q,) float64 each: worst <= expected <= best."""

    expected: np.ndarray  # mean over all orders of equally distant rows
    best: np.ndarray  # relevant rows first among equals
    worst: np.ndarray  # relevant rows last among equals


def average_precision(
    relevant: np.ndarray, total_relevant: np.ndarray, k: int, over: Denominator = "reachable"
) -> np.ndarray:
    """AP@k: precision at each relevant place in the first k, summed, over min(R, k).  R = 0: NaN.

    Args:
        relevant: (Q, K) bool, nearest first: the hit at this place is relevant (False at padded places). With K < k,
            the places after K hold nothing.
        total_relevant: (Q,) int, R.
        k: places that count, at least 1.
        over: what the sum is divided by: min(R, k) ("reachable"), as others publish it the relevant hits found in the
            first k ("hits"; 0 where there are none), or R ("relevant").

    Returns:
        (Q,) float64.
    """
    _check_ranking(relevant, total_relevant, k)
    if over not in ("reachable", "hits", "relevant"):
        raise ValueError(f"{over=} is unknown: give reachable, hits or relevant")
    sums = np.zeros(len(relevant))
    for block in _blocks(len(relevant), min(k, relevant.shape[1])):
        first = relevant[block, :k]
        precisions = first.cumsum(axis=1) / np.arange(1, first.shape[1] + 1)
        sums[block] = np.where(first, precisions, 0).sum(axis=1)
    found = relevant[:, :k].sum(axis=1)
    denominator = {"reachable": np.minimum(total_relevant, k), "hits": found, "relevant": total_relevant}[over]
    return _scored(sums / np.maximum(denominator, 1), total_relevant)


def recall(relevant: np.ndarray, total_relevant: np.ndarray, k: int) -> np.ndarray:
    """recall@k: 1 with at least one relevant row in the first k, else 0.  R = 0: NaN.

    Args as for `average_precision`: (Q, K) bool and (Q,) int -> (Q,) float64.
    """
    _check_ranking(relevant, total_relevant, k)
    return _scored(relevant[:, :k].sum(axis=1) > 0, total_relevant)


def precision(relevant: np.ndarray, total_relevant: np.ndarray, k: int) -> np.ndarray:
    """precision@k: relevant rows in the first k, over k (also where fewer were retrieved).  R = 0: NaN.

    Args as for `average_precision`: (Q, K) bool and (Q,) int -> (Q,) float64.
    """
    _check_ranking(relevant, total_relevant, k)
    return _scored(relevant[:, :k].sum(axis=1) / k, total_relevant)


def tied_average_precision(
    relevant_at: np.ndarray, total_at: np.ndarray, total_relevant: np.ndarray, k: int
) -> TiedScores:
    """AP@k (see `average_precision`) over all orders of equally distant rows: exact mean, best, worst.  R = 0: NaN.

    Take a level of n rows, r of them relevant, after N nearer rows with c relevant. Its place i = N + j holds a
    relevant row with probability r/n, and then (j - 1)(r - 1)/(n - 1) of the level's places before it are expected to
    hold another, so with s = (r - 1)/(n - 1) the place adds r/n · (1 + c + (i - N - 1)s) / i. Over the places that
    count, m = min(n, k - N), and with H the harmonic numbers, the level adds
    r/n · ((1 + c - (N + 1)s)(H[N + m] - H[N]) + ms).

    Args:
        relevant_at: (Q, L) int, relevant rows at each distance, nearest first; only rows that can be retrieved.
        total_at: (Q, L) int, all rows at each distance, likewise.
        total_relevant: (Q,) int, R, with the relevant rows that cannot be retrieved.
        k: places that count, at least 1.

    Returns:
        (Q,) float64 three times.
    """
    _check_histograms(relevant_at, total_at, total_relevant, k)
    reach = min(k, int(total_at.sum(axis=1).max(initial=0)))
    harmonic = np.concatenate([[0.0], np.cumsum(1 / np.arange(1, reach + 1))])
    sums = np.zeros((3, len(total_at)))
    for block in _blocks(*total_at.shape):
        sums[:, block] = _tied_sums(relevant_at[block], total_at[block], harmonic)
    expected, best, worst = sums / np.maximum(np.minimum(total_relevant, k), 1)
    expected = np.clip(expected, worst, best)  # they may pass each other by a rounding error
    return TiedScores(*(_scored(scores, total_relevant) for scores in (expected, best, worst)))


def tied_recall(relevant_at: np.ndarray, total_at: np.ndarray, total_relevant: np.ndarray, k: int) -> TiedScores:
    """recall@k over all orders of equally distant rows: P(a relevant row in the first k), best, worst.  R = 0: NaN.

    Args as for `tied_average_precision`: (Q, L) int, (Q, L) int and (Q,) int -> (Q,) float64 three times.
    """
    _check_histograms(relevant_at, total_at, total_relevant, k)
    edge = _edge(relevant_at, total_at, k)
    expected = 1 - np.where(edge.hits > 0, 0.0, _chance_of_none(edge))
    scores = (expected, edge.most > 0, edge.fewest > 0)
    return TiedScores(*(_scored(values, total_relevant) for values in scores))


def tied_precision(relevant_at: np.ndarray, total_at: np.ndarray, total_relevant: np.ndarray, k: int) -> TiedScores:
    """precision@k over all orders of equally distant rows: exact mean, best, worst.  R = 0: NaN.

    Args as for `tied_average_precision`: (Q, L) int, (Q, L) int and (Q,) int -> (Q,) float64 three times.
    """
    _check_histograms(relevant_at, total_at, total_relevant, k)
    edge = _edge(relevant_at, total_at, k)
    expected = edge.hits + edge.places * edge.relevant / np.maximum(edge.rows, 1)
    return TiedScores(*(_scored(hits / k, total_relevant) for hits in (expected, edge.most, edge.fewest)))


def distance_histograms(
    distances: np.ndarray, relevant: np.ndarray, levels: int, reached: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Count relevant rows and all rows at each distance: what the `tied_*` functions take.

    Args:
        distances: (Q, N) int, 0..levels - 1 where reached; anything elsewhere.
        relevant: (Q, N) bool.
        levels: number of distances, bits + 1 for Hamming.
        reached: (Q, N) bool, rows that a probe reached; None: all.

    Returns:
        relevant_at and total_at, (Q, levels) int64 each.

    Raises:
        ValueError: shapes or types differ from these, or a reached distance is out of range.
    """
    _check_distances(distances, relevant, reached)
    relevant_at, total_at = np.zeros((2, len(distances), levels), dtype=np.int64)
    for block in _blocks(*distances.shape):
        taken = np.ones(distances[block].shape, dtype=bool) if reached is None else reached[block]
        found = distances[block][taken].astype(np.int64)
        if found.size and not 0 <= found.min() <= found.max() < levels:
            raise ValueError(f"distances reach from {found.min()} to {found.max()}, {levels=}: give levels = bits + 1")
        cells = np.nonzero(taken)[0] * levels + found
        shape = total_at[block].shape
        total_at[block] = np.bincount(cells, minlength=shape[0] * levels).reshape(shape)
        cells = cells[relevant[block][taken]]
        relevant_at[block] = np.bincount(cells, minlength=shape[0] * levels).reshape(shape)
    return relevant_at, total_at


def confidence_interval(
    scores: np.ndarray, groups: np.ndarray | None = None, level: float = 0.95, samples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap percentile interval of the mean score; NaN scores are left out first.  No score at all: (NaN, NaN).

    Args:
        scores: (Q,) float, one a query.
        groups: (Q,) of any type; queries of one group (pictures of one item, say) are drawn together. None: each alone.
            Equal values are one group, "" too: give queries without an item a value of their own.
        level: share of the bootstrap means inside the interval, between 0 and 1.
        samples: bootstrap samples, at least 1.
        seed: of the draws; the same seed gives the same interval.

    Returns:
        The lower and the upper end.
    """
    if scores.ndim != 1 or (groups is not None and groups.shape != scores.shape):
        raise ValueError(f"{scores.shape=}: give (Q,) scores, and as many groups or None")
    if not 0 < level < 1 or samples < 1:
        raise ValueError(f"{level=}, {samples=}: give a level between 0 and 1, and at least 1 sample")
    kept = ~np.isnan(scores)
    if not kept.any():
        return float("nan"), float("nan")
    members = np.arange(kept.sum()) if groups is None else np.unique(groups[kept], return_inverse=True)[1]
    means = _bootstrap_means(np.bincount(members, weights=scores[kept]), np.bincount(members), samples, seed)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


class _Edge(NamedTuple):
    """The level that holds place k (the last one where fewer rows are retrieved), (Q,) int64 each."""

    hits: np.ndarray  # relevant rows at nearer levels: surely among the first k
    places: np.ndarray  # places of the first k that fall to this level
    relevant: np.ndarray  # relevant rows at this level
    rows: np.ndarray  # rows at this level

    @property
    def most(self) -> np.ndarray:
        """(Q,) relevant rows in the first k, relevant rows first among equals."""
        return np.asarray(self.hits + np.minimum(self.places, self.relevant))

    @property
    def fewest(self) -> np.ndarray:
        """(Q,) relevant rows in the first k, relevant rows last among equals."""
        return np.asarray(self.hits + np.maximum(self.places - (self.rows - self.relevant), 0))


def _edge(relevant_at: np.ndarray, total_at: np.ndarray, k: int) -> _Edge:
    up_to = total_at.cumsum(axis=1)
    level = np.minimum((up_to < k).sum(axis=1), total_at.shape[1] - 1)[:, None]
    relevant, rows, hits, last = (
        np.take_along_axis(counts, level, axis=1)[:, 0]
        for counts in (relevant_at, total_at, relevant_at.cumsum(axis=1), up_to)
    )
    return _Edge(hits - relevant, np.minimum(k - (last - rows), rows), relevant, rows)


def _chance_of_none(edge: _Edge) -> np.ndarray:
    """(Q,) P(no relevant row at the edge's places) = C(n - r, m) / C(n, m), as a product of min(m, r) factors."""
    factors = np.minimum(edge.places, edge.relevant)
    taken = np.maximum(edge.places, edge.relevant)
    chance = np.ones(len(factors))
    for step in range(int(factors.max(initial=0))):
        going = np.flatnonzero((step < factors) & (chance > 1e-18))  # 1 - chance is 1 below
        if not going.size:
            break
        left = edge.rows[going] - step
        chance[going] *= np.maximum(left - taken[going], 0) / left
    return chance


def _tied_sums(relevant: np.ndarray, total: np.ndarray, harmonic: np.ndarray) -> np.ndarray:
    """(3, Q) sums of precisions at relevant places (expected, best, worst); `harmonic` ends at the last place."""
    reach = len(harmonic) - 1
    before, hits = total.cumsum(axis=1) - total, relevant.cumsum(axis=1) - relevant
    places = np.clip(reach - before, 0, total)
    slope = (relevant - 1) / np.maximum(total - 1, 1)
    spread = _harmonic_between(before, places, harmonic)
    expected = relevant / np.maximum(total, 1) * ((1 + hits - (before + 1) * slope) * spread + places * slope)
    others_last = before + total - relevant
    best = _run(hits, before, np.minimum(relevant, places), harmonic)
    worst = _run(hits, others_last, np.clip(reach - others_last, 0, relevant), harmonic)
    return np.stack([sums.sum(axis=1) for sums in (expected, best, worst)])


def _run(hits: np.ndarray, before: np.ndarray, count: np.ndarray, harmonic: np.ndarray) -> np.ndarray:
    """Precisions summed over `count` relevant rows in a row, after `before` rows with `hits` relevant: same shape."""
    return np.asarray(count + (hits - before) * _harmonic_between(before, count, harmonic))


def _harmonic_between(before: np.ndarray, count: np.ndarray, harmonic: np.ndarray) -> np.ndarray:
    """1/(before + 1) + ... + 1/(before + count): same shape; 0 past the last place, where count is 0."""
    start = np.minimum(before, len(harmonic) - 1)
    return np.asarray(harmonic[start + count] - harmonic[start])


def _bootstrap_means(sums: np.ndarray, counts: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """(samples,) means when as many groups as there are, (G,) sums and counts, are drawn with replacement."""
    generator = np.random.default_rng(seed)
    means = np.zeros(samples)
    for block in _blocks(samples, len(sums)):
        drawn = generator.integers(len(sums), size=(len(means[block]), len(sums)))
        means[block] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return means


def _blocks(rows: int, width: int) -> Iterator[slice]:
    """Slices over `rows` such that each holds about BLOCK_CELLS cells."""
    step = max(1, BLOCK_CELLS // max(width, 1))
    return (slice(start, start + step) for start in range(0, rows, step))


def _scored(scores: np.ndarray, total_relevant: np.ndarray) -> np.ndarray:
    return np.where(total_relevant > 0, scores, np.nan)


def _check_ranking(relevant: np.ndarray, total_relevant: np.ndarray, k: int) -> None:
    if relevant.ndim != 2 or relevant.dtype != np.bool_:
        raise ValueError(f"relevant is {relevant.dtype} {relevant.shape}: give (Q, K) bool, False at padded places")
    _check_totals(relevant.sum(axis=1), total_relevant, k)


def _check_histograms(relevant_at: np.ndarray, total_at: np.ndarray, total_relevant: np.ndarray, k: int) -> None:
    if total_at.ndim != 2 or relevant_at.shape != total_at.shape or not total_at.shape[1]:
        raise ValueError(f"{relevant_at.shape=}, {total_at.shape=}: give two (Q, L) histograms, L at least 1")
    if relevant_at.dtype != np.int64 or total_at.dtype != np.int64:
        raise ValueError(f"{relevant_at.dtype=}, {total_at.dtype=}: give int64 counts")
    if (relevant_at < 0).any() or (relevant_at > total_at).any():
        query = int(np.flatnonzero(((relevant_at < 0) | (relevant_at > total_at)).any(axis=1))[0])
        raise ValueError(f"query {query}: relevant_at is negative or above total_at: count both over the same rows")
    _check_totals(relevant_at.sum(axis=1), total_relevant, k)


def _check_totals(found: np.ndarray, total_relevant: np.ndarray, k: int) -> None:
    if k < 1:
        raise ValueError(f"{k=}: give at least 1")
    if total_relevant.shape != found.shape or not np.issubdtype(total_relevant.dtype, np.integer):
        raise ValueError(f"total_relevant is {total_relevant.dtype} {total_relevant.shape}: give {found.shape} int")
    if (found > total_relevant).any():
        query = int(np.argmax(found > total_relevant))
        raise ValueError(
            f"query {query}: {found[query]} relevant rows retrieved, total_relevant {total_relevant[query]}: "
            "count every relevant row of the gallery in total_relevant, and retrieve none twice"
        )


def _check_distances(distances: np.ndarray, relevant: np.ndarray, reached: np.ndarray | None) -> None:
    if distances.ndim != 2 or not np.issubdtype(distances.dtype, np.integer):
        raise ValueError(f"distances are {distances.dtype} {distances.shape}: give (Q, N) int")
    for name, mask in (("relevant", relevant), ("reached", reached)):
        if mask is not None and (mask.shape != distances.shape or mask.dtype != np.bool_):
            raise ValueError(f"{name} is {mask.dtype} {mask.shape}: give {distances.shape} bool")
