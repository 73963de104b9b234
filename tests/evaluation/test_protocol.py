"""Encode, search, score: against plain loops on random pictures, and whole on drawn ones."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.protocol import (
    EncodedPart,
    encode_all,
    encode_part,
    evaluate,
    own_search,
    truths,
)
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.hits import Hits
from fashion_lsh.metrics import retrieval
from fashion_lsh.metrics.code_statistics import quantisation_error
from fashion_lsh.models.descriptors import DESCRIPTORS
from fashion_lsh.models.encoding import encode
from fashion_lsh.search.policy import Probes, SearchPolicy
from fashion_lsh.search.searcher import Searcher
from tests.evaluation.factories import CATEGORIES, SCORES, assert_same, bits_apart, by_level, pictures, searcher
from tests.evaluation.fake_model import BITS, FakeModel
from tests.search.factories import DEFAULTS


@pytest.mark.parametrize(("probes", "count"), [(1, 1), (2, 2), ("all", 3)])
@pytest.mark.parametrize("truth_of", ["category", "item"])
def test_hamming_is_scored_over_all_orders_of_equals_in_the_probed_lists(
    probes: Probes, count: int, truth_of: str
) -> None:
    query, gallery = pictures(0, 12), pictures(1, 150)
    truth = truths(query.catalogue, gallery.catalogue)[truth_of]
    asked = searcher(gallery, "hamming", probes)
    hits = asked.search_encoded(query.encoded, 100)
    found = own_search(asked, query.encoded, truth, hits)
    likeliest = [
        sorted(range(3), key=lambda c: -probabilities[c])[:count]
        for probabilities in query.encoded.probabilities.tolist()
    ]
    reached = [[category in lists for category in gallery.encoded.predicted] for lists in likeliest]
    assert_same(found, by_level(bits_apart(query, gallery), reached, truth))
    served = retrieval.of_hits(hits, truth)["map@100"]
    known = truth.totals > 0
    assert (found["map@100_worst"][known] <= served[known] + 1e-12).all()
    assert (served[known] <= found["map@100_best"][known] + 1e-12).all()


@pytest.mark.parametrize("distance", ["euclidean", "rerank"])
def test_other_searches_are_scored_as_they_are_served(distance: str) -> None:
    query, gallery = pictures(0, 12), pictures(1, 150)
    truth = truths(query.catalogue, gallery.catalogue)["category"]
    asked = searcher(gallery, distance, 1)
    hits = asked.search_encoded(query.encoded, 100)
    assert_same(own_search(asked, query.encoded, truth, hits), retrieval.of_hits(hits, truth))


def test_what_is_lost_counts_and_is_never_found() -> None:
    query, gallery = pictures(0, 12).catalogue, pictures(1, 150).catalogue
    lost = gallery.take(np.flatnonzero(gallery.column("item") == query.column("item")[0]))
    left = gallery.take(np.flatnonzero(gallery.column("item") != query.column("item")[0]))
    for name, truth in truths(query, left, lost).items():
        assert np.array_equal(truth.totals, truths(query, gallery)[name].totals)
        assert len(truth.gallery) == len(left)
    found = truths(query, left, lost)["item"]
    hits = Hits(np.tile(np.arange(5), (len(query), 1)), np.zeros((len(query), 5), np.float32))
    nothing = retrieval.of_hits(hits, found)
    assert nothing["recall@10"][0] == 0  # not left out


@pytest.mark.parametrize("unknown", ["query", "gallery", "both"])
def test_items_are_scored_only_where_query_and_gallery_know_them(unknown: str) -> None:
    query, gallery = pictures(0, 12).catalogue, pictures(1, 150).catalogue
    assert set(truths(query, gallery)) == {"category", "item"}
    if unknown != "gallery":
        query = query.with_columns(item=[""] * 12)
    if unknown != "query":
        gallery = gallery.with_columns(item=[""] * 150)
    assert set(truths(query, gallery)) == {"category"}


def test_a_part_is_encoded_in_the_order_of_its_catalogue(make_data: Callable[..., GarmentData]) -> None:
    data, model = make_data(batch_size=4), FakeModel(CATEGORIES)
    part = encode_part(model, data, "val")
    assert part.catalogue.column("id").tolist() == data.catalogue.column("id")[data.rows("val")].tolist()
    for row in range(len(part.catalogue)):
        picture = data.source.image(part.catalogue.column("image")[row])
        crop = crop_image(picture, part.catalogue.boxes[row], 0.1, 32).transpose(2, 0, 1)[None].copy()
        alone = encode(model, torch.from_numpy(crop))
        np.testing.assert_allclose(part.encoded.embeddings[[row]], alone.embeddings, atol=1e-5)
        np.testing.assert_allclose(part.encoded.probabilities[[row]], alone.probabilities, atol=1e-5)
        for name, describe in DESCRIPTORS.items():
            np.testing.assert_allclose(part.references[name][[row]], describe(torch.from_numpy(crop)), atol=1e-6)


def test_the_rounding_of_a_part_is_the_mean_over_its_pictures(make_data: Callable[..., GarmentData]) -> None:
    data, model = make_data(batch_size=4), FakeModel(CATEGORIES)
    part = encode_part(model, data, "val")
    answers = [model(batch.images).activations for batch in make_data(batch_size=1).loader("val")]
    assert len(answers) == len(part.catalogue)
    assert part.rounding == pytest.approx(np.mean([quantisation_error(one, 0.5) for one in answers]), abs=1e-6)


@pytest.mark.parametrize("bits", [BITS, None])
def test_batches_of_any_size_encode_alike(bits: int | None, make_data: Callable[..., GarmentData]) -> None:
    parts = [
        encode_all(FakeModel(CATEGORIES, bits=bits), make_data(batch_size=size).loader("query")) for size in (1, 4, 100)
    ]
    for encoded, looks, rounding in parts[1:]:
        assert rounding == (None if bits is None else pytest.approx(parts[0][2], abs=1e-6))
        np.testing.assert_allclose(encoded.embeddings, parts[0][0].embeddings, atol=1e-5)
        assert np.array_equal(encoded.predicted, parts[0][0].predicted)
        assert (encoded.codes is None) == (bits is None)
        assert set(looks) == set(DESCRIPTORS)
        for name in looks:
            np.testing.assert_allclose(looks[name], parts[0][1][name], atol=1e-6)


def expected_names(truth: set[str], parts: set[str]) -> set[str]:
    ends = {f"query/{name}/{score}{end}" for name in truth for score in SCORES for end in ("", "_low", "_high")}
    shared = {f"query/item/{score}_{part}" for score in SCORES for part in parts}
    others = {
        "accuracy",
        "accuracy_low",
        "accuracy_high",
        "top5_accuracy",
        "macro_accuracy",
        "macro_f1",
        "count",
        "gallery_rows",
    }
    ends |= {"query/category/map@100_macro", *(f"query/{name}/scored" for name in truth)}
    return ends | shared | {f"query/{name}" for name in others} | {"speed/search_ms", "speed/search_ms_p95"}


@pytest.mark.parametrize("distance", ["hamming", "rerank", "euclidean"])
def test_a_search_is_evaluated_whole(distance: Any, make_data: Callable[..., GarmentData]) -> None:
    data, model = make_data(ratios={"train": 0.1, "val": 0.1, "query": 0.4, "gallery": 0.4}), FakeModel(CATEGORIES)
    query, gallery = encode_part(model, data, "query"), encode_part(model, data, "gallery")
    asked = Searcher(
        model, Gallery.build(model, gallery.encoded, gallery.catalogue), SearchPolicy(distance, 2, 20, **DEFAULTS)
    )
    metrics, table, hits = evaluate(asked, query)
    assert set(metrics) == expected_names({"category", "item"}, {"garment_alone"})
    assert all(type(value) in (int, float) and math.isfinite(value) for value in metrics.values())
    assert (metrics["query/count"], metrics["query/gallery_rows"]) == (len(query.catalogue), len(gallery.catalogue))
    assert np.array_equal(hits.rows, asked.search_encoded(query.encoded, 100).rows)
    columns = table.to_pydict()
    label = "shortlist20_2" if distance == "shortlist" else f"{distance}_2"
    assert columns["search"] == [label] * len(query.catalogue)
    assert columns["id"] == query.catalogue.column("id").tolist()
    assert columns["predicted"] == [model.categories[n] for n in query.encoded.predicted]
    probabilities = query.encoded.probabilities
    assert columns["mass"] == pytest.approx(
        [row[seen] for row, seen in zip(probabilities, probabilities.argmax(1), strict=True)]
    )
    ids = gallery.catalogue.column("id")
    assert columns["hits"] == [[ids[row] for row in rows if row >= 0][:10] for rows in hits.rows]
    right = np.array(columns["predicted"]) == np.array(columns["category"])
    assert metrics["query/accuracy"] == pytest.approx(right.mean())
    for name in ("category/map@100", "item/map@100_worst", "item/recall@1"):
        assert metrics[f"query/{name}"] == pytest.approx(np.mean(columns[name]))
    assert metrics["speed/search_ms"] == pytest.approx(np.median(columns["search_ms"]))
    assert metrics["speed/search_ms"] <= metrics["speed/search_ms_p95"]


def test_without_items_categories_alone_are_evaluated() -> None:
    query, gallery = pictures(0, 12), pictures(1, 150)
    query = EncodedPart(query.catalogue.with_columns(item=[""] * 12), query.encoded, query.references)
    metrics, table, _ = evaluate(searcher(gallery, "hamming", 1), query)
    assert set(metrics) == expected_names({"category"}, set())
    assert not [name for name in table.column_names if name.startswith("item/")]


def test_a_query_with_nothing_to_find_has_no_hits() -> None:
    query, gallery = pictures(0, 6), pictures(1, 4)
    alone = gallery.encoded._replace(probabilities=np.tile(np.float32([0, 0, 1]), (4, 1)))
    _, table, _ = evaluate(searcher(EncodedPart(gallery.catalogue, alone, {}), "hamming", 1), query)
    found = [len(names) for names in table["hits"].to_pylist()]
    assert found == [4 if seen == 2 else 0 for seen in query.encoded.predicted]
    assert set(found) == {0, 4}
