"""Tie-aware scores against brute force over all orders of tied rows, and invariants of the scores."""

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fashion_lsh.metrics import ranking
from fashion_lsh.metrics.ranking import ALL, RelevantRanks, Scores, score_ranks
from fashion_lsh.metrics.tie_formulas import hypergeometric
from fashion_lsh.metrics.ties import Levels, distance_histograms, score_levels

CUTOFFS = (1, 2, 3, 5, 8, 20, ALL)
LevelCounts = list[tuple[int, int]]  # number of relevant rows and of all rows at each distance


def bool_array(*rankings: str) -> np.ndarray:
    return np.array([[character == "1" for character in text] for text in rankings])


def int_array(*numbers: Any) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


def all_orders(levels: LevelCounts) -> list[list[bool]]:
    """All distinct, equally likely rankings of (relevant, total) levels."""
    orders_by_level = [
        [
            [rank in relevant_ranks for rank in range(total)]
            for relevant_ranks in itertools.combinations(range(total), relevant)
        ]
        for relevant, total in levels
    ]
    return [list(itertools.chain(*parts)) for parts in itertools.product(*orders_by_level)]


def level_scores(levels: LevelCounts, total_relevant: int, cutoffs: tuple[int, ...] = CUTOFFS) -> Scores:
    """Scores of one query, as Python numbers."""
    relevant_at, total_at = np.array(levels, dtype=np.int64).T[:, None]
    scores = score_levels(Levels(relevant_at, total_at, int_array(total_relevant)), cutoffs)
    return {column: values.item() for column, values in scores.items()}


def assert_means_over_orders(levels: LevelCounts, total_relevant: int) -> None:
    """Compare the scores with the means, and the bounds of AP with the extremes, over all orders."""
    num_rows = sum(total for _, total in levels)
    orders = np.array(all_orders(levels), dtype=bool).reshape(-1, num_rows) if num_rows else np.zeros((1, 0), bool)
    by_order = score_ranks(RelevantRanks.from_ranking(orders, np.full(len(orders), total_relevant)), CUTOFFS)
    expected = {column: values.mean() for column, values in by_order.items()}
    expected |= {("map_best", k): by_order["map", k].max() for k in CUTOFFS}
    expected |= {("map_worst", k): by_order["map", k].min() for k in CUTOFFS}
    assert level_scores(levels, total_relevant) == pytest.approx(expected, abs=1e-12)


@st.composite
def searches(draw: st.DrawFn, max_rows: int = 8) -> tuple[LevelCounts, int]:
    """Draw (levels, total_relevant) with at most `max_rows` rows, so that all orders can be enumerated."""
    totals = draw(st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(lambda totals: sum(totals) <= max_rows))
    levels = [(draw(st.integers(0, total)), total) for total in totals]
    num_relevant = sum(relevant for relevant, _ in levels)
    return levels, num_relevant + draw(st.integers(0 if num_relevant else 1, 3))


def test_a_query_without_relevant_rows_scores_nan_with_ties() -> None:
    scores = score_levels(Levels(int_array([0, 0], [0, 1]), int_array([2, 3], [2, 3]), int_array(0, 1)))
    assert all(np.isnan(values).tolist() == [True, False] for values in scores.values())


def test_scores_of_equal_distances_equal_hand_computed_values() -> None:
    # orders 110, 101, 011 have AP 1, 5/6, 7/12
    scores = level_scores([(2, 3)], 2)
    assert [scores[name, 3] for name in ("map", "map_best", "map_worst")] == pytest.approx([29 / 36, 1, 7 / 12])
    assert scores["mrr", ALL] == pytest.approx((1 + 1 + 1 / 2) / 3)
    # 3 of 10 rows are relevant: P(none among the first 4) = C(7, 4) / C(10, 4)
    scores = level_scores([(3, 10)], 3, (4,))
    assert scores["recall", 4] == pytest.approx(1 - 35 / 210)
    assert scores["precision", 4] == scores["r_precision", ALL] == pytest.approx(3 / 10)


@pytest.mark.parametrize("levels", [[(3, 8)], [(1, 3), (2, 4)], [(0, 2), (5, 5)], [(1, 1), (2, 5), (1, 2)]])
def test_scores_equal_means_over_all_orders(levels: LevelCounts) -> None:
    assert_means_over_orders(levels, sum(relevant for relevant, _ in levels))


