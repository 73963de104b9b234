"""Scores of served and of tied rankings against plain loops over every order of equally near rows."""

import itertools
import math

import numpy as np
import pytest

from fashion_lsh.index.hits import Hits
from fashion_lsh.metrics import ranking, retrieval
from fashion_lsh.metrics.retrieval import Truth

NAMES = {"map@100", "map@100_best", "map@100_worst", "recall@1", "recall@10", "precision@10"}


def names(*texts: str) -> np.ndarray:
    return np.array(texts, dtype=object)


def plain(order: list[bool], total: int) -> dict[str, float]:
    """The scores of one ranking, place by place; NaN where nothing is relevant."""
    if not total:
        return dict.fromkeys(("map@100", "recall@1", "recall@10", "precision@10"), math.nan)
    hits, gained = 0, 0.0
    for place, relevant in enumerate(order[:100], start=1):
        if relevant:
            hits += 1
            gained += hits / place
    return {
        "map@100": gained / min(total, 100),
        "recall@1": float(any(order[:1])),
        "recall@10": float(any(order[:10])),
        "precision@10": sum(order[:10]) / 10,
    }


def over_all_orders(distances: list[int], relevant: list[bool], reached: list[bool], total: int) -> dict[str, float]:
    """Means of the plain scores over every order of the rows that were reached, nearest first; AP's extremes too."""
    rows = [row for row, is_reached in enumerate(reached) if is_reached]
    orders = [sorted(drawn, key=lambda row: distances[row]) for drawn in itertools.permutations(rows)]
    each = [plain([relevant[row] for row in order], total) for order in orders]
    found = {name: sum(one[name] for one in each) / len(each) for name in each[0]}
    every_ap = [one["map@100"] for one in each]
    return found | {"map@100_best": max(every_ap), "map@100_worst": min(every_ap)}


def assert_close(ours: retrieval.Scores, wanted: list[dict[str, float]]) -> None:
    assert set(ours) == NAMES
    for name, values in ours.items():
        np.testing.assert_allclose(values, [one[name] for one in wanted], atol=1e-12, err_msg=name)


def small_search(seed: int) -> tuple[np.ndarray, Truth, np.ndarray]:
    """5 queries, 7 rows, distances 0..3, numbers of 3 things and of nothing, rows that a probe reached."""
    rng = np.random.default_rng(seed)
    truth = Truth(rng.integers(-1, 3, 5), rng.integers(-1, 3, 7))
    return rng.integers(0, 4, (5, 7)).astype(np.int16), truth, rng.random((5, 7)) < 0.7


def test_what_is_not_known_belongs_to_nothing() -> None:
    truth = Truth.of(names("a", "", "b", "c"), names("", "a", "b", "a", ""))
    wanted = [[False, True, False, True, False], [False] * 5, [False, False, True, False, False], [False] * 5]
    assert truth.relevant(slice(None)).tolist() == wanted
    assert truth.relevant(slice(1, 3)).tolist() == wanted[1:3]
    assert truth.totals.tolist() == [2, 0, 1, 0]


def test_names_that_no_query_or_no_row_has_do_not_matter() -> None:
    assert Truth.of(names("z"), names("a", "b")).totals.tolist() == [0]
    assert Truth.of(names("a"), names("z", "a", "y")).totals.tolist() == [1]


@pytest.mark.parametrize(("query", "gallery"), [(("", ""), ("",)), (("", ""), ("a",)), (("a", ""), ("",))])
def test_where_nothing_is_known_nothing_is_relevant(query: tuple[str, ...], gallery: tuple[str, ...]) -> None:
    truth = Truth.of(names(*query), names(*gallery))
    assert truth.totals.tolist() == [0, 0]
    assert not truth.relevant(slice(None)).any()


