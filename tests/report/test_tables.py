"""Score table and summary of a run."""

from typing import Any

import pytest

from fashion_lsh.report.phrases import describe_hash_layer
from fashion_lsh.report.tables import describe_run, score_rows, score_table, summary

METRICS = {
    "query/count": 1200,
    "query/gallery_rows": 25431,
    "query/accuracy": 0.87654,
    "query/top5_accuracy": 0.99,
    "query/macro_f1": 0.8551,
    "speed/search_ms": 0.1234,
    "speed/search_ms_p95": 0.2,
    "speed/end_to_end_ms": 23.456,
    "query/category/map@100": 0.8001,
    "query/category/map@100_low": 0.79,
    "query/category/map@100_high": 0.81049,
    "query/category/map@100_best": 0.9,
    "baselines/random/category/map@100": 0.1,
    "baselines/float/category/map@100": 0.85,
    "baselines/hamming_all/category/map@100": 0.75,
}
ITEM_METRICS = {
    f"{method}/item/{score}{suffix}": value
    for method, value in (("query", 0.5), ("baselines/random", 0.0004), ("baselines/float", 1.0))
    for score in ("recall@1", "recall@10", "map@100")
    for suffix in ("", "_low", "_high")
}
CONFIG: dict[str, Any] = {
    "backbone": {"name": "resnet18", "weights": "imagenet"},
    "hash": {"bits": 48},
    "data": {"source": "fashion_mnist", "image_size": 64, "gallery": "gallery"},
}
TABLE = """\
| method         | category mAP@100     | item recall@1        | item recall@10       | item mAP@100         |
|:---------------|:---------------------|:---------------------|:---------------------|:---------------------|
| **rerank200_1** | 0.800 [0.790, 0.810] | 0.500 [0.500, 0.500] | 0.500 [0.500, 0.500] | 0.500 [0.500, 0.500] |
| float          | 0.850                | 1.000 [1.000, 1.000] | 1.000 [1.000, 1.000] | 1.000 [1.000, 1.000] |
| hamming_all    | 0.750                | –                    | –                    | –                    |
| random         | 0.100                | 0.000 [0.000, 0.000] | 0.000 [0.000, 0.000] | 0.000 [0.000, 0.000] |"""


def config_with(**groups: Any) -> dict[str, Any]:
    return {name: values and {**values, **groups.get(name, {})} for name, values in CONFIG.items()}


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_the_score_table_lists_the_search_with_intervals_and_then_the_baselines() -> None:
    actual, expected = cells(score_table(METRICS | ITEM_METRICS, "rerank200_1")), cells(TABLE)
    assert [actual[0][1:], *actual[2:]] == [expected[0][1:], *expected[2:]]
    assert all(set(cell) <= set(":-") for cell in actual[1])  # markdown


def test_score_rows_have_no_markup() -> None:
    columns, rows = score_rows(METRICS | ITEM_METRICS, "rerank200_1")
    expected = cells(TABLE)
    assert [columns[1:], *rows] == [expected[0][1:], [expected[2][0].strip("*"), *expected[2][1:]], *expected[3:]]


def test_without_items_the_table_has_no_item_columns() -> None:
    assert cells(score_table(METRICS, "rerank200_1"))[0][1:] == ["category mAP@100"]


def test_the_search_of_the_run_is_not_repeated_as_a_baseline() -> None:
    rows = [line[0] for line in cells(score_table(METRICS, "hamming_all"))[2:]]
    assert rows == ["**hamming_all**", "float", "random"]


def test_the_summary_states_setup_classifier_and_speed() -> None:
    first, second = summary(METRICS, CONFIG).splitlines()
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
    first, _ = summary(METRICS, config_with(data=data)).splitlines()
    assert {word for word in ("items", "training") if word in first} == caveats


def test_the_summary_omits_the_classifier_for_unseen_categories() -> None:
    metrics = {name: value for name, value in METRICS.items() if "query/accuracy" not in name}
    first, second = summary(metrics, config_with(data={"unseen": 6})).splitlines()
    assert "not in the training data" in first
    assert "0.12 ms" in second
    assert not [text for text in ("top-1", "top-5", "macro F1") if text in second]


def test_the_summary_states_missing_weights_and_hash_layer() -> None:
    config = config_with(backbone={"weights": None}) | {"hash": None}
    first, _ = summary(METRICS, config).splitlines()
    assert "from scratch" in first
    assert describe_hash_layer(None) in first


def test_run_description_is_score_table_and_summary() -> None:
    table, lines = describe_run(METRICS, CONFIG, "hamming_1").split("\n\n")
    assert (table, lines) == (score_table(METRICS, "hamming_1"), summary(METRICS, CONFIG))
