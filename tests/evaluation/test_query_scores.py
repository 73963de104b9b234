"""The scores of queries in the file of a job: what went in comes out, and it stays small."""

import json
import logging
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.evaluation.query_scores import STEPS, own_scores, packed, row_scores, unpacked, with_queries

SCORES = st.one_of(st.floats(0, 1, width=32), st.just(float("nan")))


def catalogue(items: list[str]) -> Catalogue:
    count = len(items)
    return Catalogue.from_columns({"id": [f"id{row}" for row in range(count)], "image": ["p"] * count,
                         "category": ["c"] * count, "item": items})  # fmt: skip


@given(st.lists(st.tuples(SCORES, SCORES, st.sampled_from(["", "a", "b", "c"])), min_size=1, max_size=30))
def test_what_is_packed_comes_out_again(rows: list[tuple[float, float, str]]) -> None:
    one, two, items = (list(column) for column in zip(*rows, strict=True))
    scores = {"query/accuracy": np.array(one, np.float32), "query/item/map@100": np.array(two, np.float32)}
    found = unpacked(json.loads(json.dumps(packed(catalogue(items), scores))))
    assert set(found.scores) == set(scores)
    for name, values in scores.items():
        assert found.scores[name] == pytest.approx(values, abs=0.51 / STEPS, nan_ok=True)
    for row, other in product(range(len(items)), repeat=2):
        together = row == other or (items[row] == items[other] != "")
        assert (found.groups[row] == found.groups[other]) == together


def test_right_and_wrong_and_the_end_points_are_kept_exactly() -> None:
    values = np.array([0, 1, np.nan, 1], np.float32)
    found = unpacked(packed(catalogue([""] * 4), {"query/accuracy": values}))
    assert np.array_equal(found.scores["query/accuracy"], values, equal_nan=True)


def test_other_queries_have_another_checksum() -> None:
    first = catalogue(["", ""])
    turned = first.take(np.array([1, 0]))
    assert packed(first, {})["ids"] == packed(first, {})["ids"] != packed(turned, {})["ids"]


def test_a_runs_own_scores_are_those_of_its_rows() -> None:
    table = pa.table({"category": ["a", "b"], "predicted": ["a", ""], "category/map@100": [0.5, None],
                      "item/recall@10": [1.0, 0.0], "category/recall@1": [0.0, 0.0]})  # fmt: skip
    found = own_scores(table)
    assert set(found) == {"query/accuracy", "query/category/map@100", "query/item/recall@10"}
    assert found["query/accuracy"].tolist() == [1, 0]
    assert all(values.dtype == np.float32 for values in found.values())


def test_rows_that_stand_for_no_model_are_not_kept() -> None:
    scores = {"category": {"map@100": np.ones(3), "recall@10": np.ones(3)}, "item": {"recall@10": np.zeros(3)}}
    assert set(row_scores("code", scores)) == {"rows/code/category/map@100", "rows/code/item/recall@10"}
    for row in ("random", "predicted_category", "colour_histogram", "raw_pixels"):
        assert row_scores(row, scores) == {}


def realistic(count: int) -> dict[str, np.ndarray]:
    """What a search leaves: right or wrong, found or not, shares of the few relevant rows."""
    rng = np.random.default_rng(0)
    kinds = {
        "accuracy": rng.random(count) < 0.7,
        "category/map@100": np.where(rng.random(count) < 0.3, 1.0, rng.random(count)),
        "item/map@100": (rng.random(count) < 0.6) / rng.integers(1, 100, count),
        "item/recall@10": rng.random(count) < 0.4,
    }
    own = {f"query/{name}": values.astype(np.float32) for name, values in kinds.items()}
    del kinds["accuracy"]
    rows = {
        f"rows/{row}/{name}": values.astype(np.float32) for row in ("float", "code") for name, values in kinds.items()
    }
    return own | rows


def test_1500_queries_fit_beside_300_metrics() -> None:
    made = {
        "metrics": {f"rows/predicted_category/category/map@{number}_low": 1 / (number + 3) for number in range(300)}
    }
    texts = packed(catalogue([f"item{row // 2}" for row in range(1500)]), realistic(1500))
    text = with_queries(made, texts)
    assert len(text) <= 50_000
    assert json.loads(text) == made | {"queries": texts}


def test_12_measures_of_any_values_fit_by_themselves() -> None:
    rng = np.random.default_rng(0)
    scores = {f"rows/code/{number}": rng.random(1500).astype(np.float32) for number in range(12)}
    texts = packed(catalogue([""] * 1500), scores)
    text = with_queries({}, texts)
    assert len(text) <= 50_000
    assert json.loads(text)["queries"] == texts


@pytest.mark.parametrize("queries", [3000, 100_000])
def test_what_finds_no_room_is_left_out_and_told(queries: int, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    rows = ("query", "rows/code")
    scores = {f"{row}/{name}": rng.random(queries).astype(np.float32)
              for row in rows for name in ("item/recall@10", "category/map@100", "item/map@100")}  # fmt: skip
    texts = packed(catalogue([""] * queries), scores)
    made = {"metrics": {"query/count": queries}, "more": "x" * 8000}
    with caplog.at_level(logging.INFO):
        text = with_queries(made, texts)
    assert len(text) <= 50_000
    kept = json.loads(text).pop("queries", {})
    assert "no room in 50,000 bytes for these scores of the queries:" in caplog.text
    assert [name for name in texts if name in scores and name not in kept] == caplog.messages[0].partition("queries: ")[
        2
    ].split(", ")
    if queries == 100_000:
        assert kept == {}
    else:
        assert set(scores) - set(kept) == {"rows/code/item/map@100"}


@pytest.mark.parametrize("spoil", [
    {"query/accuracy": "no text"}, {"query/accuracy": "eJw="}, {"items": "!"},
    {"query/item/map@100": packed(catalogue([""]), {"a": np.zeros(1)})["a"]},
])  # fmt: skip
def test_a_damaged_text_is_refused(spoil: dict[str, str]) -> None:
    texts = packed(catalogue(["", "a"]), {"query/accuracy": np.ones(2)})
    with pytest.raises(ValueError, match=r".+"):
        unpacked(texts | spoil)


def test_rows_that_nothing_learnt_for_are_the_first_to_be_left_out() -> None:
    rows = ("lsh", "itq", "code", "float")
    scores = {
        f"rows/{row}/{name}": np.zeros(3, np.float32) for row in rows for name in ("item/map@100", "item/recall@10")
    }
    order = [name.split("/")[1] for name in packed(catalogue([""] * 3), scores) if "/" in name]
    assert order == ["code", "code", "float", "float", "itq", "itq", "lsh", "lsh"]
