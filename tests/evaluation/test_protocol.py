"""Evaluation protocol against loops on random encoded images, and end to end on test images."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.protocol import (
    EncodedSplit,
    encode_all,
    encode_split,
    evaluate,
    relevance_by_column,
    score_search,
)
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.hits import Hits
from fashion_lsh.metrics import retrieval
from fashion_lsh.metrics.code_statistics import quantisation_error
from fashion_lsh.metrics.results import SEARCH, Column, ResultTable, column_of, score_name
from fashion_lsh.models.descriptors import DESCRIPTORS
from fashion_lsh.models.encoding import encode
from fashion_lsh.search.policy import NProbe, SearchPolicy
from fashion_lsh.search.searcher import Searcher
from tests.evaluation.factories import (
    CATEGORIES,
    COLUMNS,
    assert_same_scores,
    hamming_distances,
    make_searcher,
    random_split,
    scores_of_all_pairs,
)
from tests.evaluation.fake_model import BITS, FakeModel
from tests.search.factories import POLICY_DEFAULTS


@pytest.mark.parametrize(("nprobe", "num_probed"), [(1, 1), (2, 2), ("all", 3)])
@pytest.mark.parametrize("column", ["category", "item"])
def test_hamming_is_scored_over_all_orders_of_ties_in_the_probed_lists(
    nprobe: NProbe, num_probed: int, column: str
) -> None:
    query, gallery = random_split(0, 12), random_split(1, 150)
    relevance = relevance_by_column(query.catalogue, gallery.catalogue)[column]
    searcher = make_searcher(gallery, "hamming", nprobe)
    hits = searcher.search_encoded(query.encoded, 100)
    scores = score_search(searcher, query.encoded, relevance, hits)
    probed_lists = [
        sorted(range(3), key=lambda c: -probabilities[c])[:num_probed]
        for probabilities in query.encoded.probabilities.tolist()
    ]
    probed = [[category in lists for category in gallery.encoded.predicted] for lists in probed_lists]
    assert_same_scores(scores, scores_of_all_pairs(hamming_distances(query, gallery), probed, relevance))
    scores_of_hits = retrieval.score_hits(hits, relevance)["map", 100]
    has_relevant = relevance.totals > 0
    assert (scores["map_worst", 100][has_relevant] <= scores_of_hits[has_relevant] + 1e-12).all()
    assert (scores_of_hits[has_relevant] <= scores["map_best", 100][has_relevant] + 1e-12).all()


@pytest.mark.parametrize("distance", ["euclidean", "rerank"])
def test_other_distances_are_scored_by_their_hits(distance: str) -> None:
    query, gallery = random_split(0, 12), random_split(1, 150)
    relevance = relevance_by_column(query.catalogue, gallery.catalogue)["category"]
    searcher = make_searcher(gallery, distance, 1)
    hits = searcher.search_encoded(query.encoded, 100)
    assert_same_scores(score_search(searcher, query.encoded, relevance, hits), retrieval.score_hits(hits, relevance))


def test_garments_not_indexed_count_as_relevant() -> None:
    query, gallery = random_split(0, 12).catalogue, random_split(1, 150).catalogue
    not_indexed = gallery.take(np.flatnonzero(gallery.column("item") == query.column("item")[0]))
    indexed = gallery.take(np.flatnonzero(gallery.column("item") != query.column("item")[0]))
    for name, relevance in relevance_by_column(query, indexed, not_indexed).items():
        assert np.array_equal(relevance.totals, relevance_by_column(query, gallery)[name].totals)
        assert len(relevance.gallery) == len(indexed)
    items = relevance_by_column(query, indexed, not_indexed)["item"]
    hits = Hits(np.tile(np.arange(5), (len(query), 1)), np.zeros((len(query), 5), np.float32))
    scores = retrieval.score_hits(hits, items)
    assert scores["recall", 10][0] == 0  # 0 instead of NaN, since the not indexed garments are relevant


@pytest.mark.parametrize("missing_items", ["query", "gallery", "both"])
def test_items_are_scored_only_if_queries_and_gallery_have_items(missing_items: str) -> None:
    query, gallery = random_split(0, 12).catalogue, random_split(1, 150).catalogue
    assert set(relevance_by_column(query, gallery)) == {"category", "item"}
    if missing_items != "gallery":
        query = query.with_columns(item=[""] * 12)
    if missing_items != "query":
        gallery = gallery.with_columns(item=[""] * 150)
    assert set(relevance_by_column(query, gallery)) == {"category"}


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
    scores = {(name, *column) for name in relevance_names for column in COLUMNS}
    scores |= {("item", f"{metric}_{subset}", k) for metric, k in COLUMNS for subset in subsets}
    columns = {Column(metric=metric, k=k, relevance=name, **search) for name, metric, k in scores}
    columns |= {Column(metric="macro_map", k=100, relevance="category", **search)}
    columns |= {Column(metric=name, **search) for name in ("latency_ms", "latency_ms_p95")}
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
        has_interval = (row.metric == "accuracy" and row.k == 0) or (row.metric, row.k) in COLUMNS
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
