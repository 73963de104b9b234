"""Tables, means and intervals against plain recomputation."""

import math
import warnings

import numpy as np
import pytest

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.evaluation.results import (
    by_shared_garment,
    classification,
    confidence_interval,
    intervals,
    macro_mean,
    means,
    query_table,
)
from fashion_lsh.metrics import ranking
from fashion_lsh.models.encoding import Encoded

NAN = math.nan


def catalogue(items: list[str], groups: list[str] | None = None, prefix: str = "q") -> Catalogue:
    ids = [f"{prefix}{number}" for number in range(len(items))]
    columns = {"id": ids, "picture": ids, "category": ["coat"] * len(items), "item": items}
    return Catalogue.of(columns | ({"group": groups} if groups else {}))


def test_the_table_holds_a_query_a_row_with_every_score() -> None:
    scores = {
        "category": {"map@100": np.array([0.5, NAN]), "recall@1": np.array([1.0, 0.0])},
        "item": {"map@100": np.array([0.25, 0.75])},
    }
    query = catalogue(["i7", ""]).having(category=["coat", "bag"])
    answers = {"predicted": ["bag", "bag"], "mass": np.array([0.5, 0.25]), "hits": [["g1", "g0"], []]}
    found = query_table("hamming_1", query, answers | {"search_ms": np.array([1.5, 2.5])}, scores).to_pydict()
    assert math.isnan(found["category/map@100"].pop())
    assert found == {
        "search": ["hamming_1", "hamming_1"],
        "id": ["q0", "q1"],
        "category": ["coat", "bag"],
        "item": ["i7", ""],
        "predicted": ["bag", "bag"],
        "mass": [0.5, 0.25],
        "hits": [["g1", "g0"], []],
        "search_ms": [1.5, 2.5],
        "category/map@100": [0.5],
        "category/recall@1": [1.0, 0.0],
        "item/map@100": [0.25, 0.75],
    }


def test_means_leave_out_queries_that_have_nothing_to_find() -> None:
    scores = {"item": {"map@100": np.array([0.2, NAN, 0.6])}, "category": {"recall@1": np.array([1.0, 0.0])}}
    found = means("query", scores)
    assert found == {"query/item/map@100": pytest.approx(0.4), "query/category/recall@1": 0.5}
    assert all(type(value) is float for value in found.values())
    assert list(means("rows/random", scores)) == ["rows/random/item/map@100", "rows/random/category/recall@1"]


def test_intervals_stand_around_the_means() -> None:
    rng = np.random.default_rng(0)
    values = np.where(rng.random(200) < 0.1, NAN, rng.random(200))
    scores = {"item": {"map@100": values, "recall@1": np.round(values)}, "category": {"map@100": values**2}}
    ends = intervals("query", scores, np.array([f"item {n // 3}" for n in range(200)], dtype=object))
    centre = means("query", scores)
    assert set(ends) == {f"{name}_{end}" for name in centre for end in ("low", "high")}
    for name, mean in centre.items():
        assert ends[f"{name}_low"] < mean < ends[f"{name}_high"]
        assert ends[f"{name}_high"] - ends[f"{name}_low"] < 0.2


def test_queries_of_an_item_are_drawn_together_and_those_without_one_alone() -> None:
    values, items = np.random.default_rng(1).random(9), ["a", "", "b", "a", "", "", "b", "7", ""]
    ends = intervals("query", {"item": {"map@100": values}}, np.array(items, dtype=object))
    low, high = confidence_interval(values, np.array([2, 10, 3, 2, 11, 12, 3, 1, 13]))
    assert ends == {"query/item/map@100_low": low, "query/item/map@100_high": high}


def test_a_garment_is_shared_where_another_item_of_its_group_is_in_the_gallery() -> None:
    gallery = catalogue(["a", "a2", "b", "c", "", "x"], ["g", "g", "h", "", "h", ""], "g")
    query = catalogue(["a", "b", "c", "d", "e"], ["g", "h", "", "h", "z"])
    #  shared: a (by a2), b (by the nameless row of h), d (by b); alone: c has no group, e has none in the gallery
    values = np.array([0.1, 0.2, 0.4, NAN, 0.8])
    found = by_shared_garment({"map@100": values}, query, gallery)
    assert found == {
        "query/item/map@100_garment_shared": pytest.approx(0.15),
        "query/item/map@100_garment_alone": pytest.approx(0.6),
    }


