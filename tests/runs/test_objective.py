"""Score on val by which a sweep compares its jobs."""

import math

import pytest

from fashion_lsh.metrics.results import Result, ResultTable
from fashion_lsh.runs.objective import check_objective, objective

RESULTS = ResultTable(
    [
        Result("accuracy", 0.9, method="classifier", split="val"),
        Result("code_map", math.nan, method="hash_head", split="val"),
        Result("accuracy", 0.8, method="classifier"),
        Result("map", 0.7, k=100, method="rerank 200", scope="1 list", relevance="category"),
        Result("accuracy", 0.6, method="val"),  # a score of the queries with a misleading name
    ],
    ("rerank 200", "1 list"),
)


def test_score_on_val_is_returned() -> None:
    assert objective(RESULTS, "classifier/val/accuracy") == 0.9


@pytest.mark.parametrize("metric", ["classifier/accuracy", "search/category/map@100", "val/accuracy", "a/val/b"])
def test_other_scores_are_refused_with_the_names_of_those_on_val(metric: str) -> None:
    with pytest.raises(ValueError, match=f"sweep.metric={metric}.*classifier/val/accuracy, hash_head/val/code_map"):
        objective(RESULTS, metric)


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="hash_head/val/code_map: nan"):
        objective(RESULTS, "hash_head/val/code_map")


def test_scores_of_queries_and_of_missing_stages_are_refused_before_training() -> None:
    check_objective("hash_head/val/code_map")
    check_objective("classifier/val/accuracy", has_hash_head=False)
    for metric in ("search/category/map@100", "classifier/accuracy"):
        with pytest.raises(ValueError, match=f"sweep.metric={metric}.*queries"):
            check_objective(metric)
    with pytest.raises(ValueError, match=r"sweep.metric=hash_head/val/code_map.*hash"):
        check_objective("hash_head/val/code_map", has_hash_head=False)
