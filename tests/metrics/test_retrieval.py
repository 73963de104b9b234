"""Scores of rankings with and without ties, against loops over all orders of tied rows."""

import itertools
import math

import numpy as np
import pytest

from fashion_lsh.index.hits import Hits
from fashion_lsh.metrics import ranking, retrieval
from fashion_lsh.metrics.retrieval import Relevance

COLUMNS = {("map", 100), ("map_best", 100), ("map_worst", 100), ("recall", 1), ("recall", 10), ("precision", 10)}
ReferenceScores = dict[tuple[str, int], float]  # metric and cutoff rank -> score of one ranking


def name_array(*names: str) -> np.ndarray:
    return np.array(names, dtype=object)


def reference_scores(order: list[bool], total: int) -> ReferenceScores:
    """Scores of one ranking, rank by rank; NaN without relevant rows."""
    if not total:
        return dict.fromkeys((("map", 100), ("recall", 1), ("recall", 10), ("precision", 10)), math.nan)
    hits, precision_sum = 0, 0.0
    for rank, relevant in enumerate(order[:100], start=1):
        if relevant:
            hits += 1
            precision_sum += hits / rank
    return {
        ("map", 100): precision_sum / min(total, 100),
        ("recall", 1): float(any(order[:1])),
        ("recall", 10): float(any(order[:10])),
        ("precision", 10): sum(order[:10]) / 10,
    }


def scores_over_all_orders(
    distances: list[int], relevant: list[bool], probed: list[bool], total: int
) -> ReferenceScores:
    """Mean scores, and best and worst AP, over all orders of the probed rows with ascending distances."""
    rows = [row for row, is_probed in enumerate(probed) if is_probed]
    orders = [sorted(permutation, key=lambda row: distances[row]) for permutation in itertools.permutations(rows)]
    scores = [reference_scores([relevant[row] for row in order], total) for order in orders]
    means = {column: sum(single[column] for single in scores) / len(scores) for column in scores[0]}
    aps = [single["map", 100] for single in scores]
    return means | {("map_best", 100): max(aps), ("map_worst", 100): min(aps)}


def assert_close(actual: retrieval.Scores, expected: list[ReferenceScores]) -> None:
    assert set(actual) == COLUMNS
    for column, values in actual.items():
        np.testing.assert_allclose(values, [single[column] for single in expected], atol=1e-12, err_msg=str(column))


def random_search(seed: int) -> tuple[np.ndarray, Relevance, np.ndarray]:
    """Random distances 0..3 of 5 queries and 7 rows, labels -1..2, and a mask of probed rows."""
    rng = np.random.default_rng(seed)
    relevance = Relevance(rng.integers(-1, 3, 5), rng.integers(-1, 3, 7))
    return rng.integers(0, 4, (5, 7)).astype(np.int16), relevance, rng.random((5, 7)) < 0.7


def test_rows_with_an_empty_name_are_not_relevant() -> None:
    relevance = Relevance.from_names(name_array("a", "", "b", "c"), name_array("", "a", "b", "a", ""))
    expected = [[False, True, False, True, False], [False] * 5, [False, False, True, False, False], [False] * 5]
    assert relevance.is_relevant(slice(None)).tolist() == expected
    assert relevance.is_relevant(slice(1, 3)).tolist() == expected[1:3]
    assert relevance.totals.tolist() == [2, 0, 1, 0]


def test_names_that_occur_only_in_queries_or_only_in_the_gallery_are_not_relevant() -> None:
    assert Relevance.from_names(name_array("z"), name_array("a", "b")).totals.tolist() == [0]
    assert Relevance.from_names(name_array("a"), name_array("z", "a", "y")).totals.tolist() == [1]


@pytest.mark.parametrize(("query", "gallery"), [(("", ""), ("",)), (("", ""), ("a",)), (("a", ""), ("",))])
def test_no_row_is_relevant_without_names(query: tuple[str, ...], gallery: tuple[str, ...]) -> None:
    relevance = Relevance.from_names(name_array(*query), name_array(*gallery))
    assert relevance.totals.tolist() == [0, 0]
    assert not relevance.is_relevant(slice(None)).any()