@pytest.mark.parametrize(("values", "left"), [([0.5, NAN], "shared"), ([NAN, 0.5], "alone")])
def test_a_part_with_nothing_to_find_is_left_out(values: list[float], left: str) -> None:
    gallery, query = catalogue(["a2", "b"], ["g", "h"], "g"), catalogue(["a", "b"], ["g", "h"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = by_shared_garment({"recall@1": np.array(values)}, query, gallery)
    assert found == {f"query/item/recall@1_garment_{left}": 0.5}


def test_only_alone_where_no_garment_is_shared() -> None:
    found = by_shared_garment({"recall@1": np.array([1.0])}, catalogue(["a"], ["g"]), catalogue(["a"], ["g"], "g"))
    assert found == {"query/item/recall@1_garment_alone": 1.0}


@pytest.mark.parametrize("count", [2, 3, 5, 6, 12])
def test_classification_against_plain_counting(count: int) -> None:
    rng = np.random.default_rng(count)
    masses, labels = rng.random((40, count)).astype(np.float32), rng.integers(0, count - 1, 40)  # the last never occurs
    masses[np.arange(40), labels] += 0.3
    ranks = np.array([sorted(range(count), key=lambda c: -row[c]).index(label)
                      for row, label in zip(masses, labels, strict=True)])  # fmt: skip
    f1 = []
    for category in range(count):
        seen, true = masses.argmax(axis=1) == category, labels == category
        if seen.any() or true.any():
            f1.append(2 * (seen & true).sum() / (seen.sum() + true.sum()))
    items = np.array([f"item {number // 2}" for number in range(40)])
    found = classification(Encoded(masses, None, masses), labels, items)
    low, high = confidence_interval((ranks == 0).astype(float), items)
    assert found == {
        "query/accuracy_low": low,
        "query/accuracy_high": high,
        "query/accuracy": pytest.approx((ranks == 0).mean()),
        "query/top5_accuracy": pytest.approx((ranks < 5).mean()),
        "query/macro_accuracy": pytest.approx(np.mean([(ranks[labels == c] == 0).mean() for c in set(labels)])),
        "query/macro_f1": pytest.approx(np.mean(f1)),
    }


def test_macro_mean_gives_each_label_the_same_weight() -> None:
    values = np.array([1, 1, 1, 0, 0.5, NAN, NAN])
    assert macro_mean(values, np.array([0, 0, 0, 0, 2, 2, 5])) == pytest.approx((0.75 + 0.5) / 2)


def test_macro_accuracy_leaves_out_categories_that_nothing_shows() -> None:
    masses = np.eye(3, dtype=np.float32)[[0, 0, 1, 2, 0]]  # nothing is of category 2
    found = classification(Encoded(masses, None, masses), np.array([0, 0, 1, 1, 1]), np.array([""] * 5))
    assert found["query/macro_accuracy"] == pytest.approx((1 + 1 / 3) / 2)
    assert found["query/accuracy"] == pytest.approx(0.6)


def test_queries_whose_category_was_not_learnt_are_not_classified() -> None:
    masses = np.eye(3, dtype=np.float32)[[0, 1, 2, 2, 1]]
    masses[4] = 0  # nothing was seen
    labels, items = np.array([0, -1, 1, -1, -1]), np.array(["a", "", "b", "", ""])
    found = classification(Encoded(masses, None, masses), labels, items)
    assert found == classification(Encoded(masses, None, masses).taken(labels >= 0), labels[labels >= 0], items[:3:2])
    assert found["query/accuracy"] == 0.5
    assert classification(Encoded(masses, None, masses), np.full(5, -1), items) == {}


def test_interval_against_drawing_queries_one_by_one():
    scores, groups = np.array([0.1, 0.9, np.nan, 0.4, 0.6, 0.2, 0.7]), np.array(list("aabbccd"))
    members = [scores[(groups == name) & ~np.isnan(scores)] for name in "abcd"]
    draws = np.random.default_rng(11).integers(4, size=(200, 4))
    means = [np.concatenate([members[group] for group in draw]).mean() for draw in draws]
    wanted = np.quantile(means, [0.05, 0.95])
    assert confidence_interval(scores, groups, level=0.9, samples=200, seed=11) == pytest.approx(wanted)


def test_interval_is_as_wide_as_the_normal_one():
    scores = np.random.default_rng(8).normal(0.5, 0.1, 900)
    low, high = confidence_interval(scores, samples=4000)
    margin = 1.96 * scores.std() / math.sqrt(900)
    assert (low, high) == pytest.approx((scores.mean() - margin, scores.mean() + margin), abs=margin / 8)


def test_copies_inside_a_group_add_no_certainty():
    scores = np.random.default_rng(9).random(60)
    copies, groups = np.repeat(scores, 4), np.repeat(np.arange(60), 4)
    low, high = confidence_interval(scores)
    assert confidence_interval(copies, groups) == pytest.approx((low, high))
    narrow_low, narrow_high = confidence_interval(copies)
    assert (narrow_high - narrow_low) == pytest.approx((high - low) / 2, rel=0.2)


def test_interval_is_seeded_and_leaves_nan_out(monkeypatch):
    scores = np.random.default_rng(10).random(50)
    once = confidence_interval(scores, seed=1)
    assert once == confidence_interval(scores, seed=1) != confidence_interval(scores, seed=2)
    assert once == confidence_interval(np.append(scores, [np.nan] * 20), seed=1)
    assert all(math.isnan(end) for end in confidence_interval(np.array([np.nan, np.nan])))
    monkeypatch.setattr(ranking, "BLOCK_CELLS", 500)
    assert once == confidence_interval(scores, seed=1)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (confidence_interval, (np.ones(3), np.ones(2)), "as many groups"),
        (confidence_interval, (np.ones(3), None, 95), "level=95"),
    ],
)
def test_wrong_arguments_are_named(function, arguments, message):
    with pytest.raises(ValueError, match=message):
        function(*arguments)
