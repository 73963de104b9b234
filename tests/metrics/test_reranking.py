"""Expected scores of re-ranked candidates, against all choices of tied candidates."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.metrics.ranking import ALL, RelevantRanks, score_ranks
from fashion_lsh.metrics.reranking import Candidates, find_candidates, score_candidates

CUTOFFS = (1, 2, 4, ALL)


def scores_over_all_choices(candidates: Candidates, total: int) -> dict[tuple[str, int], float]:
    """Mean scores over all choices of `num_drawn` edge rows."""
    edge = np.flatnonzero(candidates.is_edge)
    choices = []
    for chosen in itertools.combinations(edge, candidates.num_drawn):
        is_candidate = ~candidates.is_edge
        is_candidate[list(chosen)] = True
        choices.append(candidates.is_relevant[is_candidate])
    ranks = RelevantRanks.from_ranking(np.array(choices, dtype=bool), np.full(len(choices), total))
    scores = score_ranks(ranks, CUTOFFS)
    return {column: float(values.mean()) for column, values in scores.items() if column[0] != "map_hits"}


@st.composite
def draw_candidates(draw: st.DrawFn) -> Candidates:
    rows = draw(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=9))
    is_relevant, is_edge = np.array(rows, dtype=bool).reshape(-1, 2).T
    return Candidates(is_relevant, is_edge, draw(st.integers(0, int(is_edge.sum()))))


@given(st.lists(draw_candidates(), min_size=1, max_size=3), st.integers(0, 3))
@settings(deadline=None, max_examples=150)
def test_scores_equal_means_over_all_choices(queries: list[Candidates], num_missing: int) -> None:
    totals = np.array([max(1, each.is_relevant.sum() + num_missing) for each in queries])
    scores = score_candidates(queries, totals, CUTOFFS)
    expected = [scores_over_all_choices(each, int(total)) for each, total in zip(queries, totals, strict=True)]
    assert scores.keys() == expected[0].keys()
    for column, values in scores.items():
        np.testing.assert_allclose(values, [single[column] for single in expected], atol=1e-12, err_msg=str(column))


@given(st.lists(st.integers(0, 5), max_size=12), st.integers(1, 14))
def test_candidates_are_the_nearest_rows_and_those_tied_with_the_last(distances: list[int], count: int) -> None:
    rows, is_edge, num_drawn = find_candidates(np.array(distances, dtype=np.int16), count)
    nearest = sorted(distances)[:count]
    assert sorted([*(distances[row] for row in rows[~is_edge]), *[max(nearest, default=0)] * num_drawn]) == nearest
    assert 0 <= num_drawn <= is_edge.sum()
    if count < len(distances):
        assert {distances[row] for row in rows[is_edge]} == {nearest[-1]}
        assert len(rows) == sum(distance <= nearest[-1] for distance in distances)


def test_a_tie_at_the_edge_is_half_found() -> None:
    # one certain candidate; one of two tied rows is the second candidate, the relevant one with probability 1/2
    scores = score_candidates(
        [Candidates(np.array([False, True, False]), np.array([False, True, True]), 1)], np.ones(1, int)
    )
    assert scores["recall", 10] == [0.5]
    assert scores["map", 10] == [0.25]
    assert scores["mrr", ALL] == [0.25]


def test_no_candidates_score_0_and_no_relevant_rows_nan() -> None:
    empty = Candidates(np.zeros(0, bool), np.zeros(0, bool), 0)
    scores = score_candidates([empty, empty], np.array([2, 0]))
    for column, values in scores.items():
        assert values.tolist() == pytest.approx([0, np.nan], nan_ok=True), column