@given(searches())
@settings(max_examples=100, deadline=None)
def test_scores_of_random_histograms_equal_means_over_all_orders(search: tuple[LevelCounts, int]) -> None:
    assert_means_over_orders(*search)


@given(searches(), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_without_ties_expectation_and_bounds_equal_the_ranking(search: tuple[LevelCounts, int], seed: int) -> None:
    levels, total_relevant = search
    orders = all_orders(levels)
    order = np.array([orders[seed % len(orders)]], dtype=bool).reshape(1, -1)
    assume(order.size)
    scores = score_levels(Levels(order.astype(np.int64), np.ones(order.shape, np.int64), int_array(total_relevant)))
    expected = score_ranks(RelevantRanks.from_ranking(order, int_array(total_relevant)))
    for (name, k), values in scores.items():
        name = "map" if name in ("map_best", "map_worst") else name
        assert values[0] == pytest.approx(expected[name, k][0], abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 3000))
@settings(max_examples=30, deadline=None)
def test_scores_lie_between_0_and_1_and_ap_between_its_bounds(seed: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    total_at = generator.integers(0, 200, (20, 33))
    relevant_at = generator.binomial(total_at, generator.random((20, 1)) ** 3)
    total = relevant_at.sum(axis=1) + generator.integers(0, 3, 20)
    scores = score_levels(Levels(relevant_at, total_at, total), (k, ALL))
    for column, values in scores.items():
        assert ((values[total > 0] >= 0) & (values[total > 0] <= 1 + 1e-12)).all(), column
    for cutoff in (k, ALL):
        worst, expected, best = (scores[name, cutoff][total > 0] for name in ("map_worst", "map", "map_best"))
        assert ((worst <= expected) & (expected <= best)).all()


def test_scores_do_not_depend_on_batch_or_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(3)
    total_at = generator.integers(0, 40, (50, 9))
    relevant_at = generator.binomial(total_at, 0.1)
    total = relevant_at.sum(axis=1) + 1
    in_batch = score_levels(Levels(relevant_at, total_at, total))
    monkeypatch.setattr(ranking, "BLOCK_CELLS", 40)
    for column, values in score_levels(Levels(relevant_at, total_at, total)).items():
        np.testing.assert_allclose(values, in_batch[column], atol=1e-12, err_msg=str(column))


def test_relevant_rows_outside_the_probed_lists_lower_the_score() -> None:
    all_probed, some_not_probed = (level_scores([(2, 3), (1, 4)], total, (10,)) for total in (3, 6))
    for name in ("map", "map_best", "map_worst", "map_r", "recall_ratio"):
        assert some_not_probed[name, 10] == pytest.approx(all_probed[name, 10] / 2)
    for name in ("recall", "map_hits", "precision"):
        assert some_not_probed[name, 10] == all_probed[name, 10]


def test_a_query_without_retrieved_rows_scores_0() -> None:
    assert set(level_scores([(0, 0), (0, 0)], 4).values()) == {0}


def test_scores_of_many_rows_equal_sums_over_ranks() -> None:
    levels, total_relevant, k = [(20, 150), (3_000, 100_000), (5, 1_000)], 4_000, 1_000
    precisions, gains, before, hits = [], [], 0, 0
    for relevant, total in levels:
        for rank in range(before + 1, min(before + total, k) + 1):
            expected_hits = hits + (rank - before - 1) * (relevant - 1) / (total - 1)
            precisions.append(relevant / total * (1 + expected_hits) / rank)
            gains.append(relevant / total / math.log2(1 + rank))
        before, hits = before + total, hits + relevant
    scores = level_scores(levels, total_relevant, (k,))
    assert scores["map", k] == pytest.approx(math.fsum(precisions) / k, abs=1e-12)
    ideal = math.fsum(1 / math.log2(1 + rank) for rank in range(1, k + 1))
    assert scores["ndcg", k] == pytest.approx(math.fsum(gains) / ideal, abs=1e-12)
    best = [*[1.0] * 20, *[(rank - 130) / rank for rank in range(151, k + 1)]]
    assert scores["map_best", k] == pytest.approx(math.fsum(best) / k, abs=1e-12)
    assert scores["map_worst", k] == pytest.approx(math.fsum(hit / (130 + hit) for hit in range(1, 21)) / k, abs=1e-12)


@pytest.mark.parametrize(("relevant", "k"), [(1, 1_000), (7, 500), (300, 40), (3_000, 1_000), (99_999, 1)])
def test_scores_of_a_large_tie_are_hypergeometric(relevant: int, k: int) -> None:
    rows, nearer = 100_000, 30
    drawn = max(k - nearer, 0)
    probability_of_none = Fraction(math.comb(rows - relevant, drawn), math.comb(rows, drawn))
    scores = level_scores([(0, nearer), (relevant, rows)], relevant, (k,))
    assert scores["recall", k] == pytest.approx(float(1 - probability_of_none), rel=1e-12)
    probability, reciprocal = 1.0, 0.0  # of no relevant row among the first rows of the tie
    for position in range(rows - relevant + 1):
        reciprocal += probability * relevant / (rows - position) / (nearer + 1 + position)
        probability *= (rows - relevant - position) / (rows - position)
    assert scores["mrr", ALL] == pytest.approx(reciprocal, rel=1e-12)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=4))
