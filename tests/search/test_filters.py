"""Filters before the ranking, folding of items and distance limits, against loops over all rows."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.hits import Hits
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.search.filters import MAX_SUBSETS, item_numbers
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher
from tests.gallery.factories import BITS, FakeModel, random_encoded
from tests.index.factories import assert_hits_equal_up_to_ties, assert_same_hits
from tests.search.factories import expected_lists
from tests.search.test_searcher import brute_force, policies, seeds

IMAGE = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)
WHERE = "price < 50 and color in ('red', 'blue')"


def make_catalogue(num_rows: int, seed: int = 0, first_row: int = 0) -> Catalogue:
    """Catalogue with prices, colours, and few items and groups of copies; some cells are missing."""
    rng = np.random.default_rng(seed)
    names = [f"garment {row}" for row in range(first_row, first_row + num_rows)]
    return Catalogue.from_columns({
        "id": names, "image": names, "category": ["hat"] * num_rows,
        "item": rng.choice(["", "a", "b", "c"], num_rows), "group": rng.choice(["", "a", "x"], num_rows),
        "price": pa.array(rng.integers(0, 100, num_rows), mask=rng.random(num_rows) < 0.2),
        "color": pa.array(rng.choice(["red", "blue", "green"], num_rows), mask=rng.random(num_rows) < 0.2),
    })  # fmt: skip


def make_searcher(encoded: Encoded, policy: SearchPolicy, seed: int = 0) -> Searcher:
    model = FakeModel(None if encoded.codes is None else BITS)
    return Searcher(model, Gallery.build(model, encoded, make_catalogue(len(encoded.probabilities), seed)), policy)


def passing_rows(catalogue: Catalogue) -> np.ndarray:
    """Evaluate WHERE in a loop."""
    return np.array(
        [
            number
            for number, row in enumerate(catalogue.table.to_pylist())
            if row["price"] is not None and row["price"] < 50 and row["color"] in ("red", "blue")
        ],
        dtype=np.int64,
    )


def map_rows(hits: Hits, rows: np.ndarray) -> Hits:
    return Hits(np.append(rows, -1)[hits.rows], hits.distances)


def item_keys(catalogue: Catalogue) -> list[tuple[str, Any]]:
    """Item of each row, or its group, or its number."""
    return [
        ("item", row["item"]) if row["item"] else ("group", row["group"]) if row["group"] else ("row", number)
        for number, row in enumerate(catalogue.table.to_pylist())
    ]


def fold_in_a_loop(hits: Sequence[tuple[float, int]], keys: list[tuple[str, Any]], k: int) -> list[tuple[float, int]]:
    first: dict[tuple[str, Any], tuple[float, int]] = {}
    for distance, row in hits:
        first.setdefault(keys[row], (distance, row))
    return list(first.values())[:k]


def valid_hits(hits: Hits, query: int) -> list[tuple[float, int]]:
    pairs = zip(hits.distances[query].tolist(), hits.rows[query].tolist(), strict=True)
    return [(distance, row) for distance, row in pairs if row >= 0]


@given(seeds, st.integers(0, 40), st.integers(1, 50), policies, st.booleans())
@settings(max_examples=80, deadline=None)
def test_filtered_hits_equal_brute_force_on_the_passing_rows(
    seed: int, num_rows: int, k: int, policy: SearchPolicy, in_policy: bool
) -> None:
    encoded, queries = random_encoded(seed, num_rows), random_encoded(seed + 1, 4)
    searcher = make_searcher(encoded, replace(policy, where=WHERE if in_policy else None), seed)
    hits = searcher.search_encoded(queries, k, None if in_policy else WHERE)
    rows = passing_rows(searcher.gallery.catalogue)
    expected = map_rows(brute_force(queries, encoded.take(rows), policy, k + num_rows), rows)
    if policy.distance == "euclidean":
        assert_hits_equal_up_to_ties(hits, expected)
    elif policy.distance == "rerank":  # the number of candidates depends on k
        assert_same_hits(hits, map_rows(brute_force(queries, encoded.take(rows), policy, k), rows))
    else:
        np.testing.assert_allclose(hits.distances, expected.distances[:, :k], rtol=1e-6)
        assert np.array_equal(hits.rows, expected.rows[:, :k])


def test_gallery_without_codes_is_filtered_after_removals_and_additions() -> None:
    searcher = make_searcher(random_encoded(0, 60, None), SearchPolicy("euclidean", "all", where=WHERE))
    gallery, queries = searcher.gallery, random_encoded(1, 3, None)
    before = searcher.search_encoded(queries, 60)
    assert set(before.rows[0, before.rows[0] >= 0]) == set(passing_rows(gallery.catalogue).tolist())
    gallery.remove(gallery.catalogue.column("id")[::3].astype(str))
    gallery.add(random_encoded(2, 20, None), make_catalogue(20, 5, 60))
    after = searcher.search_encoded(queries, 60)
    rows = passing_rows(gallery.catalogue)
    assert [sorted(each[each >= 0].tolist()) for each in after.rows] == [rows.tolist()] * 3
    vectors = gallery.index.contents()[2][after.rows[0, : len(rows)]]
    expected = np.linalg.norm(vectors - queries.embeddings[0], axis=1)
    np.testing.assert_allclose(after.distances[0, : len(rows)], expected, rtol=1e-6)


@given(seeds, st.integers(0, 40), st.integers(1, 12), policies, st.sampled_from([None, WHERE]))
@settings(max_examples=80, deadline=None)
def test_items_are_folded_as_in_a_loop(
    seed: int, num_rows: int, k: int, policy: SearchPolicy, where: str | None
) -> None:
    encoded, queries = random_encoded(seed, num_rows), random_encoded(seed + 1, 4)
    searcher = make_searcher(encoded, replace(policy, unique_items=True, where=where), seed)
    found = searcher.search_filtered(queries, k)
    found.hits.check()
    plain, keys = searcher.with_policy(policy), item_keys(searcher.gallery.catalogue)
    allowed = passing_rows(searcher.gallery.catalogue) if where else np.arange(num_rows)
    for query in range(4):
        count = k
        while True:  # a query needs candidates for `count` hits, which `rerank` selects from
            hits = valid_hits(plain.search_encoded(queries.at(query), count, where), 0)
            expected = fold_in_a_loop(hits, keys, k)
            if len(expected) == k or len(hits) < count or count >= len(allowed):
                break
            count = min(2 * count, len(allowed))
        folded = valid_hits(found.hits, query)
        assert [distance for distance, _ in folded] == [distance for distance, _ in expected]
        if policy.distance != "euclidean":  # rows tied with the last hit of an Euclidean search are unspecified
            assert folded == expected
        lists = expected_lists(queries.probabilities[query], policy)
        for rank, (_, row) in enumerate(folded):
            same = [other for other in allowed if keys[other] == keys[row] and encoded.predicted[other] in lists]
            assert found.folded[query, rank] == len(same) - 1


def test_folding_does_not_depend_on_the_batch() -> None:
    searcher = make_searcher(random_encoded(0, 200), SearchPolicy("rerank", "all", 3, unique_items=True))
    queries = random_encoded(1, 20)
    single = [searcher.search_encoded(queries.at(row), 6) for row in range(20)]
    assert_same_hits(searcher.search_encoded(queries, 6), Hits.concatenate(single, 6))


@given(seeds, policies, st.floats(0, 12), st.booleans())
@settings(max_examples=40, deadline=None)
def test_hits_beyond_the_distance_are_dropped_and_counted(
    seed: int, policy: SearchPolicy, limit: float, unique: bool
) -> None:
    encoded, queries = random_encoded(seed, 40), random_encoded(seed + 1, 4)
    policy = replace(policy, unique_items=unique)
    searcher = make_searcher(encoded, policy)
    all_hits = searcher.search_encoded(queries, 8)
    found = searcher.with_policy(replace(policy, max_distance=limit)).search_filtered(queries, 8)
    found.hits.check()
    for query in range(4):
        hits = valid_hits(all_hits, query)
        near = [(distance, row) for distance, row in hits if distance <= np.float32(limit)]
        assert valid_hits(found.hits, query) == near
        assert found.dropped[query] == len(hits) - len(near)


def test_results_of_an_image_name_rows_of_the_whole_gallery() -> None:
    searcher = make_searcher(random_encoded(0, 60), SearchPolicy("hamming", "all"))
    result = searcher.search(IMAGE, k=60, where="color = 'red'")
    red = [row for row in searcher.gallery.catalogue.table.to_pylist() if row["color"] == "red"]
    assert sorted(hit.id for hit in result.hits) == sorted(row["id"] for row in red)
    assert all(searcher.gallery.catalogue.row(hit.row)["id"] == hit.id for hit in result.hits)
    assert searcher.search_garments(IMAGE, 60, "color = 'red'") == [result]
    assert len(searcher.search(IMAGE, k=60).hits) == 60


def test_results_count_folded_and_dropped_hits() -> None:
    searcher = make_searcher(random_encoded(0, 60), SearchPolicy("hamming", "all", unique_items=True, max_distance=2))
    result = searcher.search(IMAGE, k=5)
    unlimited = searcher.with_policy(replace(searcher.policy, max_distance=None)).search(IMAGE, k=5)
    assert result.hits == tuple(hit for hit in unlimited.hits if hit.distance <= 2)
    assert (result.dropped, unlimited.dropped) == (5 - len(result.hits), 0)
    assert result.dropped > 0
    counts = np.bincount(item_numbers(searcher.gallery.catalogue))[item_numbers(searcher.gallery.catalogue)]
    assert [hit.folded + 1 for hit in unlimited.hits] == [counts[hit.row] for hit in unlimited.hits]
    assert result.as_dict()["dropped"] == result.dropped


def test_filter_that_leaves_nothing_is_logged_once_and_gives_no_hits(caplog: pytest.LogCaptureFixture) -> None:
    searcher = make_searcher(random_encoded(0, 60), SearchPolicy("rerank", "all", unique_items=True))
    with caplog.at_level(logging.WARNING):
        results = [searcher.search(IMAGE, where="price < 0") for _ in range(2)]
    assert [result.hits for result in results] == [(), ()]
    assert [record.getMessage() for record in caplog.records] == [
        "search.where=price < 0: 0 of 60 garments pass the filter"
    ]


@pytest.mark.parametrize("where", ["prize < 5", "price <", "price = 'a'"])
def test_invalid_filters_are_rejected_before_the_first_search(where: str) -> None:
    encoded = random_encoded(0, 9)
    with pytest.raises(ValueError, match=r"search\.where"):
        make_searcher(encoded, SearchPolicy(where=where))
    searcher = make_searcher(encoded, SearchPolicy())
    with pytest.raises(ValueError, match=r"search\.where"):
        searcher.with_policy(SearchPolicy(where=where))
    with pytest.raises(ValueError, match=r"search\.where"):
        searcher.search(IMAGE, where=where)


def test_automatic_distance_needs_the_calibration_of_a_run() -> None:
    with pytest.raises(ValueError, match=r"search\.max_distance=auto.*Run"):
        make_searcher(random_encoded(0, 9), SearchPolicy(max_distance="auto"))


def test_many_filters_replace_the_oldest() -> None:
    searcher = make_searcher(random_encoded(0, 60), SearchPolicy("hamming", "all"))
    queries = random_encoded(1, 1)
    limits = [*range(10, 10 + 2 * MAX_SUBSETS), 10]
    for limit in limits:
        rows = searcher.search_encoded(queries, 60, f"price < {limit}").rows[0]
        prices = searcher.gallery.catalogue.column("price")
        assert sorted(rows[rows >= 0].tolist()) == np.flatnonzero(prices < limit).tolist()
