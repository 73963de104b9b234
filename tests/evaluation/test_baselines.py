"""Baselines, and statistics of the model's codes."""

import logging
import math
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pytest
import torch

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.evaluation.baselines import (
    CodePair,
    baseline_methods,
    baseline_results,
    code_pairs,
    code_results,
    quantized_pairs,
)
from fashion_lsh.evaluation.protocol import EncodedSplit
from fashion_lsh.evaluation.scoring import relevance_by_column
from fashion_lsh.index.hits import Hits
from fashion_lsh.index.quantizers import QuantizedVectors
from fashion_lsh.metrics import retrieval
from fashion_lsh.metrics.code_statistics import CodeStatistics, code_statistics
from fashion_lsh.metrics.ranking import CURVE_METRICS, CUTOFFS
from fashion_lsh.metrics.results import ONE_LIST, QUERY_METRICS, WHOLE_GALLERY, ResultTable, score_name
from fashion_lsh.metrics.retrieval import Relevance
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.models.projection import fit_itq, fit_pca_rotation, random_hyperplanes
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


TRAIN = random_split(2, 200).encoded.embeddings
FACTORY_TRAIN = factories.random_split(2, 200).encoded.embeddings
METHODS = ("random", "predicted_category", "float", "code", "lsh", "int8", "colour_histogram")  # bits > dimensions


def whole_gallery_scores(
    query: EncodedSplit,
    gallery: EncodedSplit,
    relevance: Relevance,
    pairs: dict[str, CodePair],
    train: np.ndarray = FACTORY_TRAIN,
) -> dict[str, retrieval.Scores]:
    quantized = quantized_pairs(query.encoded, gallery.encoded, train, factories.BITS)
    methods = baseline_methods(query, gallery, pairs, quantized)
    return {name: score(relevance, None, CUTOFFS) for name, score in methods.items()}


def hyperplane_sides(embeddings: np.ndarray, centre: np.ndarray, normals: np.ndarray) -> list[list[bool]]:
    """Compute for each embedding and hyperplane whether the embedding is on the positive side."""
    return [[float((row - centre) @ normal) > 0 for normal in normals.T] for row in embeddings]


def test_codes_are_the_sides_of_hyperplanes_fitted_to_training_embeddings() -> None:
    query, gallery = random_split(0, 12).encoded, random_split(1, 150).encoded
    pairs = code_pairs(query, gallery, TRAIN, BITS)
    assert list(pairs) == ["code", "lsh", "pca", "itq"]
    assert pairs["code"] == (query.codes, gallery.codes)
    fitted = {"pca": fit_pca_rotation, "itq": fit_itq}
    hyperplanes = {"lsh": (TRAIN.mean(axis=0), random_hyperplanes(EMBEDDING_DIM, BITS, seed=0).numpy())}
    hyperplanes |= {
        name: tuple(tensor.numpy() for tensor in fit(torch.from_numpy(TRAIN), BITS)) for name, fit in fitted.items()
    }
    for method, (hyperplane_centre, normals) in hyperplanes.items():
        for codes, encoded in zip(pairs[method], (query, gallery), strict=True):
            expected = hyperplane_sides(encoded.embeddings, hyperplane_centre, normals)
            assert np.array_equal(np.unpackbits(codes, axis=1, count=BITS, bitorder="little"), expected)


def test_training_free_codes_are_scored_over_the_whole_gallery_with_ties() -> None:
    query, gallery = random_split(0, 12), random_split(1, 150)
    relevance = relevance_by_column(query.catalogue, gallery.catalogue)["category"]
    pairs = code_pairs(query.encoded, gallery.encoded, TRAIN, BITS)
    scores = whole_gallery_scores(query, gallery, relevance, pairs, TRAIN)
    for method in ("lsh", "pca", "itq"):
        expected = retrieval.score_codes(*pairs[method], relevance, None)
        assert all(np.array_equal(scores[method][column], expected[column]) for column in expected)
        assert scores[method]["map", 100].mean() > scores["random"]["map", 100].mean()


@pytest.mark.parametrize(("bits", "has_axes"), [(EMBEDDING_DIM, True), (EMBEDDING_DIM + 1, False)])
def test_pca_itq_and_rabitq_are_skipped_with_more_bits_than_embedding_dimensions(bits: int, has_axes: bool) -> None:
    query, gallery = (random_split(seed, 40).encoded._replace(codes=np.zeros((40, 2), np.uint8)) for seed in (0, 1))
    pairs = code_pairs(query, gallery, TRAIN, bits)
    quantized = quantized_pairs(query, gallery, TRAIN, bits)
    assert ("itq" in pairs) == ("pca" in pairs) == ("rabitq" in quantized) == has_axes
    assert "lsh" in pairs


