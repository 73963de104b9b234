"""Evaluation protocol against loops on random encoded images, and end to end on test images."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.batch_encoding import encode_all
from fashion_lsh.evaluation.protocol import (
    EncodedSplit,
    encode_split,
    evaluate,
)
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.metrics.code_statistics import quantisation_error
from fashion_lsh.metrics.results import MACRO_METRICS, QUERY_METRICS, SEARCH, Column, ResultTable, column_of, score_name
from fashion_lsh.metrics.ties import Levels, score_levels
from fashion_lsh.models.descriptors import DESCRIPTORS
from fashion_lsh.models.encoding import encode
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher
from tests.evaluation.factories import (
    CATEGORIES,
    make_searcher,
    random_split,
)
from tests.evaluation.fake_model import BITS, FakeModel
from tests.search.factories import POLICY_DEFAULTS


def test_a_split_is_encoded_in_the_order_of_its_catalogue(make_data: Callable[..., GarmentData]) -> None:
    data, model = make_data(batch_size=4), FakeModel(CATEGORIES)
    split = encode_split(model, data, "val")
    assert split.catalogue.column("id").tolist() == data.catalogue.column("id")[data.rows("val")].tolist()
    for row in range(len(split.catalogue)):
        image = data.source.image(split.catalogue.column("image")[row])
        crop = crop_image(image, split.catalogue.boxes[row], 0.1, 32).transpose(2, 0, 1)[None].copy()
        single = encode(model, torch.from_numpy(crop))
        np.testing.assert_allclose(split.encoded.embeddings[[row]], single.embeddings, atol=1e-5)
        np.testing.assert_allclose(split.encoded.probabilities[[row]], single.probabilities, atol=1e-5)
        for name, compute in DESCRIPTORS.items():
            np.testing.assert_allclose(split.descriptors[name][[row]], compute(torch.from_numpy(crop)), atol=1e-6)


def test_the_quantisation_error_of_a_split_is_the_mean_over_its_images(make_data: Callable[..., GarmentData]) -> None:
    data, model = make_data(batch_size=4), FakeModel(CATEGORIES)
    split = encode_split(model, data, "val")
    activations = [model(batch.images).activations for batch in make_data(batch_size=1).loader("val")]
    assert len(activations) == len(split.catalogue)
    assert split.quantisation_error == pytest.approx(
        np.mean([quantisation_error(batch_activations, 0.5) for batch_activations in activations]), abs=1e-6
    )


@pytest.mark.parametrize("bits", [BITS, None])
def test_encoding_does_not_depend_on_the_batch_size(bits: int | None, make_data: Callable[..., GarmentData]) -> None:
    results = [
        encode_all(FakeModel(CATEGORIES, bits=bits), make_data(batch_size=size).loader("query")) for size in (1, 4, 100)
    ]
    for encoded, descriptors, error in results[1:]:
        assert error == (None if bits is None else pytest.approx(results[0][2], abs=1e-6))
        np.testing.assert_allclose(encoded.embeddings, results[0][0].embeddings, atol=1e-5)
        assert np.array_equal(encoded.predicted, results[0][0].predicted)
        assert (encoded.codes is None) == (bits is None)
        assert set(descriptors) == set(DESCRIPTORS)
        for name in descriptors:
            np.testing.assert_allclose(descriptors[name], results[0][1][name], atol=1e-6)


def expected_columns(policy: SearchPolicy, relevance_names: set[str], subsets: set[str]) -> set[Column]:
    search = {"method": policy.method, "scope": policy.scope}
    zeros = np.zeros((1, 1), np.int64)
    scored = set(score_levels(Levels(zeros, zeros, np.zeros(1, np.int64))))
    if policy.distance != "hamming":
        scored = {(metric, k) for metric, k in scored if metric not in ("map_best", "map_worst")}
    if policy.distance == "rerank":
        scored = {(metric, k) for metric, k in scored if metric != "map_hits"}
    scores = {(name, *column) for name in relevance_names for column in scored}
    scores |= {(name, f"macro_{metric}", k) for name, metric, k in scores if metric in MACRO_METRICS}
    scores |= {("item", f"{metric}_{subset}", k) for metric, k in QUERY_METRICS for subset in subsets}
    columns = {Column(metric=metric, k=k, relevance=name, **search) for name, metric, k in scores}
    columns |= {
        Column(metric=name, **search) for name in ("latency_ms", "latency_ms_p95", "lists_probed", "garment_bytes")
    }
    coverage = [(metric, name) for metric in ("coverage", "one_list_coverage") for name in relevance_names]
    columns |= {Column(metric=metric, relevance=name, **search) for metric, name in coverage}
    classifier = (("accuracy", 0), ("accuracy", 5), ("macro_accuracy", 0), ("macro_f1", 0))
    columns |= {Column("classifier", metric, k, scope="") for metric, k in classifier}
    return columns | {Column("data", "garments", split=split, scope="") for split in ("query", "gallery")}


@pytest.mark.parametrize("distance", ["hamming", "rerank", "euclidean"])
def test_a_search_is_evaluated_end_to_end(distance: Any, make_data: Callable[..., GarmentData]) -> None:
    data, model = make_data(ratios={"train": 0.1, "val": 0.1, "query": 0.4, "gallery": 0.4}), FakeModel(CATEGORIES)
    query, gallery = encode_split(model, data, "query"), encode_split(model, data, "gallery")
    searcher = Searcher(
        model,
        Gallery.build(model, gallery.encoded, gallery.catalogue),
        SearchPolicy(distance, 2, 20, **POLICY_DEFAULTS),
    )
    policy = searcher.policy
    rows, table, hits, _ = evaluate(searcher, query)
    results = ResultTable(rows, (policy.method, policy.scope))
    assert set(map(column_of, results)) == expected_columns(policy, {"category", "item"}, {"garment_unshared"})
    assert all(type(row.value) in (int, float) and math.isfinite(row.value) for row in results)
    assert results.value("data", "garments") == len(query.catalogue)
    assert results.value("data", "garments", split="gallery") == len(gallery.catalogue)
    assert {row.bits for row in results if row.relevance} == {0 if distance == "euclidean" else BITS}
    for row in results:
        is_score = row.relevance and not row.metric.startswith("macro_") and "garment" not in row.metric
        has_interval = (row.metric == "accuracy" and row.k == 0) or bool(is_score)
        assert row.has_interval == has_interval
        assert not has_interval or row.low <= row.value <= row.high
    assert np.array_equal(hits.rows, searcher.search_encoded(query.encoded, 100).rows)
    columns = table.to_pydict()
    method = "rerank 20" if distance == "rerank" else distance
    assert columns["method"] == [method] * len(query.catalogue)
    assert columns["scope"] == ["2 lists"] * len(query.catalogue)
    assert columns["id"] == query.catalogue.column("id").tolist()
    assert columns["predicted"] == [model.categories[category] for category in query.encoded.predicted]
    probabilities = query.encoded.probabilities
    assert columns["confidence"] == pytest.approx(
        [row[predicted] for row, predicted in zip(probabilities, probabilities.argmax(1), strict=True)]
    )
    ids = gallery.catalogue.column("id")
    assert columns["hits"] == [[ids[row] for row in rows if row >= 0][:10] for rows in hits.rows]
    assert query.encoded.codes is not None
    assert columns["code"] == [codes.tobytes() for codes in query.encoded.codes]
    is_correct = np.array(columns["predicted"]) == np.array(columns["category"])
    assert results.value("classifier", "accuracy") == pytest.approx(is_correct.mean())
    for relevance, metric, k in (("category", "map", 100), ("item", "map", 100), ("item", "recall", 1)):
        row = results.find(Column(SEARCH, metric, k, relevance))
        values = np.array(columns[score_name(relevance, metric, k)])
        assert row is not None
        assert (row.value, row.n) == (pytest.approx(np.nanmean(values)), np.isfinite(values).sum())
    median, p95 = (results.value(SEARCH, name) for name in ("latency_ms", "latency_ms_p95"))
    assert median == pytest.approx(np.median(columns["search_ms"]))
    assert p95 == pytest.approx(np.quantile(columns["search_ms"], 0.95))


def test_only_categories_are_evaluated_without_items() -> None:
    query, gallery = random_split(0, 12), random_split(1, 150)
    query = EncodedSplit(query.catalogue.with_columns(item=[""] * 12), query.encoded, query.descriptors)
    searcher = make_searcher(gallery, "hamming", 1)
    results, table, *_ = evaluate(searcher, query)
    assert set(map(column_of, results)) == expected_columns(searcher.policy, {"category"}, set())
    assert not [name for name in table.column_names if name.startswith("item/")]


def test_a_query_with_an_empty_probed_list_has_no_hits() -> None:
    query, gallery = random_split(0, 6), random_split(1, 4)
    one_category = gallery.encoded._replace(probabilities=np.tile(np.float32([0, 0, 1]), (4, 1)))
    _, table, *_ = evaluate(make_searcher(EncodedSplit(gallery.catalogue, one_category, {}), "hamming", 1), query)
    num_hits = [len(names) for names in table["hits"].to_pylist()]
    assert num_hits == [4 if category == 2 else 0 for category in query.encoded.predicted]
    assert set(num_hits) == {0, 4}


def test_a_model_without_a_hash_layer_has_no_codes_in_the_query_table() -> None:
    query, gallery = random_split(0, 6, bits=None), random_split(1, 20, bits=None)
    results, table, *_ = evaluate(make_searcher(gallery, "euclidean", 1, bits=None), query)
    assert table["code"].to_pylist() == [None] * 6
    assert {row.bits for row in results} == {0}


@pytest.mark.parametrize("shared", [True, False])
def test_queries_that_share_no_item_with_the_gallery_are_noted(shared: bool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    query, gallery = random_split(0, 9), random_split(1, 30)
    if not shared:
        items = [f"other {item}" if item else "" for item in gallery.catalogue.column("item")]
        gallery = replace(gallery, catalogue=gallery.catalogue.with_columns(item=items))
    evaluate(make_searcher(gallery, "hamming", 1), query)
    assert ("share no item" in caplog.text) != shared