def test_hypergeometric_probabilities_match_the_definition(draws: list[tuple[int, int, int]]) -> None:
    draws = [(max(n, r, m), r, m) for n, r, m in draws]
    rows, relevant, drawn = np.array(draws).T
    for (n, r, m), probabilities in zip(draws, hypergeometric(rows, relevant, drawn), strict=True):
        expected = [
            float(Fraction(math.comb(r, h) * math.comb(n - r, m - h), math.comb(n, m))) if h <= m else 0.0
            for h in range(len(probabilities))
        ]
        np.testing.assert_allclose(probabilities, expected, rtol=1e-10, atol=1e-300)


def test_histograms_equal_counts() -> None:
    generator = np.random.default_rng(5)
    distances = generator.integers(0, 9, (6, 50)).astype(np.int16)
    relevant, probed = generator.random((2, 6, 50)) < 0.4
    relevant_at, total_at = distance_histograms(distances, relevant, 9, probed)
    for query, level in np.ndindex(6, 9):
        mask = (distances[query] == level) & probed[query]
        assert total_at[query, level] == mask.sum()
        assert relevant_at[query, level] == (mask & relevant[query]).sum()
    all_rows = np.ones_like(probed)
    assert np.array_equal(
        distance_histograms(distances, relevant, 9), distance_histograms(distances, relevant, 9, all_rows)
    )


def test_histograms_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(6)
    distances, relevant = generator.integers(0, 5, (20, 7)), generator.random((20, 7)) < 0.5
    expected = distance_histograms(distances, relevant, 5)
    monkeypatch.setattr(ranking, "BLOCK_CELLS", 15)
    assert np.array_equal(distance_histograms(distances, relevant, 5), expected)


def test_histograms_ignore_distances_outside_the_probed_lists() -> None:
    distances, relevant = int_array([0, -1, 99]), bool_array("111")
    relevant_at, total_at = distance_histograms(distances, relevant, 2, bool_array("100"))
    assert relevant_at.tolist() == total_at.tolist() == [[1, 0]]
    with pytest.raises(ValueError, match=r"levels=2: .*-1 to 99"):
        distance_histograms(distances, relevant, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((int_array([2]), int_array([1]), int_array(2)), r"relevant_at\[0\] .*total_at"),
        ((int_array([2]), int_array([1, 2]), int_array(2)), r"relevant_at.shape=.*total_at.shape=\(1, 2\)"),
        ((np.ones((1, 2)), int_array([1, 2]), int_array(2)), "relevant_at.dtype=.*float64.*int64"),
        ((int_array([2]), int_array([2]), int_array(1)), r"total_relevant\[0\]=1 .*2 relevant"),
    ],
)
def test_invalid_levels_are_rejected(arguments: tuple[np.ndarray, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Levels(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((1, 2)), bool_array("11"), 3), "distances .*float64"),
        ((int_array([1, 2]), bool_array("1"), 3), r"relevant .*\(1, 1\) .*bool.*\(1, 2\) bool"),
    ],
)
def test_invalid_distances_are_rejected(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        distance_histograms(*arguments)
