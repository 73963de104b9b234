"""Packing per-query scores into job files, and the size limit of job files."""

import json
import logging
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from fashion_lsh.evaluation.query_scores import (
    QUANTISATION_STEPS,
    job_file_json,
    method_scores,
    pack_scores,
    search_scores,
    unpack_scores,
)
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.data.catalogue import Catalogue

score_strategy = st.one_of(st.floats(0, 1, width=32), st.just(float("nan")))


def make_catalogue(items: list[str]) -> Catalogue:
    count = len(items)
    return Catalogue.from_columns({"id": [f"id{row}" for row in range(count)], "image": ["p"] * count,
                         "category": ["c"] * count, "item": items})  # fmt: skip


@given(
    st.lists(st.tuples(score_strategy, score_strategy, st.sampled_from(["", "a", "b", "c"])), min_size=1, max_size=30)
)
def test_packed_scores_round_trip(rows: list[tuple[float, float, str]]) -> None:
    accuracy, item_map, items = (list(column) for column in zip(*rows, strict=True))
    scores = {"query/accuracy": np.array(accuracy, np.float32), "query/item/map@100": np.array(item_map, np.float32)}
    unpacked = unpack_scores(json.loads(json.dumps(pack_scores(make_catalogue(items), scores))))
    assert set(unpacked.scores) == set(scores)
    for name, values in scores.items():
        assert unpacked.scores[name] == pytest.approx(values, abs=0.51 / QUANTISATION_STEPS, nan_ok=True)
    for row, other in product(range(len(items)), repeat=2):
        has_same_item = row == other or (items[row] == items[other] != "")
        assert (unpacked.groups[row] == unpacked.groups[other]) == has_same_item


def test_scores_of_0_and_1_and_nan_are_packed_exactly() -> None:
    values = np.array([0, 1, np.nan, 1], np.float32)
    unpacked = unpack_scores(pack_scores(make_catalogue([""] * 4), {"query/accuracy": values}))
    assert np.array_equal(unpacked.scores["query/accuracy"], values, equal_nan=True)


def test_different_queries_have_different_checksums() -> None:
    queries = make_catalogue(["", ""])
    reordered = queries.take(np.array([1, 0]))
    assert pack_scores(queries, {})["ids"] == pack_scores(queries, {})["ids"] != pack_scores(reordered, {})["ids"]


def test_search_scores_are_read_from_the_query_table() -> None:
    table = pa.table({"category": ["a", "b"], "predicted": ["a", ""], "category/map@100": [0.5, None],
                      "item/recall@10": [1.0, 0.0], "category/recall@1": [0.0, 0.0]})  # fmt: skip
    scores = search_scores(table)
    assert set(scores) == {"query/accuracy", "query/category/map@100", "query/item/recall@10"}
    assert scores["query/accuracy"].tolist() == [1, 0]
    assert all(values.dtype == np.float32 for values in scores.values())


def test_model_free_baselines_are_not_saved() -> None:
    scores = {"category": {"map@100": np.ones(3), "recall@10": np.ones(3)}, "item": {"recall@10": np.zeros(3)}}
    assert set(method_scores("code", scores)) == {"baselines/code/category/map@100", "baselines/code/item/recall@10"}
    for method in ("random", "predicted_category", "colour_histogram", "raw_pixels"):
        assert method_scores(method, scores) == {}


def realistic_scores(count: int) -> dict[str, np.ndarray]:
    """Scores distributed like those of a real search."""
    rng = np.random.default_rng(0)
    metrics = {
        "accuracy": rng.random(count) < 0.7,
        "category/map@100": np.where(rng.random(count) < 0.3, 1.0, rng.random(count)),
        "item/map@100": (rng.random(count) < 0.6) / rng.integers(1, 100, count),
        "item/recall@10": rng.random(count) < 0.4,
    }
    search = {f"query/{name}": values.astype(np.float32) for name, values in metrics.items()}
    del metrics["accuracy"]
    baselines = {
        f"baselines/{method}/{name}": values.astype(np.float32)
        for method in ("float", "code")
        for name, values in metrics.items()
    }
    return search | baselines


def test_scores_of_1500_queries_and_300_metrics_fit_in_a_job_file() -> None:
    job = {
        "metrics": {
            f"baselines/predicted_category/category/map@{number}_low": 1 / (number + 3) for number in range(300)
        }
    }
    packed = pack_scores(make_catalogue([f"item{row // 2}" for row in range(1500)]), realistic_scores(1500))
    text = job_file_json(job, packed)
    assert len(text) <= 50_000
    assert json.loads(text) == job | {"queries": packed}


def test_12_incompressible_metrics_fit_in_a_job_file() -> None:
    rng = np.random.default_rng(0)
    scores = {f"baselines/code/{number}": rng.random(1500).astype(np.float32) for number in range(12)}
    packed = pack_scores(make_catalogue([""] * 1500), scores)
    text = job_file_json({}, packed)
    assert len(text) <= 50_000
    assert json.loads(text)["queries"] == packed


@pytest.mark.parametrize("num_queries", [3000, 100_000])
def test_scores_that_do_not_fit_are_skipped_and_logged(num_queries: int, caplog: pytest.LogCaptureFixture) -> None:
    rng = np.random.default_rng(0)
    methods = ("query", "baselines/code")
    scores = {f"{method}/{name}": rng.random(num_queries).astype(np.float32)
              for method in methods for name in ("item/recall@10", "category/map@100", "item/map@100")}  # fmt: skip
    packed = pack_scores(make_catalogue([""] * num_queries), scores)
    job = {"metrics": {"query/count": num_queries}, "more": "x" * 8000}
    with caplog.at_level(logging.INFO):
        text = job_file_json(job, packed)
    assert len(text) <= 50_000
    included = json.loads(text).pop("queries", {})
    assert "50,000 bytes: " in caplog.text
    assert [name for name in packed if name in scores and name not in included] == caplog.messages[0].partition(
        "bytes: "
    )[2].split(", ")
    if num_queries == 100_000:
        assert included == {}
    else:
        assert set(scores) - set(included) == {"baselines/code/item/map@100"}


@pytest.mark.parametrize("damaged_scores", [
    {"query/accuracy": "not base64"}, {"query/accuracy": "eJw="}, {"items": "!"},
    {"query/item/map@100": pack_scores(make_catalogue([""]), {"a": np.zeros(1)})["a"]},
])  # fmt: skip
def test_damaged_packed_scores_are_rejected(damaged_scores: dict[str, str]) -> None:
    packed = pack_scores(make_catalogue(["", "a"]), {"query/accuracy": np.ones(2)})
    with pytest.raises(ValueError, match=r".+"):
        unpack_scores(packed | damaged_scores)


def test_training_free_baselines_are_skipped_first() -> None:
    methods = ("lsh", "itq", "code", "float")
    scores = {
        f"baselines/{method}/{name}": np.zeros(3, np.float32)
        for method in methods
        for name in ("item/map@100", "item/recall@10")
    }
    order = [name.split("/")[1] for name in pack_scores(make_catalogue([""] * 3), scores) if "/" in name]
    assert order == ["code", "code", "float", "float", "itq", "itq", "lsh", "lsh"]
