"""Query table, its file, scores of single queries, and item scores by shared garment."""

import math
import re
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.evaluation.query_table import QueryScores, query_table, shared_garment_results, write_queries
from fashion_lsh.metrics.ranking import Scores
from fashion_lsh.metrics.results import SEARCH, WHOLE_GALLERY, Column

NAN = math.nan
OWN = ("hamming", "1 list")
score_strategy = st.one_of(st.floats(0, 1, width=32), st.just(NAN))


def make_catalogue(items: list[str], groups: list[str] | None = None, prefix: str = "q") -> Catalogue:
    ids = [f"{prefix}{row}" for row in range(len(items))]
    columns = {"id": ids, "image": ids, "category": ["coat"] * len(items), "item": items}
    return Catalogue.from_columns(columns | ({"group": groups} if groups else {}))


def search_table(values: list[float], method: tuple[str, str] = OWN, **outputs: Any) -> pa.Table:
    """Query table of one method, with one query per value."""
    scores: dict[str, Scores] = {"item": {("recall", 10): np.array(values)}}
    return query_table(method, make_catalogue([""] * len(values)), scores, outputs)


def test_the_query_table_has_a_row_for_each_query_with_every_score() -> None:
    scores: dict[str, Scores] = {
        "category": {("map", 100): np.array([0.5, NAN]), ("recall", 1): np.array([1.0, 0.0])},
        "item": {("map", 100): np.array([0.25, 0.75])},
    }
    query = make_catalogue(["i7", ""]).with_columns(category=["coat", "bag"])
    outputs = {"predicted": ["bag", "bag"], "confidence": np.array([0.5, 0.25]), "hits": [["g1", "g0"], []]}
    table = query_table(OWN, query, scores, outputs | {"search_ms": np.array([1.5, 2.5])}).to_pydict()
    assert math.isnan(table["category/map@100"].pop())
    assert table == {
        "method": ["hamming", "hamming"],
        "scope": ["1 list", "1 list"],
        "id": ["q0", "q1"],
        "category": ["coat", "bag"],
        "item": ["i7", ""],
        "predicted": ["bag", "bag"],
        "confidence": [0.5, 0.25],
        "hits": [["g1", "g0"], []],
        "search_ms": [1.5, 2.5],
        "category/map@100": [0.5],
        "category/recall@1": [1.0, 0.0],
        "item/map@100": [0.25, 0.75],
    }


def rows_by_search(path: Path) -> dict[tuple[str, str], list[float]]:
    """Scores in the file by method and scope."""
    scores: dict[tuple[str, str], list[float]] = {}
    for row in pq.read_table(path).to_pylist():
        scores.setdefault((row["method"], row["scope"]), []).append(row["item/recall@10"])
    return scores


def test_only_rows_of_the_same_method_and_scope_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "queries.parquet"
    write_queries(path, search_table([0.0, 1.0]))
    write_queries(path, search_table([0.25, 0.25], ("hamming", "2 lists")))
    write_queries(path, search_table([0.5, 0.5], ("rerank 1000", "1 list")))
    write_queries(path, search_table([0.75, 1.0, 0.75]))
    assert rows_by_search(path) == {
        OWN: [0.75, 1.0, 0.75], ("hamming", "2 lists"): [0.25, 0.25], ("rerank 1000", "1 list"): [0.5, 0.5],
    }  # fmt: skip
    tables = [search_table([1.0], ("hamming", "2 lists")), search_table([0.5], ("lsh", WHOLE_GALLERY))]
    write_queries(path, pa.concat_tables(tables))
    assert rows_by_search(path) == {
        OWN: [0.75, 1.0, 0.75], ("rerank 1000", "1 list"): [0.5, 0.5], ("hamming", "2 lists"): [1.0],
        ("lsh", WHOLE_GALLERY): [0.5],
    }  # fmt: skip


