"""Ranking scores against hand-computed values, brute force over all tie orders, and laws."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fashion_lsh.evaluation import ranking
from fashion_lsh.evaluation.ranking import (
    TiedScores,
    average_precision,
    confidence_interval,
    distance_histograms,
    precision,
    recall,
    tied_average_precision,
    tied_precision,
    tied_recall,
)

PLAIN = {tied_average_precision: average_precision, tied_recall: recall, tied_precision: precision}
TIED = list(PLAIN)


def flags(*rankings):
    return np.array([[letter == "1" for letter in text] for text in rankings])


def counts(*numbers):
    return np.array(numbers, dtype=np.int64)


def plain_scores(order, total_relevant, k):
    """AP, recall and precision of one ranking, by the definitions, as fractions."""
    hits, gained = 0, Fraction(0)
    for place, is_relevant in enumerate(order[:k], start=1):
        if is_relevant:
            hits += 1
            gained += Fraction(hits, place)
    return gained / min(total_relevant, k), Fraction(hits > 0), Fraction(hits, k)


def all_orders(levels):
    """Every ranking of (relevant, total) levels; each is equally likely, as are the orders it stands for."""
    per_level = [
        [[place in chosen for place in range(total)] for chosen in itertools.combinations(range(total), relevant)]
        for relevant, total in levels
    ]
    return [list(itertools.chain(*parts)) for parts in itertools.product(*per_level)]


@st.composite
def searches(draw, most_rows=8):
    """(levels, total_relevant, k) with few enough rows to try every order."""
    totals = draw(st.lists(st.integers(0, 5), min_size=1, max_size=5).filter(lambda totals: sum(totals) <= most_rows))
    levels = [(draw(st.integers(0, total)), total) for total in totals]
    found = sum(relevant for relevant, _ in levels)
    return levels, found + draw(st.integers(0 if found else 1, 3)), draw(st.integers(1, 12))


def tied(function, levels, total_relevant, k):
    relevant_at, total_at = np.array(levels, dtype=np.int64).T[:, None]
    return TiedScores(*(float(scores[0]) for scores in function(relevant_at, total_at, counts(total_relevant), k)))


def test_average_precision_by_hand():
    relevant = flags("1010", "0000", "0001", "1111")
    assert average_precision(relevant, counts(2, 3, 1, 9), 4) == pytest.approx([(1 + 2 / 3) / 2, 0, 1 / 4, 1])
    assert average_precision(relevant, counts(2, 3, 1, 9), 2) == pytest.approx([1 / 2, 0, 0, 1])


def test_other_denominators_are_options():
    relevant, total = flags("1010", "0000"), counts(5, 5)
    gained = 1 + 2 / 3
    assert average_precision(relevant, total, 4) == pytest.approx([gained / 4, 0])
    assert average_precision(relevant, total, 4, over="hits") == pytest.approx([gained / 2, 0])
    assert average_precision(relevant, total, 4, over="relevant") == pytest.approx([gained / 5, 0])
    with pytest.raises(ValueError, match="over='best' is unknown"):
        average_precision(relevant, total, 4, over="best")


def test_recall_and_precision_by_hand():
    relevant, total = flags("0110", "0000"), counts(3, 1)
    assert recall(relevant, total, 1).tolist() == [0, 0]
    assert recall(relevant, total, 2).tolist() == [1, 0]
    assert precision(relevant, total, 3) == pytest.approx([2 / 3, 0])
    assert precision(relevant, total, 10) == pytest.approx([2 / 10, 0])


@pytest.mark.parametrize("function", PLAIN.values())
def test_query_without_relevant_rows_is_left_out(function):
    assert np.isnan(function(flags("000", "100"), counts(0, 1), 3)).tolist() == [True, False]


@pytest.mark.parametrize("function", TIED)
def test_query_without_relevant_rows_is_left_out_with_ties(function):
    scores = function(counts([0, 0], [0, 1]), counts([2, 3], [2, 3]), counts(0, 1), 4)
    assert np.isnan(np.array(scores)).tolist() == [[True, False]] * 3


def test_k_beyond_the_ranking_changes_only_the_denominator():
    relevant = flags("0101")
    assert average_precision(relevant, counts(2), 100) == pytest.approx([1 / 2])
    assert average_precision(relevant, counts(50), 100) == pytest.approx([1 / 50])
    assert tied(tied_average_precision, [(0, 1), (1, 1), (0, 1), (1, 1)], 50, 100).expected == pytest.approx(1 / 50)


def test_one_level_is_a_random_ranking():
    # orders 110, 101, 011: AP 1, 5/6, 7/12
    assert tied(tied_average_precision, [(2, 3)], 2, 3) == pytest.approx((29 / 36, 1, 7 / 12))
    # of 10 rows 3 are relevant, 4 are seen: none of the 3 among them with C(7, 4) / C(10, 4)
    assert tied(tied_recall, [(3, 10)], 3, 4) == pytest.approx((1 - 35 / 210, 1, 0))
    assert tied(tied_precision, [(3, 10)], 3, 4) == pytest.approx((3 / 10, 3 / 4, 0))


@pytest.mark.parametrize("levels", [[(3, 8)], [(1, 3), (2, 4)], [(0, 2), (5, 5)], [(1, 1), (2, 5), (1, 2)]])
@pytest.mark.parametrize("k", [1, 3, 5, 8, 20])
def test_ties_against_all_permutations(levels, k):
    rows = [[place < relevant for place in range(total)] for relevant, total in levels]
    orders = itertools.product(*(itertools.permutations(level) for level in rows))
    rankings = np.array([list(itertools.chain(*order)) for order in orders])
    total = np.full(len(rankings), sum(relevant for relevant, _ in levels))
    for function, plain in PLAIN.items():
        scores = plain(rankings, total, k)
        wanted = scores.mean(), scores.max(), scores.min()
        assert tied(function, levels, total[0], k) == pytest.approx(wanted, abs=1e-12)


@given(searches())
@settings(max_examples=200, deadline=None)
def test_ties_against_the_definitions_over_all_orders(search):
    levels, total_relevant, k = search
    scores = [plain_scores(order, total_relevant, k) for order in all_orders(levels)]
    for function, values in zip(TIED, zip(*scores, strict=True), strict=True):
        wanted = [float(value) for value in (sum(values) / len(values), max(values), min(values))]
        assert tied(function, levels, total_relevant, k) == pytest.approx(wanted, abs=1e-12)


@given(searches(), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_without_ties_all_agree_with_the_ranking(search, seed):
    levels, total_relevant, k = search
    orders = all_orders(levels)
    order = np.array([orders[seed % len(orders)]], dtype=bool).reshape(1, -1)
    assume(order.size)
    histograms = order.astype(np.int64), np.ones(order.shape, dtype=np.int64)
    for function, plain in PLAIN.items():
        wanted = plain(order, counts(total_relevant), k)[0]
        for scores in function(*histograms, counts(total_relevant), k):
            assert scores[0] == pytest.approx(wanted, abs=1e-12)


@given(st.integers(0, 2**32 - 1), st.integers(1, 3000))
@settings(max_examples=30, deadline=None)
def test_expected_lies_between_worst_and_best(seed, k):
    generator = np.random.default_rng(seed)
    total_at = generator.integers(0, 200, (20, 33))
    relevant_at = generator.binomial(total_at, generator.random((20, 1)) ** 3)
    total = relevant_at.sum(axis=1) + generator.integers(0, 3, 20)
    for function in TIED:
        expected, best, worst = (scores[total > 0] for scores in function(relevant_at, total_at, total, k))
        assert (worst >= 0).all()
        assert (worst <= expected).all()
        assert (expected <= best).all()
        assert (best <= 1 + 1e-12).all()


@pytest.mark.parametrize("function", TIED)
def test_many_queries_at_once_score_as_alone_and_in_any_blocks(function, monkeypatch):
    generator = np.random.default_rng(3)
    total_at = generator.integers(0, 40, (50, 9))
    relevant_at = generator.binomial(total_at, 0.1)
    total = relevant_at.sum(axis=1) + 1
    together = np.array(function(relevant_at, total_at, total, 30))
    monkeypatch.setattr(ranking, "BLOCK_CELLS", 40)
    assert np.array_equal(np.array(function(relevant_at, total_at, total, 30)), together)
    alone = [np.array(function(relevant_at[[row]], total_at[[row]], total[[row]], 30))[:, 0] for row in range(50)]
    np.testing.assert_allclose(np.array(alone).T, together, atol=1e-12)


def test_average_precision_in_any_blocks(monkeypatch):
    relevant = np.random.default_rng(4).random((40, 12)) < 0.3
    total = relevant.sum(axis=1) + 1
    whole = average_precision(relevant, total, 10)
    wanted = [float(plain_scores(row, int(number), 10)[0]) for row, number in zip(relevant, total, strict=True)]
    monkeypatch.setattr(ranking, "BLOCK_CELLS", 30)
    assert np.array_equal(average_precision(relevant, total, 10), whole)
    assert whole == pytest.approx(wanted)


def test_relevant_rows_that_no_probe_reached_lower_the_score():
    levels = [(2, 3), (1, 4)]
    reached = tied(tied_average_precision, levels, 3, 10)
    missed = tied(tied_average_precision, levels, 6, 10)
    assert np.array(missed) == pytest.approx(np.array(reached) / 2)
    assert tied(tied_recall, levels, 6, 10) == tied(tied_recall, levels, 3, 10)


def test_nothing_retrieved_scores_0():
    for function in TIED:
        assert tied(function, [(0, 0), (0, 0)], 4, 10) == (0, 0, 0)


def test_large_levels_against_sums_place_by_place():
    levels, total_relevant, k = [(20, 150), (3_000, 100_000), (5, 1_000)], 4_000, 1_000
    gained, before, hits = [], 0, 0
    for relevant, total in levels:
        for place in range(before + 1, min(before + total, k) + 1):
            nearer = hits + (place - before - 1) * (relevant - 1) / (total - 1)
            gained.append(relevant / total * (1 + nearer) / place)
        before, hits = before + total, hits + relevant
    scores = tied(tied_average_precision, levels, total_relevant, k)
    assert scores.expected == pytest.approx(math.fsum(gained) / k, abs=1e-12)
    best = [*[1.0] * 20, *[(place - 130) / place for place in range(151, k + 1)]]
    assert scores.best == pytest.approx(math.fsum(best) / k, abs=1e-12)
    assert scores.worst == pytest.approx(math.fsum(hit / (130 + hit) for hit in range(1, 21)) / k, abs=1e-12)


@pytest.mark.parametrize(("relevant", "k"), [(1, 1_000), (7, 500), (300, 40), (3_000, 1_000), (99_999, 1)])
def test_recall_of_a_large_level_is_hypergeometric(relevant, k):
    rows, nearer = 100_000, 30
    none = Fraction(math.comb(rows - relevant, k - nearer), math.comb(rows, k - nearer)) if k > nearer else Fraction(1)
    scores = tied(tied_recall, [(0, nearer), (relevant, rows)], relevant, k)
    assert scores.expected == pytest.approx(float(1 - none), rel=1e-12)


def test_histograms_against_counting():
    generator = np.random.default_rng(5)
    distances = generator.integers(0, 9, (6, 50)).astype(np.int16)
    relevant, reached = generator.random((2, 6, 50)) < 0.4
    relevant_at, total_at = distance_histograms(distances, relevant, 9, reached)
    for query, level in np.ndindex(6, 9):
        here = (distances[query] == level) & reached[query]
        assert total_at[query, level] == here.sum()
        assert relevant_at[query, level] == (here & relevant[query]).sum()
    everything = np.ones_like(reached)
    assert np.array_equal(
        distance_histograms(distances, relevant, 9), distance_histograms(distances, relevant, 9, everything)
    )


def test_histograms_in_any_blocks(monkeypatch):
    generator = np.random.default_rng(6)
    distances, relevant = generator.integers(0, 5, (20, 7)), generator.random((20, 7)) < 0.5
    whole = distance_histograms(distances, relevant, 5)
    monkeypatch.setattr(ranking, "BLOCK_CELLS", 15)
    assert np.array_equal(distance_histograms(distances, relevant, 5), whole)


def test_histograms_ignore_distances_that_no_probe_reached():
    distances, relevant = counts([0, -1, 99]), flags("111")
    relevant_at, total_at = distance_histograms(distances, relevant, 2, flags("100"))
    assert relevant_at.tolist() == total_at.tolist() == [[1, 0]]
    with pytest.raises(ValueError, match=r"from -1 to 99, levels=2: give levels = bits \+ 1"):
        distance_histograms(distances, relevant, 2)


def test_histograms_give_the_score_of_a_ranking_in_the_mean():
    generator = np.random.default_rng(7)
    distances, relevant = generator.integers(0, 4, (1, 30)), generator.random((1, 30)) < 0.3
    total = relevant.sum(axis=1)
    shuffled = [generator.permutation(30) for _ in range(4000)]
    orders = np.array([rows[np.argsort(distances[0, rows], kind="stable")] for rows in shuffled])
    drawn = average_precision(relevant[0][orders], np.repeat(total, 4000), 20)
    expected = tied_average_precision(*distance_histograms(distances, relevant, 4), total, 20).expected[0]
    assert expected == pytest.approx(drawn.mean(), abs=5 * drawn.std() / math.sqrt(4000))


def test_interval_against_drawing_queries_one_by_one():
    scores, groups = np.array([0.1, 0.9, np.nan, 0.4, 0.6, 0.2, 0.7]), np.array(list("aabbccd"))
    members = [scores[(groups == name) & ~np.isnan(scores)] for name in "abcd"]
    draws = np.random.default_rng(11).integers(4, size=(200, 4))
    means = [np.concatenate([members[group] for group in draw]).mean() for draw in draws]
    wanted = np.quantile(means, [0.05, 0.95])
    assert confidence_interval(scores, groups, level=0.9, samples=200, seed=11) == pytest.approx(wanted)


def test_interval_is_as_wide_as_the_normal_one():
    scores = np.random.default_rng(8).normal(0.5, 0.1, 900)
    low, high = confidence_interval(scores, samples=4000)
    margin = 1.96 * scores.std() / math.sqrt(900)
    assert (low, high) == pytest.approx((scores.mean() - margin, scores.mean() + margin), abs=margin / 8)


def test_copies_inside_a_group_add_no_certainty():
    scores = np.random.default_rng(9).random(60)
    copies, groups = np.repeat(scores, 4), np.repeat(np.arange(60), 4)
    low, high = confidence_interval(scores)
    assert confidence_interval(copies, groups) == pytest.approx((low, high))
    narrow_low, narrow_high = confidence_interval(copies)
    assert (narrow_high - narrow_low) == pytest.approx((high - low) / 2, rel=0.2)


def test_interval_is_seeded_and_leaves_nan_out(monkeypatch):
    scores = np.random.default_rng(10).random(50)
    once = confidence_interval(scores, seed=1)
    assert once == confidence_interval(scores, seed=1) != confidence_interval(scores, seed=2)
    assert once == confidence_interval(np.append(scores, [np.nan] * 20), seed=1)
    assert all(math.isnan(end) for end in confidence_interval(np.array([np.nan, np.nan])))
    monkeypatch.setattr(ranking, "BLOCK_CELLS", 500)
    assert once == confidence_interval(scores, seed=1)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (average_precision, (flags("10"), counts(1), 0), "k=0: give at least 1"),
        (recall, (counts([1, -1]), counts(1), 1), "relevant is int64"),
        (precision, (flags("11"), counts(1), 1), "query 0: 2 relevant rows retrieved, total_relevant 1"),
        (precision, (flags("11"), counts(1, 2), 1), r"total_relevant is int64 \(2,\): give \(1,\) int"),
        (tied_recall, (counts([2]), counts([1]), counts(2), 1), "query 0: relevant_at is negative or above total_at"),
        (tied_recall, (counts([2]), counts([1, 2]), counts(2), 1), r"give two \(Q, L\) histograms"),
        (tied_precision, (np.ones((1, 2)), counts([1, 2]), counts(2), 1), "relevant_at.dtype=.*float64.*give int64"),
        (tied_average_precision, (counts([2]), counts([2]), counts(1), 1), "query 0: 2 relevant rows retrieved"),
        (distance_histograms, (np.ones((1, 2)), flags("11"), 3), "distances are float64"),
        (distance_histograms, (counts([1, 2]), flags("1"), 3), r"relevant is bool \(1, 1\): give \(1, 2\) bool"),
        (confidence_interval, (np.ones(3), np.ones(2)), "as many groups"),
        (confidence_interval, (np.ones(3), None, 95), "level=95"),
    ],
)
def test_wrong_arguments_are_named(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
