"""Ranking metrics against hand-computed values and their definitions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.metrics import ranking
from fashion_lsh.metrics.ranking import average_precision, precision, recall

SCORE_FUNCTIONS = (average_precision, recall, precision)


def bool_array(*rankings):
    return np.array([[character == "1" for character in text] for text in rankings])


def int_array(*numbers):
    return np.array(numbers, dtype=np.int64)


def reference_scores(order, total_relevant, k):
    """AP, recall and precision of one ranking by their definitions, as exact fractions."""
    hits, precision_sum = 0, Fraction(0)
    for rank, is_relevant in enumerate(order[:k], start=1):
        if is_relevant:
            hits += 1
            precision_sum += Fraction(hits, rank)
    return precision_sum / min(total_relevant, k), Fraction(hits > 0), Fraction(hits, k)


def test_average_precision_equals_hand_computed_values():
    relevant = bool_array("1010", "0000", "0001", "1111")
    assert average_precision(relevant, int_array(2, 3, 1, 9), 4) == pytest.approx([(1 + 2 / 3) / 2, 0, 1 / 4, 1])
    assert average_precision(relevant, int_array(2, 3, 1, 9), 2) == pytest.approx([1 / 2, 0, 0, 1])


def test_recall_and_precision_equal_hand_computed_values():
    relevant, total = bool_array("0110", "0000"), int_array(3, 1)
    assert recall(relevant, total, 1).tolist() == [0, 0]
    assert recall(relevant, total, 2).tolist() == [1, 0]
    assert precision(relevant, total, 3) == pytest.approx([2 / 3, 0])
    assert precision(relevant, total, 10) == pytest.approx([2 / 10, 0])


@pytest.mark.parametrize("function", SCORE_FUNCTIONS)
def test_a_query_without_relevant_rows_scores_nan(function):
    assert np.isnan(function(bool_array("000", "100"), int_array(0, 1), 3)).tolist() == [True, False]


def test_k_above_the_length_of_the_ranking_changes_only_the_denominator():
    relevant = bool_array("0101")
    assert average_precision(relevant, int_array(2), 100) == pytest.approx([1 / 2])
    assert average_precision(relevant, int_array(50), 100) == pytest.approx([1 / 50])
    assert precision(relevant, int_array(2), 100) == pytest.approx([2 / 100])


@given(st.lists(st.tuples(st.lists(st.booleans(), min_size=9, max_size=9), st.integers(1, 5))), st.integers(1, 12))
@settings(deadline=None)
def test_scores_match_the_definitions(rankings, k):
    relevant = np.array([row for row, _ in rankings], dtype=bool).reshape(-1, 9)
    total = relevant.sum(axis=1) + np.array([num_missing for _, num_missing in rankings], dtype=np.int64)
    expected = [reference_scores(row, int(num_relevant), k) for row, num_relevant in zip(relevant, total, strict=True)]
    actual = np.array([function(relevant, total, k) for function in SCORE_FUNCTIONS]).T
    np.testing.assert_allclose(actual, np.array(expected, dtype=float).reshape(-1, 3), atol=1e-12)


def test_average_precision_does_not_depend_on_the_block_size(monkeypatch):
    relevant = np.random.default_rng(4).random((40, 12)) < 0.3
    expected = average_precision(relevant, relevant.sum(axis=1) + 1, 10)
    monkeypatch.setattr(ranking, "BLOCK_CELLS", 30)
    assert np.array_equal(average_precision(relevant, relevant.sum(axis=1) + 1, 10), expected)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (average_precision, (bool_array("10"), int_array(1), 0), "k=0"),
        (recall, (int_array([1, -1]), int_array(1), 1), "relevant .*int64"),
        (precision, (bool_array("11"), int_array(1), 1), r"total_relevant\[0\]=1 .*2 relevant"),
        (precision, (bool_array("11"), int_array(1, 2), 1), r"total_relevant .*\(2,\) .*int64.*\(1,\) int"),
    ],
)
def test_invalid_arguments_are_rejected(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