@pytest.mark.parametrize("is_own_first", [True, False])
def test_columns_of_one_method_only_are_null_for_the_others(is_own_first: bool, tmp_path: Path) -> None:
    path = tmp_path / "queries.parquet"
    own = search_table([0.0, 1.0], predicted=["coat", "bag"], code=pa.array([b"\x01", b"\x00"], pa.binary()))
    tables = [own, search_table([0.5], ("lsh", WHOLE_GALLERY))]
    for table in tables if is_own_first else tables[::-1]:
        write_queries(path, table)
    rows = {row["method"]: row for row in pq.read_table(path).to_pylist()}
    assert (rows["hamming"]["predicted"], rows["hamming"]["code"]) == ("bag", b"\x00")
    assert (rows["lsh"]["predicted"], rows["lsh"]["code"]) == (None, None)


def test_a_damaged_file_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "queries.parquet"
    path.write_bytes(b"PAR1 damaged")
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} is damaged"):
        write_queries(path, search_table([0.5]))
    assert path.read_bytes() == b"PAR1 damaged"
    assert list(tmp_path.iterdir()) == [path]


@settings(deadline=None)
@given(
    rows=st.lists(
        st.tuples(score_strategy, score_strategy, st.sampled_from(["", "a", "b", "c"])), min_size=1, max_size=30
    )
)
def test_scores_and_items_round_trip(
    rows: list[tuple[float, float, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    item_map, category_map, items = (list(column) for column in zip(*rows, strict=True))
    scores: dict[str, Scores] = {
        "item": {("map", 100): np.array(item_map)}, "category": {("map", 100): np.array(category_map)},
    }  # fmt: skip
    query, path = make_catalogue(items), tmp_path_factory.mktemp("round_trip") / "queries.parquet"
    write_queries(path, query_table(OWN, query, scores, {"predicted": ["coat"] * len(query)}))
    query_scores = QueryScores(path, OWN)
    assert query_scores.ids.tolist() == query.column("id").tolist()
    for relevance, by_metric in scores.items():
        actual = query_scores.scores(Column(SEARCH, "map", 100, relevance))
        assert actual is not None
        assert np.array_equal(actual, by_metric["map", 100].astype(np.float32), equal_nan=True)
    for row, other in product(range(len(items)), repeat=2):
        has_same_item = row == other or (items[row] == items[other] != "")
        assert (query_scores.groups[row] == query_scores.groups[other]) == has_same_item
    assert all(group <= row for row, group in enumerate(query_scores.groups))  # the first query of the item


@pytest.fixture
def query_scores(tmp_path: Path) -> QueryScores:
    """Scores of a run's own search, of another search, and of a baseline without item scores."""
    query = make_catalogue(["a", ""]).with_columns(category=["coat", "bag"])
    own: dict[str, Scores] = {"category": {("map", 100): np.array([0.5, NAN])},
                              "item": {("recall", 10): np.array([1.0, 0.0])}}  # fmt: skip
    others = {("hamming", "2 lists"): [0.25, 0.75], ("lsh", WHOLE_GALLERY): [0.125, 0.5]}
    tables = [query_table(OWN, query, own, {"predicted": ["coat", ""]})]
    tables += [
        query_table(search, query, {"category": {("map", 100): np.array(values)}}) for search, values in others.items()
    ]
    write_queries(tmp_path / "queries.parquet", pa.concat_tables(tables, promote_options="default"))
    return QueryScores(tmp_path / "queries.parquet", OWN)


@pytest.mark.parametrize(("column", "expected"), [
    (Column(SEARCH, "map", 100, "category"), [0.5, NAN]),
    (Column(SEARCH, "recall", 10, "item"), [1.0, 0.0]),
    (Column("hamming", "map", 100, "category", scope="1 list"), [0.5, NAN]),
    (Column("hamming", "map", 100, "category", scope="2 lists"), [0.25, 0.75]),
    (Column("lsh", "map", 100, "category"), [0.125, 0.5]),  # a baseline scans the whole gallery
    (Column("classifier", "accuracy"), [1.0, 0.0]),  # an undetected query counts as wrong
])  # fmt: skip
def test_scores_are_read_by_column(column: Column, expected: list[float], query_scores: QueryScores) -> None:
    scores = query_scores.scores(column)
    assert scores is not None
    assert np.issubdtype(scores.dtype, np.floating)
    assert np.array_equal(scores, expected, equal_nan=True)


@pytest.mark.parametrize("column", [
    Column(SEARCH, "map", 10, "category"), Column(SEARCH, "map_garment_shared", 100, "item"),
    Column("itq", "map", 100, "category"), Column("lsh", "map", 100, "category", scope="1 list"),
    Column("classifier", "accuracy", 5), Column("classifier", "macro_f1"), Column("model", "parameters"),
    Column(SEARCH, "map", 100, "category", condition="crop=whole"),
    Column("classifier", "accuracy", condition="corruption=blur"), Column("classifier", "accuracy", split="val"),
    Column(SEARCH, "map", 100, "category", category="coat"),
])  # fmt: skip
def test_a_column_without_scores_of_single_queries_has_none(column: Column, query_scores: QueryScores) -> None:
    assert query_scores.scores(column) is None


def test_ids_and_groups_are_those_of_the_own_search(query_scores: QueryScores) -> None:
    assert query_scores.ids.tolist() == ["q0", "q1"]
    assert query_scores.groups.tolist() == [0, 1]


@pytest.mark.parametrize("content", [b"", b"PAR1 damaged", None])
def test_a_damaged_or_missing_file_is_a_clear_error(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "queries.parquet"
    if content is not None:
        path.write_bytes(content)
    message = rf"{re.escape(str(path))} is damaged"
    with pytest.raises(ValueError, match=message):
        QueryScores(path, OWN).scores(Column(SEARCH, "map", 100, "category"))
    with pytest.raises(ValueError, match=message):
        _ = QueryScores(path, OWN).ids


@pytest.mark.parametrize("missing", ["id", "item", "predicted", "method", "scope"])
def test_a_file_without_a_required_column_is_damaged(missing: str, query_scores: QueryScores) -> None:
    pq.write_table(pq.read_table(query_scores.path).drop_columns([missing]), query_scores.path)
    with pytest.raises(ValueError, match="is damaged"):
        _ = (query_scores.ids, query_scores.groups, query_scores.scores(Column("classifier", "accuracy")))


@pytest.mark.parametrize("missing", ["method", "scope"])
def test_rows_are_not_added_to_a_file_without_methods(missing: str, query_scores: QueryScores) -> None:
    pq.write_table(pq.read_table(query_scores.path).drop_columns([missing]), query_scores.path)
    with pytest.raises(ValueError, match="is damaged"):
        write_queries(query_scores.path, search_table([0.5]))


def test_a_garment_is_shared_if_another_item_of_its_group_is_in_the_gallery() -> None:
    gallery = make_catalogue(["a", "a2", "b", "c", "", "x"], ["g", "g", "h", "", "h", ""], "g")
    query = make_catalogue(["a", "b", "c", "d", "e"], ["g", "h", "", "h", "z"])
    # Shared: a (with a2), b (with the row of group h without item), d (with b).
    # Not shared: c (no group), e (no gallery row in group z).
    values = np.array([0.1, 0.2, 0.4, NAN, 0.8])
    shared, unshared = shared_garment_results({("map", 100): values}, query, gallery, method="lsh", bits=8)
    assert (shared.metric, unshared.metric) == ("map_garment_shared", "map_garment_unshared")
    assert (shared.value, unshared.value) == pytest.approx((0.15, 0.6))
    for row in (shared, unshared):
        assert (row.k, row.relevance, row.method, row.bits) == (100, "item", "lsh", 8)


@pytest.mark.parametrize(("values", "subset"), [([0.5, NAN], "shared"), ([NAN, 0.5], "unshared")])
def test_a_subset_without_relevant_rows_is_skipped(values: list[float], subset: str) -> None:
    gallery, query = make_catalogue(["a2", "b"], ["g", "h"], "g"), make_catalogue(["a", "b"], ["g", "h"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        [row] = shared_garment_results({("recall", 1): np.array(values)}, query, gallery)
    assert (row.metric, row.k, row.value) == (f"recall_garment_{subset}", 1, 0.5)


def test_only_unshared_garments_are_scored_if_no_garment_is_shared() -> None:
    [row] = shared_garment_results(
        {("recall", 1): np.array([1.0])}, make_catalogue(["a"], ["g"]), make_catalogue(["a"], ["g"], "g")
    )
    assert (row.metric, row.value) == ("recall_garment_unshared", 1.0)
