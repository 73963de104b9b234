"""Baselines, and statistics of the model's codes."""

import logging
import math
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.evaluation.baselines import baseline_results, baseline_scores, code_pairs, exact_hits
from fashion_lsh.evaluation.protocol import EncodedSplit, relevance_by_column
from fashion_lsh.evaluation.query_table import TIE_BOUNDS
from fashion_lsh.metrics import retrieval
from fashion_lsh.metrics.code_statistics import CodeStatistics, code_statistics
from fashion_lsh.metrics.results import WHOLE_GALLERY, ResultTable, score_name
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.models.projection import fit_itq, random_hyperplanes
from tests.evaluation import factories

BITS, EMBEDDING_DIM = 6, 8
SCORED_COLUMNS = (("map", 100), ("recall", 1), ("recall", 10), ("precision", 10))  # without best and worst orders


def random_split(seed: int, num_rows: int) -> EncodedSplit:
    """Random garments of three well separated categories, without items."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, num_rows)
    embeddings = rng.normal(size=(num_rows, EMBEDDING_DIM)) + 2 * np.eye(EMBEDDING_DIM)[labels]
    codes = np.packbits(rng.random((num_rows, BITS)) < 0.5, axis=1, bitorder="little")
    ids = [f"{seed}-{row}" for row in range(num_rows)]
    catalogue = Catalogue.from_columns({"id": ids, "image": ids, "category": [f"category {label}" for label in labels]})
    encoded = Encoded(np.eye(3, dtype=np.float32)[labels], codes, embeddings.astype(np.float32))
    return EncodedSplit(catalogue, encoded, {}, quantisation_error=0.25)


def hyperplane_sides(embeddings: np.ndarray, centre: np.ndarray, normals: np.ndarray) -> list[list[bool]]:
    """Compute for each embedding and hyperplane whether the embedding is on the positive side."""
    return [[float((row - centre) @ normal) > 0 for normal in normals.T] for row in embeddings]


def test_lsh_and_itq_codes_are_the_sides_of_hyperplanes() -> None:
    query, gallery = random_split(0, 12).encoded, random_split(1, 150).encoded
    pairs = code_pairs(query, gallery, BITS)
    assert list(pairs) == ["code", "lsh", "itq"]
    assert pairs["code"] == (query.codes, gallery.codes)
    mean = gallery.embeddings.mean(axis=0)
    centre, projection = (tensor.numpy() for tensor in fit_itq(torch.from_numpy(gallery.embeddings), BITS))
    hyperplanes = {"lsh": (mean, random_hyperplanes(EMBEDDING_DIM, BITS, seed=0).numpy()), "itq": (centre, projection)}
    for method, (hyperplane_centre, normals) in hyperplanes.items():
        for codes, encoded in zip(pairs[method], (query, gallery), strict=True):
            expected = hyperplane_sides(encoded.embeddings, hyperplane_centre, normals)
            assert np.array_equal(np.unpackbits(codes, axis=1, count=BITS, bitorder="little"), expected)


def test_lsh_and_itq_codes_are_scored_over_the_whole_gallery_with_ties() -> None:
    query, gallery = random_split(0, 12), random_split(1, 150)
    relevance = relevance_by_column(query.catalogue, gallery.catalogue)["category"]
    pairs = code_pairs(query.encoded, gallery.encoded, BITS)
    scores = baseline_scores(query, gallery, relevance, pairs, exact_hits(query, gallery))
    for method in ("lsh", "itq"):
        expected = retrieval.score_codes(*pairs[method], relevance, None)
        assert all(np.array_equal(scores[method][column], expected[column]) for column in expected)
        assert scores[method]["map", 100].mean() > scores["random"]["map", 100].mean()


@pytest.mark.parametrize(("bits", "has_itq"), [(EMBEDDING_DIM, True), (EMBEDDING_DIM + 1, False)])
def test_itq_is_skipped_with_more_bits_than_embedding_dimensions(bits: int, has_itq: bool) -> None:
    query, gallery = (random_split(seed, 40).encoded._replace(codes=np.zeros((40, 2), np.uint8)) for seed in (0, 1))
    pairs = code_pairs(query, gallery, bits)
    assert ("itq" in pairs) == has_itq
    assert "lsh" in pairs


def test_itq_is_fitted_on_evenly_spaced_embeddings_of_a_large_gallery(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted_embeddings: list[torch.Tensor] = []
    module = "fashion_lsh.evaluation.baselines"
    monkeypatch.setattr(
        f"{module}.fit_itq",
        lambda embeddings, bits: (fitted_embeddings.append(embeddings), fit_itq(embeddings, bits))[1],
    )
    monkeypatch.setattr(f"{module}.ITQ_SAMPLES", 20)
    gallery = random_split(1, 50).encoded
    codes = code_pairs(random_split(0, 5).encoded, gallery, BITS)["itq"][1]
    assert np.array_equal(fitted_embeddings[0].numpy(), gallery.embeddings[[*range(0, 50, 3)]])
    assert len(codes) == 50


def test_code_statistics_of_the_gallery_are_among_the_results() -> None:
    gallery = random_split(1, 150)
    assert gallery.encoded.codes is not None
    results, _ = baseline_results(random_split(0, 12), gallery, BITS)
    statistics = {row.metric: row.value for row in results if (row.method, row.split) == ("code", "gallery")}
    expected = code_statistics(gallery.encoded.codes, BITS)
    assert statistics == {
        **{name: getattr(expected, name) for name in CodeStatistics._fields},
        "quantisation_error": 0.25,
    }
    assert {type(value) for value in statistics.values()} == {int, float}
    assert {row.bits for row in results if row.method == "code"} == {BITS}
    [precision] = [row for row in results if row.metric == "radius_precision"]
    assert (precision.method, precision.scope, precision.k) == ("code", WHOLE_GALLERY, 2)
    assert (precision.relevance, precision.split) == ("category", "query")
    assert precision.value == pytest.approx(0.3302467)


def test_collapsed_codes_are_logged_as_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    gallery = random_split(1, 150)
    with caplog.at_level(logging.WARNING):
        baseline_results(random_split(0, 12), gallery, BITS)
        assert not caplog.records
        collapsed = gallery.encoded._replace(codes=np.ones((150, 1), np.uint8))
        baseline_results(random_split(0, 12), replace(gallery, encoded=collapsed), BITS)
    assert len(caplog.records) == 1
    for fragment in ("all 150 garments", "6 code bits (6 constant)", "hash=csq"):
        assert fragment in caplog.text


def expected_random_scores(relevant: int, rows: int) -> list[float]:
    """Expected AP@100, recall@1, recall@10 and precision@10 of a random order."""
    ratio = relevant / rows
    ratio_before = (relevant - 1) / (rows - 1)  # expected ratio among the rows before a relevant row
    precisions = sum(ratio * (1 + (rank - 1) * ratio_before) / rank for rank in range(1, min(100, rows) + 1))
    probability_of_none = math.comb(rows - relevant, 10) / math.comb(rows, 10)
    return [precisions / min(relevant, 100), ratio, 1 - probability_of_none, ratio]


def test_the_random_baseline_equals_the_closed_form() -> None:
    query, gallery = factories.random_split(0, 12), factories.random_split(1, 150)
    for relevance in relevance_by_column(query.catalogue, gallery.catalogue).values():
        scores = baseline_scores(query, gallery, relevance, {}, exact_hits(query, gallery))["random"]
        for query_row, relevant in enumerate(relevance.totals.tolist()):
            actual = [scores[column][query_row] for column in SCORED_COLUMNS]
            assert actual == pytest.approx(expected_random_scores(relevant, 150) if relevant else [math.nan] * 4,
                                         nan_ok=True)  # fmt: skip


def test_other_baselines_equal_scores_of_all_pairs() -> None:
    query, gallery = factories.random_split(0, 12), factories.random_split(1, 150)
    relevance = relevance_by_column(query.catalogue, gallery.catalogue)["category"]
    scores = baseline_scores(
        query,
        gallery,
        relevance,
        code_pairs(query.encoded, gallery.encoded, factories.BITS),
        exact_hits(query, gallery),
    )
    assert list(scores) == ["random", "predicted_category", "float", "code", "lsh", "colour_histogram"]
    all_pairs = [[True] * 150] * 12
    mismatches = [
        [int(query_category != gallery_category) for gallery_category in gallery.encoded.predicted]
        for query_category in query.encoded.predicted
    ]
    factories.assert_same_scores(
        scores["predicted_category"], factories.scores_of_all_pairs(mismatches, all_pairs, relevance)
    )
    factories.assert_same_scores(
        scores["code"], factories.scores_of_all_pairs(factories.hamming_distances(query, gallery), all_pairs, relevance)
    )
    for name, query_vectors, gallery_vectors in (
        ("float", query.encoded.embeddings, gallery.encoded.embeddings),
        ("colour_histogram", query.descriptors["colour_histogram"], gallery.descriptors["colour_histogram"]),
    ):
        distances = [
            [math.dist(query_vector, vector) for vector in gallery_vectors.tolist()]
            for query_vector in query_vectors.tolist()
        ]
        ranks = [[sorted(row).index(value) for value in row] for row in distances]
        factories.assert_same_scores(scores[name], factories.scores_of_all_pairs(ranks, all_pairs, relevance))


def test_baseline_results_are_means_with_intervals_by_method_and_relevance() -> None:
    query, gallery = factories.random_split(0, 12), factories.random_split(1, 150)
    results, queries = baseline_results(query, gallery, factories.BITS)
    methods = ("random", "predicted_category", "float", "code", "lsh", "colour_histogram")
    rows = {(row.method, row.relevance, row.metric, row.k): row for row in results
            if row.relevance and row.metric != "radius_precision"}  # fmt: skip
    assert set(rows) == {
        (method, relevance, *column)
        for method in methods
        for relevance in ("category", "item")
        for column in factories.COLUMNS
    }
    assert all(row.low <= row.value <= row.high for row in rows.values())
    assert {row.scope for row in rows.values()} == {WHOLE_GALLERY}
    assert {row.method for row in rows.values() if row.bits == factories.BITS} == {"code", "lsh"}
    assert {row.method for row in rows.values() if row.bits == 0} == set(methods) - {"code", "lsh"}
    relevance = relevance_by_column(query.catalogue, gallery.catalogue)["item"]
    scores = baseline_scores(query, gallery, relevance, {}, exact_hits(query, gallery))["float"]["recall", 1]
    row = rows["float", "item", "recall", 1]
    assert (row.value, row.n) == (pytest.approx(np.nanmean(scores)), np.isfinite(scores).sum())
    assert ResultTable(results, ("hamming", "1 list"))  # no two results of one column
    assert set(zip(queries["method"].to_pylist(), queries["scope"].to_pylist(), strict=True)) == {
        (method, WHOLE_GALLERY) for method in methods
    }


def test_the_query_table_has_the_scores_of_every_baseline() -> None:
    query, gallery = factories.random_split(0, 12), factories.random_split(1, 150)
    results, queries = baseline_results(query, gallery, factories.BITS)
    means = [row for row in results if row.relevance and row.metric != "radius_precision"]
    assert len(means) == 6 * 2 * len(factories.COLUMNS)
    assert not {"category/map_best@100", "category/map_worst@100"} & set(queries.column_names)
    for row in (row for row in means if row.metric not in TIE_BOUNDS):
        table = queries.filter(pc.equal(queries["method"], row.method))
        assert table["id"].to_pylist() == query.catalogue.column("id").tolist()
        values = table[score_name(row.relevance, row.metric, row.k)].to_numpy()
        assert np.nanmean(values) == pytest.approx(row.value, abs=1e-6)
        assert np.isfinite(values).sum() == row.n


def test_an_undetected_query_scores_0_in_every_baseline() -> None:
    query, gallery = factories.random_split(0, 12), factories.random_split(1, 150)
    undetected = replace(query, encoded=query.encoded.without_detections(np.ones(12, bool)))
    results, _ = baseline_results(undetected, gallery, factories.BITS)
    assert {row.value for row in results if row.relevance} == {0.0}


def test_code_baselines_are_skipped_without_a_hash_layer() -> None:
    results, queries = baseline_results(factories.random_split(0, 5, None), factories.random_split(1, 20, None), None)
    methods = {"random", "predicted_category", "float", "colour_histogram"}
    assert {row.method for row in results} == set(queries["method"].to_pylist()) == methods
    assert {row.bits for row in results} == {0}
