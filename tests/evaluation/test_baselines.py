"""Rows of codes that need no training, and what is said of the bits of the model's own."""

import logging
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.evaluation.baselines import code_pairs, exact_hits, reference_metrics, reference_scores
from fashion_lsh.evaluation.protocol import EncodedPart, truths
from fashion_lsh.metrics import retrieval
from fashion_lsh.metrics.code_statistics import Quality, quality
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.models.projection import hyperplanes, itq
from tests.evaluation import factories

BITS, LENGTH = 6, 8


def pictures(seed: int, count: int) -> EncodedPart:
    """Random garments of three categories, well told apart, without items."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    embeddings = rng.normal(size=(count, LENGTH)) + 2 * np.eye(LENGTH)[labels]
    codes = np.packbits(rng.random((count, BITS)) < 0.5, axis=1, bitorder="little")
    ids = [f"{seed}-{row}" for row in range(count)]
    catalogue = Catalogue.from_columns({"id": ids, "image": ids, "category": [f"kind {label}" for label in labels]})
    encoded = Encoded(np.eye(3, dtype=np.float32)[labels], codes, embeddings.astype(np.float32))
    return EncodedPart(catalogue, encoded, {}, rounding=0.25)


def signs(of: np.ndarray, centre: np.ndarray, planes: np.ndarray) -> list[list[bool]]:
    """Which side of each plane a row lies on, one at a time."""
    return [[float((row - centre) @ plane) > 0 for plane in planes.T] for row in of]


def test_untrained_codes_tell_the_sides_of_planes_through_the_mean_embedding() -> None:
    query, gallery = pictures(0, 12).encoded, pictures(1, 150).encoded
    pairs = code_pairs(query, gallery, BITS)
    assert list(pairs) == ["code", "lsh", "itq"]
    assert pairs["code"] == (query.codes, gallery.codes)
    mean = gallery.embeddings.mean(axis=0)
    centre, turned = (found.numpy() for found in itq(torch.from_numpy(gallery.embeddings), BITS))
    planes = {"lsh": (mean, hyperplanes(LENGTH, BITS, seed=0).numpy()), "itq": (centre, turned)}
    for row, (middle, normals) in planes.items():
        for codes, encoded in zip(pairs[row], (query, gallery), strict=True):
            wanted = signs(encoded.embeddings, middle, normals)
            assert np.array_equal(np.unpackbits(codes, axis=1, count=BITS, bitorder="little"), wanted)


def test_untrained_codes_are_scored_over_the_whole_gallery_and_over_their_ties() -> None:
    query, gallery = pictures(0, 12), pictures(1, 150)
    truth = truths(query.catalogue, gallery.catalogue)["category"]
    pairs = code_pairs(query.encoded, gallery.encoded, BITS)
    found = reference_scores(query, gallery, truth, pairs, exact_hits(query, gallery))
    for row in ("lsh", "itq"):
        wanted = retrieval.of_codes(*pairs[row], truth, None)
        assert all(np.array_equal(found[row][name], wanted[name]) for name in wanted)
        assert found[row]["map@100"].mean() > found["random"]["map@100"].mean()


@pytest.mark.parametrize(("bits", "there"), [(LENGTH, True), (LENGTH + 1, False)])
def test_more_bits_than_the_embedding_is_long_leave_itq_out(bits: int, there: bool) -> None:
    query, gallery = (pictures(seed, 40).encoded._replace(codes=np.zeros((40, 2), np.uint8)) for seed in (0, 1))
    pairs = code_pairs(query, gallery, bits)
    assert ("itq" in pairs) == there
    assert "lsh" in pairs


def test_itq_is_fitted_on_some_of_a_large_gallery(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.Tensor] = []
    module = "fashion_lsh.evaluation.baselines"
    monkeypatch.setattr(f"{module}.itq", lambda given, bits: (seen.append(given), itq(given, bits))[1])
    monkeypatch.setattr(f"{module}.FITTED", 20)
    gallery = pictures(1, 50).encoded
    codes = code_pairs(pictures(0, 5).encoded, gallery, BITS)["itq"][1]
    assert np.array_equal(seen[0].numpy(), gallery.embeddings[[*range(0, 50, 3)]])
    assert len(codes) == 50


def test_what_the_gallerys_bits_say_is_among_the_metrics() -> None:
    gallery = pictures(1, 150)
    assert gallery.encoded.codes is not None
    metrics, _ = reference_metrics(pictures(0, 12), gallery, BITS)
    found = {name: value for name, value in metrics.items() if name.startswith("codes/")}
    wanted = quality(gallery.encoded.codes, BITS)
    assert found == {
        **{f"codes/{name}": getattr(wanted, name) for name in Quality._fields}, "codes/quantisation_error": 0.25,
        "codes/precision@radius2": pytest.approx(0.3302467),
    }  # fmt: skip
    assert {type(value) for value in found.values()} == {int, float}


def test_collapsed_codes_are_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    gallery = pictures(1, 150)
    with caplog.at_level(logging.WARNING):
        reference_metrics(pictures(0, 12), gallery, BITS)
        assert not caplog.records
        one = gallery.encoded._replace(codes=np.ones((150, 1), np.uint8))
        reference_metrics(pictures(0, 12), replace(gallery, encoded=one), BITS)
    assert len(caplog.records) == 1
    for part in ("1 distinct codes for 3 predicted categories", "6 bits, of which 6 never change", "hash=csq"):
        assert part in caplog.text


def random_in_closed_form(relevant: int, rows: int) -> list[float]:
    """Of a random order: AP@100, recall@1, recall@10 and precision@10."""
    share = relevant / rows
    nearer = (relevant - 1) / (rows - 1)
    gained = sum(share * (1 + (place - 1) * nearer) / place for place in range(1, min(100, rows) + 1))
    none = math.comb(rows - relevant, 10) / math.comb(rows, 10)
    return [gained / min(relevant, 100), share, 1 - none, share]


def test_the_random_row_is_the_closed_form() -> None:
    query, gallery = factories.pictures(0, 12), factories.pictures(1, 150)
    for truth in truths(query.catalogue, gallery.catalogue).values():
        row = reference_scores(query, gallery, truth, {}, exact_hits(query, gallery))["random"]
        for number, relevant in enumerate(truth.totals.tolist()):
            ours = [row[name][number] for name in ("map@100", "recall@1", "recall@10", "precision@10")]
            assert ours == pytest.approx(random_in_closed_form(relevant, 150) if relevant else [math.nan] * 4,
                                         nan_ok=True)  # fmt: skip


def test_the_other_rows_against_every_pair() -> None:
    query, gallery = factories.pictures(0, 12), factories.pictures(1, 150)
    truth = truths(query.catalogue, gallery.catalogue)["category"]
    rows = reference_scores(
        query, gallery, truth, code_pairs(query.encoded, gallery.encoded, factories.BITS), exact_hits(query, gallery)
    )
    assert list(rows) == ["random", "predicted_category", "float", "code", "lsh", "colour_histogram"]
    everything = [[True] * 150] * 12
    seen = [[int(asked != filed) for filed in gallery.encoded.predicted] for asked in query.encoded.predicted]
    factories.assert_same(rows["predicted_category"], factories.by_level(seen, everything, truth))
    factories.assert_same(rows["code"], factories.by_level(factories.bits_apart(query, gallery), everything, truth))
    for name, asked, filed in (
        ("float", query.encoded.embeddings, gallery.encoded.embeddings),
        ("colour_histogram", query.references["colour_histogram"], gallery.references["colour_histogram"]),
    ):
        apart = [[math.dist(one, other) for other in filed.tolist()] for one in asked.tolist()]
        ranks = [[sorted(line).index(value) for value in line] for line in apart]
        factories.assert_same(rows[name], factories.by_level(ranks, everything, truth))


def test_reference_metrics_are_means_named_by_row_and_truth() -> None:
    query, gallery = factories.pictures(0, 12), factories.pictures(1, 150)
    metrics, kept = reference_metrics(query, gallery, factories.BITS)
    names = ("random", "predicted_category", "float", "code", "lsh", "colour_histogram")
    kinds = [
        f"{truth}/{score}{end}"
        for truth in ("category", "item")
        for score in factories.SCORES
        for end in ("", "_low", "_high")
    ]
    assert {name for name in metrics if name.startswith("rows/")} == {
        f"rows/{row}/{kind}" for row in names for kind in kinds
    }
    assert all(metrics[name] >= metrics[f"{name}_low"] for name in metrics if f"{name}_low" in metrics)
    truth = truths(query.catalogue, gallery.catalogue)["item"]
    mean = np.nanmean(reference_scores(query, gallery, truth, {}, exact_hits(query, gallery))["float"]["recall@1"])
    assert metrics["rows/float/item/recall@1"] == pytest.approx(mean)
    assert {name.split("/")[1] for name in kept} == {"float", "code", "lsh"}
    assert len(kept) == 3 * 3
    assert all(np.nanmean(values) == pytest.approx(metrics[name], abs=1e-6) for name, values in kept.items())


def test_a_query_in_which_nothing_was_found_scores_0_in_every_row() -> None:
    query, gallery = factories.pictures(0, 12), factories.pictures(1, 150)
    nobody = replace(query, encoded=query.encoded.without_detections(np.ones(12, bool)))
    metrics, _ = reference_metrics(nobody, gallery, factories.BITS)
    assert {value for name, value in metrics.items() if name.startswith("rows/")} == {0.0}


def test_without_a_hash_layer_there_is_no_code_row() -> None:
    metrics, _ = reference_metrics(factories.pictures(0, 5, None), factories.pictures(1, 20, None), None)
    assert {name.split("/")[1] for name in metrics} == {"random", "predicted_category", "float", "colour_histogram"}