def test_rabitq_has_one_bit_for_each_principal_axis_and_two_factors() -> None:
    query, gallery = random_split(0, 12), random_split(1, 150)
    results, _ = baseline_results(query, gallery, TRAIN, BITS)
    sizes = {row.method: (row.value, row.bits, row.split) for row in results if row.metric == "code_bytes"}
    assert sizes == {"rabitq": (1 + 8, BITS, "gallery"), "int8": (EMBEDDING_DIM, 0, "gallery")}
    centre, axes = (fitted.numpy() for fitted in fit_pca_rotation(torch.from_numpy(TRAIN), BITS))
    vectors = [(each - centre) @ axes for each in (query.encoded.embeddings, TRAIN, gallery.encoded.embeddings)]
    distances = QuantizedVectors("rabitq", *vectors[1:]).squared_distances(vectors[0])
    relevance = relevance_by_column(query.catalogue, gallery.catalogue)["category"]
    expected = retrieval.score_hits(
        Hits(distances.argsort(axis=1, kind="stable"), np.sort(distances, axis=1)), relevance
    )
    [row] = [
        row for row in results if (row.method, row.scope, row.metric, row.k) == ("rabitq", WHOLE_GALLERY, "map", 100)
    ]
    assert (row.bits, row.value) == (BITS, pytest.approx(expected["map", 100].mean()))


def test_code_statistics_of_the_gallery_are_among_the_results() -> None:
    gallery = random_split(1, 150)
    assert gallery.encoded.codes is not None
    results, _ = baseline_results(random_split(0, 12), gallery, TRAIN, BITS)
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
        baseline_results(random_split(0, 12), gallery, TRAIN, BITS)
        assert not caplog.records
        collapsed = gallery.encoded._replace(codes=np.ones((150, 1), np.uint8))
        baseline_results(random_split(0, 12), replace(gallery, encoded=collapsed), TRAIN, BITS)
    assert len(caplog.records) == 1
    for fragment in ("all 150 garments", "6 code bits (6 constant)", "hash=csq"):
        assert fragment in caplog.text
    caplog.clear()
    code_results(replace(gallery, encoded=collapsed), BITS, within_category=True)
    assert "all 150 garments" in caplog.text
    assert "hash=csq" not in caplog.text


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
        scores = whole_gallery_scores(query, gallery, relevance, {})["random"]
        for query_row, relevant in enumerate(relevance.totals.tolist()):
            actual = [scores[column][query_row] for column in SCORED_COLUMNS]
            assert actual == pytest.approx(expected_random_scores(relevant, 150) if relevant else [math.nan] * 4,
                                         nan_ok=True)  # fmt: skip


