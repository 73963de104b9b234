"""Results, lookups by column, replacement of rows, flat names, and mean scores with intervals."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.metrics.ranking import Scores
from fashion_lsh.metrics.results import (
    SEARCH,
    WHOLE_GALLERY,
    Column,
    Result,
    ResultTable,
    column_of,
    crop_condition,
    mean_results,
    metric_name,
    score_name,
)
from fashion_lsh.metrics.statistics import item_interval

NAN = math.nan
OWN = ("rerank 1000", "1 list")
column_strategy = st.tuples(st.sampled_from(["map", "recall"]), st.sampled_from([0, 1, 10]), st.floats(0, 1))
FIELDS: dict[str, tuple[str | int, ...]] = {  # values of each field of a column, all of which change the flat name
    "metric": ("map", "recall"), "k": (0, 10), "method": ("rerank 1000", "lsh"), "scope": ("1 list", WHOLE_GALLERY),
    "relevance": ("category", "item"), "category": ("", "hat"), "split": ("query", "val"),
    "condition": ("", "crop=whole", "corruption=blur"),
}  # fmt: skip


def own(metric: str, value: float, k: int = 0, **fields: str) -> Result:
    return Result(metric, value, k=k, method=OWN[0], scope=OWN[1], **fields)  # type: ignore[arg-type]


def make_table(*rows: Result) -> ResultTable:
    return ResultTable(rows, OWN)


def test_the_run_is_searched_by_the_method_search() -> None:
    baseline = Result("map", 0.2, k=100, method="lsh", scope=WHOLE_GALLERY, relevance="item")
    other_lists = Result("map", 0.4, k=100, method=OWN[0], scope="2 lists", relevance="item")
    table = make_table(baseline, other_lists, own("map", 0.3, 100, relevance="item"))
    assert table.value(SEARCH, "map", 100, relevance="item") == 0.3
    assert table.value(SEARCH, "map", 100, relevance="item", scope="2 lists") == 0.3  # the scope of the run counts
    assert table.value(OWN[0], "map", 100, relevance="item", scope="2 lists") == 0.4
    assert table.value("lsh", "map", 100, relevance="item") == 0.2
    assert table.find(Column("lsh", "map", 100, "item", scope=WHOLE_GALLERY)) == baseline


@pytest.mark.parametrize("change", [
    {"method": "itq"}, {"metric": "recall"}, {"k": 10}, {"relevance": "category"}, {"category": "hat"},
    {"split": "val"}, {"condition": "crop=whole"}, {"scope": "2 lists"},
])  # fmt: skip
def test_every_field_of_a_column_must_match(change: dict[str, str | int]) -> None:
    table = make_table(Result("map", 0.2, k=100, method="lsh", scope=WHOLE_GALLERY, relevance="item"))
    column = Column("lsh", "map", 100, "item")
    assert table.find(column) is not None
    assert table.find(column._replace(**change)) is None
    fields = column._replace(**change)._asdict()
    assert table.value(fields.pop("method"), fields.pop("metric"), fields.pop("k"), **fields) is None


def test_without_a_scope_the_first_row_is_found() -> None:
    rows = [Result("map", value, k=100, method="hamming", scope=scope, relevance="item")
            for scope, value in (("2 lists", 0.4), ("1 list", 0.3))]  # fmt: skip
    assert make_table(*rows).value("hamming", "map", 100, relevance="item") == 0.4
    assert make_table(*rows[::-1]).value("hamming", "map", 100, relevance="item") == 0.3


@pytest.mark.parametrize("change", [{"value": 0.9}, {"low": 0.1, "high": 0.3}, {"bits": 64}, {"n": 7}])
def test_duplicate_columns_are_refused(change: dict[str, float]) -> None:
    row = own("map", 0.2, 100, relevance="item")
    with pytest.raises(ValueError, match=r"two results of .*method='rerank 1000', metric='map', k=100"):
        make_table(row, row._replace(**change))  # type: ignore[arg-type]


def test_replace_replaces_rows_of_the_same_column_and_adds_others() -> None:
    kept, replaced = own("map", 0.1, 100, relevance="item"), own("recall", 0.2, 10, relevance="item")
    replacement, added = replaced._replace(value=0.3, n=5, bits=64), replaced._replace(k=1)
    table = make_table(kept, replaced)
    updated = table.replace([replacement, added])
    assert set(updated) == {kept, replacement, added}
    assert len(updated) == 3
    assert updated.search == OWN
    assert table.rows == [kept, replaced]  # unchanged
    assert table.replace([]).rows == table.rows


@given(st.lists(column_strategy), st.lists(column_strategy))
def test_replace_equals_an_update_of_dictionaries(
    old: list[tuple[str, int, float]], new: list[tuple[str, int, float]]
) -> None:
    rows, added = ({(metric, k): own(metric, value, k) for metric, k, value in part} for part in (old, new))
    updated = make_table(*rows.values()).replace(added.values())
    assert {column_of(row): row for row in updated} == {column_of(row): row for row in (rows | added).values()}


def test_select_returns_the_rows_with_all_values() -> None:
    rows = [own("map", 0.1, 100, relevance="item"), own("map", 0.2, 100, relevance="category"),
            own("map", 0.3, 100, relevance="item", condition="crop=whole")]  # fmt: skip
    table = make_table(*rows)
    assert table.select(relevance="item") == [rows[0], rows[2]]
    assert table.select(relevance="item", condition="") == rows[:1]
    assert table.select() == rows
    assert table.select(metric="recall") == []


def test_methods_are_the_searches_with_the_own_search_first() -> None:
    table = make_table(
        Result("map", 0.1, k=100, method="random", scope=WHOLE_GALLERY, relevance="category"),
        Result("map", 0.1, k=100, method="random", scope=WHOLE_GALLERY, relevance="item"),
        Result("map", 0.2, k=100, method="hamming", scope="2 lists", relevance="category"),
        Result("map", 0.2, k=100, method="hamming", scope="1 list", relevance="category"),
        Result("accuracy", 0.9, method="classifier"),
        Result("entropy", 0.9, method="code", split="gallery"),
        own("map", 0.3, 100, relevance="category"),
    )
    expected = [OWN, ("hamming", "1 list"), ("hamming", "2 lists"), ("random", WHOLE_GALLERY)]
    assert table.methods() == expected


@pytest.mark.parametrize(("row", "name"), [
    (own("map", 0, 100, relevance="category"), "search/category/map@100"),
    (own("map", 0, 100, relevance="category", condition="crop=whole"), "crop=whole/search/category/map@100"),
    (own("latency_ms", 0), "search/latency_ms"),
    (Result("map", 0, k=100, method="rerank 1000", scope="2 lists", relevance="item"),
     "rerank 1000/2 lists/item/map@100"),
    (Result("recall", 0, k=10, method="lsh", scope=WHOLE_GALLERY, relevance="item"), "lsh/item/recall@10"),
    (Result("accuracy", 0, method="classifier"), "classifier/accuracy"),
    (Result("accuracy", 0, k=5, method="classifier"), "classifier/accuracy@5"),
    (Result("accuracy", 0, method="classifier", split="val"), "classifier/val/accuracy"),
    (Result("accuracy", 0, method="classifier", condition="corruption=blur"), "corruption=blur/classifier/accuracy"),
    (Result("entropy", 0, method="code", split="gallery", bits=64), "code/gallery/entropy"),
    (Result("parameters", 0, method="model"), "model/parameters"),
    (Result("box_ap50", 0, method="detector"), "detector/box_ap50"),
    (Result("box_ap50", 0, method="detector", category="hat"), "detector/hat/box_ap50"),
    (Result("garments", 0, method="data"), "data/garments"),
    (Result("garments", 0, method="data", split="gallery"), "data/gallery/garments"),
])  # fmt: skip
def test_flat_names_omit_empty_fields_and_defaults(row: Result, name: str) -> None:
    table = make_table(row._replace(value=0.25))
    assert table.flat() == {name: 0.25}
    assert table.by_flat_name(name) == row._replace(value=0.25)
    assert table.by_flat_name(f"{name}/unknown") is None


def test_rows_that_differ_in_any_field_have_different_flat_names() -> None:
    combinations = [dict(zip(FIELDS, values, strict=True)) for values in product(*FIELDS.values())]
    rows = [Result(value=float(number), **fields) for number, fields in enumerate(combinations)]  # type: ignore[arg-type]
    table = make_table(*rows)
    flat = table.flat()
    assert len(flat) == len(rows) == 2**7 * 3
    assert all(table.by_flat_name(name) == rows[int(value)] for name, value in list(flat.items())[::37])


def test_the_column_of_a_row_finds_the_row() -> None:
    rows = [own("map", 0.1, 100, relevance="item"), Result("accuracy", 0.9, method="classifier", n=7)]
    assert [make_table(*rows).find(column_of(row)) for row in rows] == rows


def test_names_of_metrics_scores_and_conditions() -> None:
    assert (metric_name("map", 100), metric_name("entropy", 0)) == ("map@100", "entropy")
    assert score_name("item", "recall", 10) == "item/recall@10"
    assert crop_condition("detected_or_whole") == "crop=detected_or_whole"


@pytest.mark.parametrize(("bounds", "has_interval"), [((), False), ((0.1, 0.3), True)])
def test_bounds_that_were_not_computed_are_nan(bounds: tuple[float, ...], has_interval: bool) -> None:
    assert Result("map", 0.2, *bounds).has_interval == has_interval


def test_means_ignore_queries_without_relevant_rows() -> None:
    scores: dict[str, Scores] = {"item": {("map", 100): np.array([0.2, NAN, 0.6])},
                                 "category": {("recall", 1): np.array([1.0, 0.0, 0.0])}}  # fmt: skip
    items = np.array(["a", "b", ""], dtype=object)
    categories = np.array(["c", "d", "d"], dtype=object)
    results = mean_results(scores, items, categories, method="random", scope=WHOLE_GALLERY, bits=8)
    assert [(row.relevance, row.metric, row.k, row.n) for row in results] == [
        ("item", "map", 100, 2), ("item", "macro_map", 100, 2), ("category", "recall", 1, 3),
        ("category", "macro_recall", 1, 3),
    ]  # fmt: skip
    assert [row.value for row in results] == pytest.approx([0.4, (0.2 + 0.6) / 2, 1 / 3, (1 + 0) / 2])
    assert {(row.method, row.scope, row.bits, row.split) for row in results} == {("random", WHOLE_GALLERY, 8, "query")}
    assert all(type(number) is float for row in results for number in (row.value, row.low, row.high))


def test_intervals_contain_the_means() -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random(200) < 0.1, NAN, rng.random(200))
    scores: dict[str, Scores] = {"item": {("map", 100): values, ("recall", 1): np.round(values)},
                                 "category": {("map", 100): values**2}}  # fmt: skip
    items = np.array([f"item {n // 3}" for n in range(200)], dtype=object)
    means = mean_results(scores, items, np.full(200, "c", dtype=object))
    results = [row for row in means if row.has_interval]
    assert [(row.metric, row.k) for row in results] == [("map", 100), ("recall", 1), ("map", 100)]
    for row in results:
        assert row.low < row.value < row.high
        assert row.high - row.low < 0.2


def test_queries_of_an_item_are_dependent() -> None:
    values, items = np.random.default_rng(1).random(9), ["a", "", "b", "a", "", "", "b", "7", ""]
    scores: dict[str, Scores] = {"item": {("map", 100): values}}
    row, _ = mean_results(scores, np.array(items, dtype=object), np.full(9, "c", dtype=object))
    assert (row.low, row.high) == item_interval(values, np.array(list("abcadecfg")))