@pytest.mark.parametrize("seed", range(4))
def test_scores_of_hits_equal_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    relevance = Relevance(rng.integers(-1, 4, 20), rng.integers(-1, 4, 300))
    rows = np.stack([rng.permutation(300)[:100] for _ in range(20)])
    for query in range(0, 20, 3):  # every third query has fewer hits
        rows[query, rng.integers(0, 100) :] = -1
    expected = []
    for query, hit_rows in enumerate(rows):
        category = int(relevance.query[query])
        order = [row >= 0 and category >= 0 and relevance.gallery[row] == category for row in hit_rows]
        expected.append(reference_scores(order, int((relevance.gallery == category).sum()) if category >= 0 else 0))
        expected[-1] |= {("map_best", 100): expected[-1]["map", 100], ("map_worst", 100): expected[-1]["map", 100]}
    scores = retrieval.score_hits(Hits(rows, np.zeros(rows.shape, np.float32)), relevance)
    assert_close(scores, expected)
    assert np.isnan(scores["map", 100]).tolist() == (relevance.totals == 0).tolist()


def test_a_hit_of_minus_1_is_never_relevant() -> None:
    relevance = Relevance(np.array([1]), np.array([0, 1]))
    scores = retrieval.score_hits(Hits(np.array([[-1, -1]]), np.zeros((1, 2), np.float32)), relevance)
    assert scores["recall", 10] == [0]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("has_probed_lists", [False, True])
def test_scores_of_integer_distances_equal_means_over_all_orders_of_tied_rows(
    has_probed_lists: bool, seed: int
) -> None:
    distances, relevance, probed = random_search(seed)
    probed |= not has_probed_lists
    scores = retrieval.score_distances(
        lambda block: distances[block], 4, relevance, (lambda block: probed[block]) if has_probed_lists else None
    )
    relevant, totals = relevance.is_relevant(slice(None)).tolist(), relevance.totals.tolist()
    searches = zip(distances.tolist(), relevant, probed.tolist(), totals, strict=True)
    assert_close(scores, [scores_over_all_orders(*search) for search in searches])


def test_relevant_rows_outside_the_probed_lists_count_as_not_retrieved() -> None:
    relevance, distances = Relevance(np.array([0]), np.array([0, 0, 0, 0])), np.zeros((1, 4), np.int16)
    scores = retrieval.score_distances(
        lambda _: distances, 1, relevance, lambda _: np.array([[True, False, False, False]])
    )
    assert scores["map", 100] == [1 / 4]
    assert scores["recall", 1] == [1]


def test_the_expected_score_lies_between_worst_and_best() -> None:
    relevance, distances = Relevance(np.array([0]), np.array([0, 1])), np.zeros((1, 2), np.int16)
    scores = retrieval.score_distances(lambda _: distances, 1, relevance, None)
    assert [scores[f"map{suffix}", 100].tolist() for suffix in ("_worst", "", "_best")] == [[0.5], [0.75], [1.0]]
    assert scores["recall", 1] == [0.5]


def test_scores_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    distances, relevance, probed = random_search(0)
    requested_blocks: list[slice] = []

    def block_distances(block: slice) -> np.ndarray:
        requested_blocks.append(block)
        return distances[block]

    expected = retrieval.score_distances(block_distances, 4, relevance, lambda block: probed[block])
    monkeypatch.setattr(ranking, "BLOCK_CELLS", 14)  # 2 queries of 7 rows
    actual = retrieval.score_distances(block_distances, 4, relevance, lambda block: probed[block])
    assert [len(distances[block]) for block in requested_blocks] == [5, 2, 2, 1]
    for column in COLUMNS:
        np.testing.assert_array_equal(actual[column], expected[column])


@pytest.mark.parametrize("has_probed_lists", [False, True])
def test_codes_are_scored_by_their_hamming_distances(has_probed_lists: bool) -> None:
    rng = np.random.default_rng(2)
    _, relevance, probed = random_search(2)
    queries, gallery = rng.integers(0, 256, (5, 2), dtype=np.uint8), rng.integers(0, 256, (7, 2), dtype=np.uint8)
    gallery[0], gallery[1] = queries[0], ~queries[0]  # Hamming distances 0 and 16
    distances = [[sum(int(a ^ b).bit_count() for a, b in zip(q, g, strict=True)) for g in gallery] for q in queries]
    mask = (lambda block: probed[block]) if has_probed_lists else None
    scores = retrieval.score_codes(queries, gallery, relevance, mask)
    expected = retrieval.score_distances(lambda block: np.array(distances)[block], 17, relevance, mask)
    for column in COLUMNS:
        np.testing.assert_array_equal(scores[column], expected[column])


def test_precision_at_radius_is_0_where_no_code_is_within_the_radius() -> None:
    queries, gallery = np.array([[0b0], [0b11111111], [0b1]], np.uint8), np.array([[0b1], [0b11], [0b111]], np.uint8)
    relevance = Relevance.from_names(name_array("a", "a", "z"), name_array("a", "b", "a"))
    np.testing.assert_array_equal(retrieval.precision_at_radius(queries, gallery, relevance, 2), [1 / 2, 0, np.nan])
