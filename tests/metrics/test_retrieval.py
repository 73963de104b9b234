"""Scores of rankings with and without ties, against loops over all orders of tied rows."""

import itertools

import numpy as np
import pytest

from fashion_lsh.index.hits import Hits
from fashion_lsh.metrics import ranking, retrieval
from fashion_lsh.metrics.ranking import CUTOFFS
from fashion_lsh.metrics.retrieval import Relevance
from tests.metrics.factories import reference_scores

ReferenceScores = dict[tuple[str, int], float]  # metric and cutoff rank -> score of one ranking


def name_array(*names: str) -> np.ndarray:
    return np.array(names, dtype=object)


def scores_over_all_orders(
    distances: list[int], relevant: list[bool], probed: list[bool], total: int
) -> ReferenceScores:
    """Mean scores, and best and worst AP, over all orders of the probed rows with ascending distances."""
    rows = [row for row, is_probed in enumerate(probed) if is_probed]
    orders = [sorted(permutation, key=lambda row: distances[row]) for permutation in itertools.permutations(rows)]
    scores = [reference_scores([relevant[row] for row in order], total, CUTOFFS) for order in orders]
    means = {column: sum(single[column] for single in scores) / len(scores) for column in scores[0]}
    for k in CUTOFFS:
        aps = [single["map", k] for single in scores]
        means |= {("map_best", k): max(aps), ("map_worst", k): min(aps)}
    return means


def assert_close(actual: retrieval.Scores, expected: list[ReferenceScores]) -> None:
    assert actual.keys() == expected[0].keys()
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
        order = [bool(row >= 0 and category >= 0 and relevance.gallery[row] == category) for row in hit_rows]
        total = int((relevance.gallery == category).sum()) if category >= 0 else 0
        expected.append(reference_scores(order, total, CUTOFFS))
    scores = retrieval.score_hits(Hits(rows, np.zeros(rows.shape, np.float32)), relevance)
    assert_close(scores, expected)
    assert np.isnan(scores["map", 100]).tolist() == (relevance.totals == 0).tolist()


@pytest.mark.parametrize("has_probed_lists", [False, True])
def test_scores_of_embeddings_equal_sorted_distances(has_probed_lists: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    relevance, probed = Relevance(rng.integers(-1, 4, 20), rng.integers(-1, 4, 60)), rng.random((20, 60)) < 0.5
    probed |= not has_probed_lists
    queries = rng.integers(0, 3, (20, 2)).astype(np.float32)  # many equal distances
    gallery = rng.integers(0, 3, (60, 2)).astype(np.float32)
    expected = []
    for query, (vector, is_relevant) in enumerate(zip(queries, relevance.is_relevant(slice(None)), strict=True)):
        squares = ((gallery - vector) ** 2).sum(axis=1).tolist()
        rows = sorted(np.flatnonzero(probed[query]).tolist(), key=lambda row: (squares[row], row))
        order = [bool(is_relevant[row]) for row in rows]
        expected.append(reference_scores(order, int(relevance.totals[query]), CUTOFFS))
    mask = (lambda block: probed[block]) if has_probed_lists else None
    monkeypatch.setattr(ranking, "BLOCK_CELLS", 400)
    assert_close(retrieval.score_embeddings(queries, gallery, relevance, mask), expected)


@pytest.mark.parametrize(
    ("queries", "gallery", "message"),
    [
        (np.zeros((2, 3)), np.array([[0, 0, 0], [0, np.nan, 0]]), r"1 of 2 vectors of gallery .*row 1"),
        (np.full((2, 3), np.inf), np.zeros((4, 3)), r"2 of 2 vectors of queries .*row 0"),
        (np.zeros((2, 3)), np.zeros((4, 5)), r"\(2, 3\).*\(4, 5\)"),
    ],
)
def test_invalid_vectors_are_rejected(queries: np.ndarray, gallery: np.ndarray, message: str) -> None:
    relevance = Relevance(np.zeros(2, np.int64), np.zeros(len(gallery), np.int64))
    with pytest.raises(ValueError, match=message):
        retrieval.score_embeddings(queries, gallery, relevance, None)


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
    for column, values in expected.items():
        np.testing.assert_allclose(actual[column], values, atol=1e-12)


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
    for column, values in expected.items():
        np.testing.assert_array_equal(scores[column], values)


def test_precision_at_radius_is_0_where_no_code_is_within_the_radius() -> None:
    queries, gallery = np.array([[0b0], [0b11111111], [0b1]], np.uint8), np.array([[0b1], [0b11], [0b111]], np.uint8)
    relevance = Relevance.from_names(name_array("a", "a", "z"), name_array("a", "b", "a"))
    np.testing.assert_array_equal(retrieval.precision_at_radius(queries, gallery, relevance, 2), [1 / 2, 0, np.nan])