def rounded_to_bytes(vectors: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Round each dimension to the middle of one of 256 intervals between the extremes of the training vectors."""
    low, step = train.min(axis=0), np.ptp(train, axis=0) / 255
    return np.asarray(low + (np.floor((vectors - low) / step).clip(0, 255) + 0.5) * step)


def test_other_baselines_equal_scores_of_all_pairs() -> None:
    query, gallery = factories.random_split(0, 12), factories.random_split(1, 150)
    relevance = relevance_by_column(query.catalogue, gallery.catalogue)["category"]
    pairs = code_pairs(query.encoded, gallery.encoded, FACTORY_TRAIN, factories.BITS)
    scores = whole_gallery_scores(query, gallery, relevance, pairs)
    assert list(scores) == list(METHODS)
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
        ("int8", query.encoded.embeddings, rounded_to_bytes(gallery.encoded.embeddings, FACTORY_TRAIN)),
        ("colour_histogram", query.descriptors["colour_histogram"], gallery.descriptors["colour_histogram"]),
    ):
        distances = [
            [math.dist(query_vector, vector) for vector in gallery_vectors.tolist()]
            for query_vector in query_vectors.tolist()
        ]
        ranks = [[sorted(row).index(value) for value in row] for row in distances]
        expected = factories.scores_of_all_pairs(ranks, all_pairs, relevance)
        factories.assert_same_scores(scores[name], {column: expected[column] for column in scores[name]})


def test_methods_in_one_list_are_scored_among_the_rows_with_the_predicted_category() -> None:
    query, gallery = factories.random_split(0, 12), factories.random_split(1, 150)
    relevance = relevance_by_column(query.catalogue, gallery.catalogue)["category"]
    results, _ = baseline_results(query, gallery, FACTORY_TRAIN, factories.BITS)
    probed = [(gallery.encoded.predicted == category).tolist() for category in query.encoded.predicted]
    scores = factories.scores_of_all_pairs(factories.hamming_distances(query, gallery), probed, relevance)
    table = ResultTable(results, ("hamming", ONE_LIST))
    for (metric, k), values in scores.items():
        value = table.value("code", metric, k, relevance="category", scope=ONE_LIST)
        assert value == pytest.approx(np.nanmean(values)), (metric, k)


def test_baseline_results_are_means_by_method_scope_and_relevance() -> None:
    query, gallery = factories.random_split(0, 12), factories.random_split(1, 150)
    results, queries = baseline_results(query, gallery, FACTORY_TRAIN, factories.BITS)
    rows = {(row.method, row.scope, row.relevance, row.metric, row.k): row for row in results
            if row.relevance and row.metric != "radius_precision"}  # fmt: skip
    searches = {(method, scope) for method in METHODS for scope in (WHOLE_GALLERY, ONE_LIST)}
    searches -= {("predicted_category", ONE_LIST)}
    assert {key[:2] for key in rows} == searches
    assert {key[2] for key in rows} == {"category", "item"}
    for key, row in rows.items():
        assert row.has_interval != key[3].startswith("macro_")
        assert key[4] in CUTOFFS or key[3] in CURVE_METRICS
        assert not row.has_interval or row.low <= row.value <= row.high
    codes = {"code", "lsh"}
    assert {row.method for row in rows.values() if row.bits == factories.BITS} == codes
    assert {row.method for row in rows.values() if row.bits == 0} == set(METHODS) - codes
    relevance = relevance_by_column(query.catalogue, gallery.catalogue)["item"]
    scores = whole_gallery_scores(query, gallery, relevance, {})["float"]
    for (metric, k), values in scores.items():
        row = rows["float", WHOLE_GALLERY, "item", metric, k]
        assert (row.value, row.n) == (pytest.approx(np.nanmean(values)), np.isfinite(values).sum())
    categories = query.catalogue.column("category")
    macro = [np.nanmean(scores["map", 100][categories == name]) for name in sorted(set(categories))]
    assert rows["float", WHOLE_GALLERY, "item", "macro_map", 100].value == pytest.approx(np.nanmean(macro))
    assert ResultTable(results, ("hamming", "2 lists"))  # no two results of one column
    assert set(zip(queries["method"].to_pylist(), queries["scope"].to_pylist(), strict=True)) == searches


def test_embeddings_and_codes_have_curves_in_the_whole_gallery() -> None:
    query, gallery = factories.random_split(0, 12), factories.random_split(1, 150)
    results, _ = baseline_results(query, gallery, FACTORY_TRAIN, factories.BITS, (1, 10, 100))
    table = ResultTable(results, ("hamming", "2 lists"))
    relevance = relevance_by_column(query.catalogue, gallery.catalogue)["category"]
    for method, scope in table.methods()[1:]:
        ranks = {row.k for row in table.select(method=method, scope=scope, metric="precision", relevance="category")}
        has_curve = scope == WHOLE_GALLERY and method in ("float", "code", "lsh")
        assert ranks == ({1, 2, 5, 10, 20, 50, 100, 150} if has_curve else {1, 10, 100})
    assert table.value("code", "recall_ratio", 150, relevance="category", scope=WHOLE_GALLERY) == 1
    assert table.value("code", "precision", 150, relevance="category") == pytest.approx(relevance.totals.mean() / 150)


def test_the_query_table_has_the_scores_of_every_baseline() -> None:
    query, gallery = factories.random_split(0, 12), factories.random_split(1, 150)
    results, queries = baseline_results(query, gallery, FACTORY_TRAIN, factories.BITS)
    means = [row for row in results if row.relevance and (row.metric, row.k) in QUERY_METRICS]
    assert len(means) == (2 * len(METHODS) - 1) * 2 * len(QUERY_METRICS)
    names = {score_name(name, *column) for name in ("category", "item") for column in QUERY_METRICS}
    assert {name for name in queries.column_names if "/" in name} == names
    for row in means:
        table = queries.filter(pc.and_(pc.equal(queries["method"], row.method), pc.equal(queries["scope"], row.scope)))
        assert table["id"].to_pylist() == query.catalogue.column("id").tolist()
        values = table[score_name(row.relevance, row.metric, row.k)].to_numpy()
        assert np.nanmean(values) == pytest.approx(row.value, abs=1e-6)
        assert np.isfinite(values).sum() == row.n


def test_an_undetected_query_scores_0_in_every_baseline() -> None:
    query, gallery = factories.random_split(0, 12), factories.random_split(1, 150)
    undetected = replace(query, encoded=query.encoded.without_detections(np.ones(12, bool)))
    results, _ = baseline_results(undetected, gallery, FACTORY_TRAIN, factories.BITS)
    assert {row.value for row in results if row.relevance} == {0.0}


def test_code_baselines_are_skipped_without_a_hash_layer() -> None:
    results, queries = baseline_results(
        factories.random_split(0, 5, None), factories.random_split(1, 20, None), FACTORY_TRAIN, None
    )
    methods = {"random", "predicted_category", "float", "int8", "colour_histogram"}
    assert {row.method for row in results} == set(queries["method"].to_pylist()) == methods
    assert {row.bits for row in results} == {0}
