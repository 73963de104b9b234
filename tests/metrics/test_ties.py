"""Tie-aware scores against brute force over all orders of tied rows, and invariants of the scores."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fashion_lsh.metrics import ranking
from fashion_lsh.metrics.ranking import average_precision, precision, recall
from fashion_lsh.metrics.ties import (
    TiedScores,
    distance_histograms,
    tied_average_precision,
    tied_precision,
    tied_recall,
)

UNTIED_BY_TIED = {tied_average_precision: average_precision, tied_recall: recall, tied_precision: precision}
TIED_FUNCTIONS = list(UNTIED_BY_TIED)


def bool_array(*rankings):
    return np.array([[character == "1" for character in text] for text in rankings])


def int_array(*numbers):
    return np.array(numbers, dtype=np.int64)


def all_orders(levels):
    """All distinct, equally likely rankings of (relevant, total) levels."""
    orders_by_level = [
        [
            [rank in relevant_ranks for rank in range(total)]
            for relevant_ranks in itertools.combinations(range(total), relevant)
        ]
        for relevant, total in levels
    ]
    return [list(itertools.chain(*parts)) for parts in itertools.product(*orders_by_level)]


@st.composite
def searches(draw, max_rows=8):
    """Draw (levels, total_relevant, k) with at most `max_rows` rows, so that all orders can be enumerated."""
    totals = draw(st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(lambda totals: sum(totals) <= max_rows))
    levels = [(draw(st.integers(0, total)), total) for total in totals]
    num_relevant = sum(relevant for relevant, _ in levels)
    return levels, num_relevant + draw(st.integers(0 if num_relevant else 1, 3)), draw(st.integers(1, 12))


def tied_scores(function, levels, total_relevant, k):
    relevant_at, total_at = np.array(levels, dtype=np.int64).T[:, None]
    return TiedScores(*(float(scores[0]) for scores in function(relevant_at, total_at, int_array(total_relevant), k)))


@pytest.mark.parametrize("function", TIED_FUNCTIONS)
def test_a_query_without_relevant_rows_scores_nan_with_ties(function):
    scores = function(int_array([0, 0], [0, 1]), int_array([2, 3], [2, 3]), int_array(0, 1), 4)
    assert np.isnan(np.array(scores)).tolist() == [[True, False]] * 3


def test_scores_of_equal_distances_equal_hand_computed_values():
    # orders 110, 101, 011 have AP 1, 5/6, 7/12
    assert tied_scores(tied_average_precision, [(2, 3)], 2, 3) == pytest.approx((29 / 36, 1, 7 / 12))
    # 3 of 10 rows are relevant: P(none among the first 4) = C(7, 4) / C(10, 4)
    assert tied_scores(tied_recall, [(3, 10)], 3, 4) == pytest.approx((1 - 35 / 210, 1, 0))
    assert tied_scores(tied_precision, [(3, 10)], 3, 4) == pytest.approx((3 / 10, 3 / 4, 0))


@pytest.mark.parametrize("levels", [[(3, 8)], [(1, 3), (2, 4)], [(0, 2), (5, 5)], [(1, 1), (2, 5), (1, 2)]])
@pytest.mark.parametrize("k", [1, 3, 5, 8, 20])
def test_tied_scores_equal_means_over_all_permutations(levels, k):
    rows = [[row < relevant for row in range(total)] for relevant, total in levels]
    orders = itertools.product(*(itertools.permutations(level) for level in rows))
    rankings = np.array([list(itertools.chain(*order)) for order in orders])
    total = np.full(len(rankings), sum(relevant for relevant, _ in levels))
    for function, untied in UNTIED_BY_TIED.items():
        scores = untied(rankings, total, k)
        expected = scores.mean(), scores.max(), scores.min()
        assert tied_scores(function, levels, total[0], k) == pytest.approx(expected, abs=1e-12)


@given(searches())
@settings(max_examples=200, deadline=None)
def test_tied_scores_of_random_histograms_equal_means_over_all_orders(search):
    levels, total_relevant, k = search
    orders = np.array(all_orders(levels), dtype=bool)
    for function, untied in UNTIED_BY_TIED.items():
        scores = untied(orders, np.full(len(orders), total_relevant), k)
        expected = scores.mean(), scores.max(), scores.min()
        assert tied_scores(function, levels, total_relevant, k) == pytest.approx(expected, abs=1e-12)


@given(searches(), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_without_ties_expected_best_and_worst_equal_the_ranking(search, seed):
    levels, total_relevant, k = search
    orders = all_orders(levels)
    order = np.array([orders[seed % len(orders)]], dtype=bool).reshape(1, -1)
    assume(order.size)
    histograms = order.astype(np.int64), np.ones(order.shape, dtype=np.int64)
    for function, untied in UNTIED_BY_TIED.items():
        expected = untied(order, int_array(total_relevant), k)[0]
        for scores in function(*histograms, int_array(total_relevant), k):
            assert scores[0] == pytest.approx(expected, abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 3000))
@settings(max_examples=30, deadline=None)
def test_expected_lies_between_worst_and_best(seed, k):
    generator = np.random.default_rng(seed)
    total_at = generator.integers(0, 200, (20, 33))
    relevant_at = generator.binomial(total_at, generator.random((20, 1)) ** 3)
    total = relevant_at.sum(axis=1) + generator.integers(0, 3, 20)
    for function in TIED_FUNCTIONS:
        expected, best, worst = (scores[total > 0] for scores in function(relevant_at, total_at, total, k))
        assert (worst >= 0).all()
        assert (worst <= expected).all()
        assert (expected <= best).all()
        assert (best <= 1 + 1e-12).all()


@pytest.mark.parametrize("function", TIED_FUNCTIONS)
def test_tied_scores_do_not_depend_on_batch_or_block_size(function, monkeypatch):
    generator = np.random.default_rng(3)
    total_at = generator.integers(0, 40, (50, 9))
    relevant_at = generator.binomial(total_at, 0.1)
    total = relevant_at.sum(axis=1) + 1
    scores_in_batch = np.array(function(relevant_at, total_at, total, 30))
    monkeypatch.setattr(ranking, "BLOCK_CELLS", 40)
    assert np.array_equal(np.array(function(relevant_at, total_at, total, 30)), scores_in_batch)
    one_by_one = [np.array(function(relevant_at[[row]], total_at[[row]], total[[row]], 30))[:, 0] for row in range(50)]
    np.testing.assert_allclose(np.array(one_by_one).T, scores_in_batch, atol=1e-12)


def test_relevant_rows_outside_the_probed_lists_lower_the_score():
    levels = [(2, 3), (1, 4)]
    all_probed = tied_scores(tied_average_precision, levels, 3, 10)
    some_not_probed = tied_scores(tied_average_precision, levels, 6, 10)
    assert np.array(some_not_probed) == pytest.approx(np.array(all_probed) / 2)
    assert tied_scores(tied_recall, levels, 6, 10) == tied_scores(tied_recall, levels, 3, 10)


def test_a_query_without_retrieved_rows_scores_0():
    for function in TIED_FUNCTIONS:
        assert tied_scores(function, [(0, 0), (0, 0)], 4, 10) == (0, 0, 0)


def test_tied_scores_of_many_rows_equal_sums_over_ranks():
    levels, total_relevant, k = [(20, 150), (3_000, 100_000), (5, 1_000)], 4_000, 1_000
    precisions, before, hits = [], 0, 0
    for relevant, total in levels:
        for rank in range(before + 1, min(before + total, k) + 1):
            expected_hits = hits + (rank - before - 1) * (relevant - 1) / (total - 1)
            precisions.append(relevant / total * (1 + expected_hits) / rank)
        before, hits = before + total, hits + relevant
    scores = tied_scores(tied_average_precision, levels, total_relevant, k)
    assert scores.expected == pytest.approx(math.fsum(precisions) / k, abs=1e-12)
    best = [*[1.0] * 20, *[(rank - 130) / rank for rank in range(151, k + 1)]]
    assert scores.best == pytest.approx(math.fsum(best) / k, abs=1e-12)
    assert scores.worst == pytest.approx(math.fsum(hit / (130 + hit) for hit in range(1, 21)) / k, abs=1e-12)


@pytest.mark.parametrize(("relevant", "k"), [(1, 1_000), (7, 500), (300, 40), (3_000, 1_000), (99_999, 1)])
def test_recall_of_a_large_tie_is_hypergeometric(relevant, k):
    rows, nearer = 100_000, 30
    probability_of_none = (
        Fraction(math.comb(rows - relevant, k - nearer), math.comb(rows, k - nearer)) if k > nearer else Fraction(1)
    )
    scores = tied_scores(tied_recall, [(0, nearer), (relevant, rows)], relevant, k)
    assert scores.expected == pytest.approx(float(1 - probability_of_none), rel=1e-12)


def test_histograms_equal_counts():
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


def test_histograms_do_not_depend_on_the_block_size(monkeypatch):
    generator = np.random.default_rng(6)
    distances, relevant = generator.integers(0, 5, (20, 7)), generator.random((20, 7)) < 0.5
    expected = distance_histograms(distances, relevant, 5)
    monkeypatch.setattr(ranking, "BLOCK_CELLS", 15)
    assert np.array_equal(distance_histograms(distances, relevant, 5), expected)


def test_histograms_ignore_distances_outside_the_probed_lists():
    distances, relevant = int_array([0, -1, 99]), bool_array("111")
    relevant_at, total_at = distance_histograms(distances, relevant, 2, bool_array("100"))
    assert relevant_at.tolist() == total_at.tolist() == [[1, 0]]
    with pytest.raises(ValueError, match=r"levels=2: .*-1 to 99"):
        distance_histograms(distances, relevant, 2)


def test_tied_scores_equal_means_over_random_orders():
    generator = np.random.default_rng(7)
    distances, relevant = generator.integers(0, 4, (1, 30)), generator.random((1, 30)) < 0.3
    total = relevant.sum(axis=1)
    shuffled = [generator.permutation(30) for _ in range(4000)]
    orders = np.array([rows[np.argsort(distances[0, rows], kind="stable")] for rows in shuffled])
    sampled = average_precision(relevant[0][orders], np.repeat(total, 4000), 20)
    expected = tied_average_precision(*distance_histograms(distances, relevant, 4), total, 20).expected[0]
    assert expected == pytest.approx(sampled.mean(), abs=5 * sampled.std() / math.sqrt(4000))


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (tied_recall, (int_array([2]), int_array([1]), int_array(2), 1), r"relevant_at\[0\] .*total_at"),
        (
            tied_recall,
            (int_array([2]), int_array([1, 2]), int_array(2), 1),
            r"relevant_at.shape=.*total_at.shape=\(1, 2\)",
        ),
        (tied_precision, (np.ones((1, 2)), int_array([1, 2]), int_array(2), 1), "relevant_at.dtype=.*float64.*int64"),
        (
            tied_average_precision,
            (int_array([2]), int_array([2]), int_array(1), 1),
            r"total_relevant\[0\]=1 .*2 relevant",
        ),
        (distance_histograms, (np.ones((1, 2)), bool_array("11"), 3), "distances .*float64"),
        (distance_histograms, (int_array([1, 2]), bool_array("1"), 3), r"relevant .*\(1, 1\) .*bool.*\(1, 2\) bool"),
    ],
)
def test_invalid_arguments_are_rejected(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
