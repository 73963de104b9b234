"""Query table, and item scores by shared garment."""

import math
import warnings

import numpy as np
import pytest
from fashion_lsh.evaluation.results import query_table, scores_by_shared_garment

from fashion_lsh.data.catalogue import Catalogue

NAN = math.nan


def make_catalogue(items: list[str], groups: list[str] | None = None, prefix: str = "q") -> Catalogue:
    ids = [f"{prefix}{row}" for row in range(len(items))]
    columns = {"id": ids, "image": ids, "category": ["coat"] * len(items), "item": items}
    return Catalogue.from_columns(columns | ({"group": groups} if groups else {}))


def test_the_query_table_has_a_row_for_each_query_with_every_score() -> None:
    scores = {
        "category": {"map@100": np.array([0.5, NAN]), "recall@1": np.array([1.0, 0.0])},
        "item": {"map@100": np.array([0.25, 0.75])},
    }
    query = make_catalogue(["i7", ""]).with_columns(category=["coat", "bag"])
    outputs = {"predicted": ["bag", "bag"], "confidence": np.array([0.5, 0.25]), "hits": [["g1", "g0"], []]}
    table = query_table("hamming_1", query, outputs | {"search_ms": np.array([1.5, 2.5])}, scores).to_pydict()
    assert math.isnan(table["category/map@100"].pop())
    assert table == {
        "search": ["hamming_1", "hamming_1"],
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


def test_a_garment_is_shared_if_another_item_of_its_group_is_in_the_gallery() -> None:
    gallery = make_catalogue(["a", "a2", "b", "c", "", "x"], ["g", "g", "h", "", "h", ""], "g")
    query = make_catalogue(["a", "b", "c", "d", "e"], ["g", "h", "", "h", "z"])
    # Shared: a (with a2), b (with the row of group h without item), d (with b).
    # Not shared: c (no group), e (no gallery row in group z).
    values = np.array([0.1, 0.2, 0.4, NAN, 0.8])
    metrics = scores_by_shared_garment({"map@100": values}, query, gallery)
    assert metrics == {
        "query/item/map@100_garment_shared": pytest.approx(0.15),
        "query/item/map@100_garment_unshared": pytest.approx(0.6),
    }


@pytest.mark.parametrize(("values", "subset"), [([0.5, NAN], "shared"), ([NAN, 0.5], "unshared")])
def test_a_subset_without_relevant_rows_is_skipped(values: list[float], subset: str) -> None:
    gallery, query = make_catalogue(["a2", "b"], ["g", "h"], "g"), make_catalogue(["a", "b"], ["g", "h"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metrics = scores_by_shared_garment({"recall@1": np.array(values)}, query, gallery)
    assert metrics == {f"query/item/recall@1_garment_{subset}": 0.5}


def test_only_unshared_garments_are_scored_if_no_garment_is_shared() -> None:
    metrics = scores_by_shared_garment(
        {"recall@1": np.array([1.0])}, make_catalogue(["a"], ["g"]), make_catalogue(["a"], ["g"], "g")
    )
    assert metrics == {"query/item/recall@1_garment_unshared": 1.0}
