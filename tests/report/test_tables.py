"""Score table and summary of a run."""

from typing import Any

import pytest

from fashion_lsh.metrics.results import CLASSIFIER, WHOLE_GALLERY, Column, Result, ResultTable
from fashion_lsh.report.phrases import describe_hash_layer
from fashion_lsh.report.tables import describe_run, score_rows, score_table, summary, with_interval

SEARCH = ("rerank 1000", "1 list")
OWN: Any = {"method": SEARCH[0], "scope": SEARCH[1]}
RESULTS = [
    Result("garments", 1200, method="data"),
    Result("garments", 25431, method="data", split="gallery"),
    Result("accuracy", 0.87654, method=CLASSIFIER),
    Result("accuracy", 0.99, k=5, method=CLASSIFIER),
    Result("macro_f1", 0.8551, method=CLASSIFIER),
    Result("latency_ms", 0.1234, **OWN),
    Result("latency_ms_p95", 0.2, **OWN),
    Result("end_to_end_ms", 23.456, **OWN),
    Result("map", 0.8001, 0.79, 0.81049, k=100, relevance="category", **OWN),
    Result("map_best", 0.9, k=100, relevance="category", **OWN),
    *(Result("map", value, k=100, method=method, scope=WHOLE_GALLERY, relevance="category")
      for method, value in (("random", 0.1), ("float", 0.85), ("hamming", 0.75))),
]  # fmt: skip
ITEM_RESULTS = [
    Result(metric, value, value, value, k=k, method=method, scope=scope, relevance="item")
    for (method, scope), value in ((SEARCH, 0.5), (("random", WHOLE_GALLERY), 0.0004), (("float", WHOLE_GALLERY), 1.0))
    for metric, k in (("recall", 1), ("recall", 10), ("map", 100))
]
CONFIG: dict[str, Any] = {
    "backbone": {"name": "resnet18", "weights": "imagenet"},
    "hash": {"bits": 48},
    "data": {"source": "fashion_mnist", "image_size": 64, "gallery": "gallery"},
}
TABLE = """\
|method        |scope        |category mAP@100    |item recall@1       |item recall@10      |item mAP@100        |
|-             |-            |-                   |-                   |-                   |-                   |
|**rerank 1000**|1 list       |0.800 [0.790, 0.810]|0.500 [0.500, 0.500]|0.500 [0.500, 0.500]|0.500 [0.500, 0.500]|
|float         |whole gallery|0.850               |1.000 [1.000, 1.000]|1.000 [1.000, 1.000]|1.000 [1.000, 1.000]|
|hamming       |whole gallery|0.750               |–                   |–                   |–                   |
|random        |whole gallery|0.100               |0.000 [0.000, 0.000]|0.000 [0.000, 0.000]|0.000 [0.000, 0.000]|"""


def table_of(*rows: Result, search: tuple[str, str] = SEARCH) -> ResultTable:
    return ResultTable([*RESULTS, *rows], search)


def config_with(**groups: Any) -> dict[str, Any]:
    return {name: values and {**values, **groups.get(name, {})} for name, values in CONFIG.items()}


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_the_score_table_lists_the_search_with_intervals_and_then_the_baselines() -> None:
    actual, expected = cells(score_table(table_of(*ITEM_RESULTS))), cells(TABLE)
    assert [actual[0], *actual[2:]] == [expected[0], *expected[2:]]
    assert all(set(cell) <= set(":-") for cell in actual[1])  # markdown


def test_score_rows_have_no_markup() -> None:
    columns, rows = score_rows(table_of(*ITEM_RESULTS))
    expected = cells(TABLE)
    assert [columns, *rows] == [expected[0], [expected[2][0].strip("*"), *expected[2][1:]], *expected[3:]]


def test_without_items_the_table_has_no_item_columns() -> None:
    assert cells(score_table(table_of()))[0] == ["method", "scope", "category mAP@100"]


def test_the_search_of_the_run_is_not_repeated_as_a_baseline() -> None:
    rows = [line[0] for line in cells(score_table(table_of(search=("hamming", WHOLE_GALLERY))))[2:]]
    assert rows == ["**hamming**", "float", "random", "rerank 1000"]


def test_one_distance_in_two_scopes_has_two_rows() -> None:
    added = Result("map", 0.82, k=100, method="rerank 1000", scope="2 lists", relevance="category")
    rows = [line[:3] for line in cells(score_table(table_of(added)))[2:] if "rerank" in line[0]]
    assert rows == [["**rerank 1000**", "1 list", "0.800 [0.790, 0.810]"], ["rerank 1000", "2 lists", "0.820"]]


def test_the_summary_states_setup_classifier_and_speed() -> None:
    first, second = summary(table_of(), CONFIG).splitlines()
    for text in (
        "resnet18",
        "imagenet",
        describe_hash_layer(CONFIG["hash"]),
        "fashion_mnist",
        "64 px",
        "1,200",
        "25,431",
    ):
        assert text in first
    for text in ("top-1 0.877", "top-5 0.990", "macro F1 0.855", "0.12 ms", "23.5 ms"):
        assert text in second


@pytest.mark.parametrize(
    ("data", "caveats"),
    [
        ({}, set()),
        ({"source": "shop_street"}, {"items"}),
        ({"gallery": "train"}, {"training"}),
        ({"source": "shop_street", "gallery": "train"}, {"items", "training"}),
    ],
)
def test_caveats_of_the_data_are_in_the_summary(data: dict[str, str], caveats: set[str]) -> None:
    first, _ = summary(table_of(), config_with(data=data)).splitlines()
    assert {word for word in ("items", "training") if word in first} == caveats


def test_the_summary_omits_the_classifier_for_unseen_categories() -> None:
    results = ResultTable([row for row in RESULTS if row.method != CLASSIFIER], SEARCH)
    first, second = summary(results, config_with(data={"unseen": 6})).splitlines()
    assert "not in the training data" in first
    assert "0.12 ms" in second
    assert not [text for text in ("top-1", "top-5", "macro F1") if text in second]


def test_the_summary_states_missing_weights_and_hash_layer() -> None:
    config = config_with(backbone={"weights": None}) | {"hash": None}
    first, _ = summary(table_of(), config).splitlines()
    assert "from scratch" in first
    assert describe_hash_layer(None) in first


def test_the_summary_omits_a_missing_end_to_end_time() -> None:
    results = ResultTable([row for row in RESULTS if row.metric != "end_to_end_ms"], SEARCH)
    _, second = summary(results, CONFIG).splitlines()
    assert "0.12 ms" in second
    assert "end to end" not in second


def test_the_summary_compares_promised_and_measured_coverage() -> None:
    added = [Result("coverage", 0.96, 0.95, 0.97, relevance="item", **OWN), Result("lists_probed", 1.847, **OWN)]
    *_, line = summary(ResultTable([*RESULTS, *added], SEARCH), CONFIG | {"search": {"coverage": 0.95}}).splitlines()
    assert line == "coverage: promised 0.95, measured by item 0.960 [0.950, 0.970]; 1.85 lists probed"


def test_run_description_is_score_table_and_summary() -> None:
    table, lines = describe_run(table_of(), CONFIG).split("\n\n")
    assert (table, lines) == (score_table(table_of()), summary(table_of(), CONFIG))


def test_a_value_has_an_interval_only_if_it_was_computed() -> None:
    results = table_of()
    assert with_interval(results, Column("rerank 1000", "map", 100, "category")) == "0.800 [0.790, 0.810]"
    assert with_interval(results, Column("float", "map", 100, "category")) == "0.850"
    assert with_interval(results, Column("float", "map", 100, "item")) == "–"