@pytest.mark.parametrize("seed", range(4))
def test_served_hits_against_plain_loops(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = Truth(rng.integers(-1, 4, 20), rng.integers(-1, 4, 300))
    rows = np.stack([rng.permutation(300)[:100] for _ in range(20)])
    for query in range(0, 20, 3):  # -1 at the end, where fewer were found
        rows[query, rng.integers(0, 100) :] = -1
    wanted = []
    for query, served in enumerate(rows):
        known = int(truth.query[query])
        order = [row >= 0 and known >= 0 and truth.gallery[row] == known for row in served]
        wanted.append(plain(order, int((truth.gallery == known).sum()) if known >= 0 else 0))
        wanted[-1] |= {"map@100_best": wanted[-1]["map@100"], "map@100_worst": wanted[-1]["map@100"]}
    found = retrieval.of_hits(Hits(rows, np.zeros(rows.shape, np.float32)), truth)
    assert_close(found, wanted)
    assert np.isnan(found["map@100"]).tolist() == (truth.totals == 0).tolist()


def test_a_hit_of_minus_1_is_never_relevant_though_the_last_row_is() -> None:
    truth = Truth(np.array([1]), np.array([0, 1]))
    assert retrieval.of_hits(Hits(np.array([[-1, -1]]), np.zeros((1, 2), np.float32)), truth)["recall@10"] == [0]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("probed", [False, True])
def test_whole_number_distances_against_every_order_of_equals(probed: bool, seed: int) -> None:
    distances, truth, reached = small_search(seed)
    reached |= not probed
    found = retrieval.of_distances(
        lambda block: distances[block], 4, truth, (lambda block: reached[block]) if probed else None
    )
    relevant, totals = truth.relevant(slice(None)).tolist(), truth.totals.tolist()
    searches = zip(distances.tolist(), relevant, reached.tolist(), totals, strict=True)
    assert_close(found, [over_all_orders(*search) for search in searches])


def test_relevant_rows_that_no_probe_reached_count_as_missed() -> None:
    truth, near = Truth(np.array([0]), np.array([0, 0, 0, 0])), np.zeros((1, 4), np.int16)
    found = retrieval.of_distances(lambda _: near, 1, truth, lambda _: np.array([[True, False, False, False]]))
    assert found["map@100"] == [1 / 4]
    assert found["recall@1"] == [1]


def test_best_and_worst_stand_around_the_expected() -> None:
    truth, near = Truth(np.array([0]), np.array([0, 1])), np.zeros((1, 2), np.int16)
    found = retrieval.of_distances(lambda _: near, 1, truth, None)
    assert [found[f"map@100{end}"].tolist() for end in ("_worst", "", "_best")] == [[0.5], [0.75], [1.0]]
    assert found["recall@1"] == [0.5]


def test_queries_are_scored_the_same_in_any_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    distances, truth, reached = small_search(0)
    asked: list[slice] = []

    def look(block: slice) -> np.ndarray:
        asked.append(block)
        return distances[block]

    whole = retrieval.of_distances(look, 4, truth, lambda block: reached[block])
    monkeypatch.setattr(ranking, "BLOCK_CELLS", 14)  # 2 queries of 7 rows
    parts = retrieval.of_distances(look, 4, truth, lambda block: reached[block])
    assert [len(distances[block]) for block in asked] == [5, 2, 2, 1]
    for name in NAMES:
        np.testing.assert_array_equal(parts[name], whole[name])


@pytest.mark.parametrize("probed", [False, True])
def test_codes_are_scored_by_their_hamming_distances(probed: bool) -> None:
    rng = np.random.default_rng(2)
    _, truth, reached = small_search(2)
    queries, gallery = rng.integers(0, 256, (5, 2), dtype=np.uint8), rng.integers(0, 256, (7, 2), dtype=np.uint8)
    gallery[0], gallery[1] = queries[0], ~queries[0]  # 0 and all 16 bits apart
    bits = [[sum(int(a ^ b).bit_count() for a, b in zip(q, g, strict=True)) for g in gallery] for q in queries]
    mask = (lambda block: reached[block]) if probed else None
    found = retrieval.of_codes(queries, gallery, truth, mask)
    wanted = retrieval.of_distances(lambda block: np.array(bits)[block], 17, truth, mask)
    for name in NAMES:
        np.testing.assert_array_equal(found[name], wanted[name])


def test_a_look_up_counts_what_is_near_and_is_0_where_nothing_is() -> None:
    queries, gallery = np.array([[0b0], [0b11111111], [0b1]], np.uint8), np.array([[0b1], [0b11], [0b111]], np.uint8)
    truth = Truth.of(names("a", "a", "z"), names("a", "b", "a"))
    np.testing.assert_array_equal(retrieval.precision_within(queries, gallery, truth, 2), [1 / 2, 0, np.nan])
