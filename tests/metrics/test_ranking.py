"""Ranking metrics against hand-computed values and their definitions."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.metrics.ranking import ALL, RelevantRanks, concatenate_scores, score_ranks
from tests.metrics.factories import reference_scores


def bool_array(*rankings: str) -> np.ndarray:
    return np.array([[character == "1" for character in text] for text in rankings])


def score(*rankings: str, total: list[int], k: int) -> dict[str, list[float]]:
    """Scores at one cutoff rank, and without cutoff rank."""
    ranks = RelevantRanks.from_ranking(bool_array(*rankings), np.array(total))
    return {name: values.tolist() for (name, _), values in score_ranks(ranks, [k]).items()}


def test_scores_equal_hand_computed_values() -> None:
    scores = score("1010", "0000", "0001", "1111", total=[2, 3, 1, 9], k=4)
    assert scores["map"] == pytest.approx([(1 + 2 / 3) / 2, 0, 1 / 4, 1])
    assert scores["map_r"] == pytest.approx([(1 + 2 / 3) / 2, 0, 1 / 4, 4 / 9])
    assert scores["map_hits"] == pytest.approx([(1 + 2 / 3) / 2, 0, 1 / 4, 1])
    assert scores["ndcg"] == pytest.approx([(1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3)), 0, 1 / math.log2(5), 1])
    assert scores["mrr"] == pytest.approx([1, 0, 1 / 4, 1])
    assert scores["r_precision"] == pytest.approx([1 / 2, 0, 0, 4 / 9])
    assert scores["recall"] == [1, 0, 1, 1]
    assert scores["recall_ratio"] == pytest.approx([1, 0, 1, 4 / 9])
    assert scores["precision"] == pytest.approx([2 / 4, 0, 1 / 4, 1])


def test_the_denominators_of_ap_differ_at_a_cutoff_rank() -> None:
    scores = score("1010", "0001", total=[4, 4], k=3)
    assert scores["map"] == pytest.approx([(1 + 2 / 3) / 3, 0])
    assert scores["map_r"] == pytest.approx([(1 + 2 / 3) / 4, 0])
    assert scores["map_hits"] == pytest.approx([(1 + 2 / 3) / 2, 0])


def test_a_query_without_relevant_rows_scores_nan() -> None:
    assert all(np.isnan(values).tolist() == [True, False] for values in score("000", "100", total=[0, 1], k=3).values())


@given(
    st.lists(st.tuples(st.lists(st.booleans(), min_size=9, max_size=9), st.integers(0, 5)), min_size=1, max_size=5),
    st.lists(st.integers(1, 12), max_size=3, unique=True),
)
@settings(deadline=None)
def test_scores_match_the_definitions(rankings: list[tuple[list[bool], int]], cutoffs: list[int]) -> None:
    relevant = np.array([row for row, _ in rankings], dtype=bool)
    total = relevant.sum(axis=1) + np.array([num_missing for _, num_missing in rankings], dtype=np.int64)
    expected = [
        reference_scores(row.tolist(), int(num), (*cutoffs, ALL)) for row, num in zip(relevant, total, strict=True)
    ]
    scores = score_ranks(RelevantRanks.from_ranking(relevant, total), [*cutoffs, ALL])
    assert scores.keys() == expected[0].keys()
    for column, values in scores.items():
        np.testing.assert_allclose(values, [single[column] for single in expected], atol=1e-12, err_msg=str(column))


def test_blocks_of_queries_are_concatenated() -> None:
    relevant, total = np.random.default_rng(4).random((6, 12)) < 0.3, np.full(6, 12)
    whole = score_ranks(RelevantRanks.from_ranking(relevant, total))
    halves = [score_ranks(RelevantRanks.from_ranking(relevant[part], total[part])) for part in np.s_[:2, 2:]]
    for column, values in concatenate_scores(halves).items():
        np.testing.assert_array_equal(values, whole[column])


@pytest.mark.parametrize(
    ("is_relevant", "total", "message"),
    [
        (np.array([[1, 0]]), np.array([1]), "is_relevant .*int64"),
        (bool_array("11"), np.array([1]), r"total_relevant\[0\]=1 .*2 relevant"),
        (bool_array("11"), np.array([1, 2]), r"total_relevant .*\(2,\) .*int64.*\(1,\) int"),
        (bool_array("11"), np.array([2.0]), r"total_relevant .*float64"),
    ],
)
def test_invalid_arguments_are_rejected(is_relevant: Any, total: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RelevantRanks.from_ranking(is_relevant, total)


def test_a_negative_cutoff_rank_is_rejected() -> None:
    with pytest.raises(ValueError, match="k=-1"):
        score("10", total=[1], k=-1)
