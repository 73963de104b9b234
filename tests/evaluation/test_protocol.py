"""Encode, search, score: against plain loops on random pictures, and whole on drawn ones."""

import math
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.crops import cut
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation import protocol
from fashion_lsh.evaluation.baselines import code_pairs, exact_hits, reference_metrics, reference_scores
from fashion_lsh.evaluation.protocol import (
    EncodedPart,
    encode_all,
    encode_part,
    end_to_end,
    evaluate,
    own_search,
    timed_hits,
    truths,
)
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.hits import Hits
from fashion_lsh.metrics import retrieval
from fashion_lsh.metrics.code_statistics import quantisation_error
from fashion_lsh.metrics.retrieval import Truth
from fashion_lsh.metrics.ties import tied_average_precision, tied_precision, tied_recall
from fashion_lsh.models.descriptors import REFERENCES
from fashion_lsh.models.encoding import Encoded, encode
from fashion_lsh.search.policy import Probes, Search
from fashion_lsh.search.searcher import Searcher

PLAIN: Any = {"alpha": 0.5, "whole_below": 0.0}
SCORES = ("map@100", "map@100_best", "map@100_worst", "recall@1", "recall@10", "precision@10")
BITS, DEPTH = 10, 5


class Fake:
    """Fixed random layers on a picture shrunk to 2 x 2."""

    threshold, image_size, margin = 0.5, 32, 0.1
    device = torch.device("cpu")

    def __init__(self, bits: int | None = BITS) -> None:
        self.bits, self.categories = bits, ["circle", "cross", "square"]

    def __call__(self, images: Tensor) -> Any:
        small = torch.nn.functional.adaptive_avg_pool2d(images.float() / 255 - 0.5, 2).flatten(1)  # (B, 12)
        layer = torch.randn(12, 3 + BITS + DEPTH, generator=torch.Generator().manual_seed(0))
        logits, activations, embedding = (small @ layer).split([3, BITS, DEPTH], dim=1)
        kept = None if self.bits is None else activations.sigmoid()
        return SimpleNamespace(logits=logits, activations=kept, embedding=embedding)

    def eval(self) -> "Fake":
        return self

    def masses(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)

    def fingerprint(self) -> str:
        return "fake"


def pictures(seed: int, rows: int, bits: int | None = BITS) -> EncodedPart:
    """Random garments, few distinct codes; a third of the items is not known."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, 3))
    masses = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    distinct = np.packbits(np.random.default_rng(7).random((6, BITS)) < 0.5, axis=1, bitorder="little")
    codes = None if bits is None else distinct[rng.integers(0, 6, rows)]
    embeddings, colours = rng.normal(size=(2, rows, DEPTH)).astype(np.float32)
    ids = [f"{seed}-{row}" for row in range(rows)]
    items = [f"item {n}" if n < 8 else "" for n in rng.integers(0, 12, rows)]
    names = np.array(["circle", "cross", "square"])[rng.integers(0, 3, rows)].tolist()
    catalogue = Catalogue.of({"id": ids, "picture": ids, "category": names, "item": items})
    return EncodedPart(catalogue, Encoded(masses, codes, embeddings), {"colour_histogram": colours})


def searcher(gallery: EncodedPart, distance: Any, probes: Probes, bits: int | None = BITS) -> Searcher:
    model = Fake(bits)
    return Searcher(
        model, Gallery.filed(model, gallery.encoded, gallery.catalogue), Search(distance, probes, 20, **PLAIN)
    )


def by_level(distances: list[list[int]], reached: list[list[bool]], truth: Truth) -> retrieval.Scores:
    """Scores from distances and reached rows of every pair, counted one pair at a time."""
    levels = max(map(max, distances)) + 1
    relevant_at, total_at = np.zeros((2, len(distances), levels), dtype=np.int64)
    for query, row in np.ndindex(len(truth.query), len(truth.gallery)):
        if reached[query][row]:
            total_at[query, distances[query][row]] += 1
            same = truth.query[query] == truth.gallery[row] != -1
            relevant_at[query, distances[query][row]] += same
    ap = tied_average_precision(relevant_at, total_at, truth.totals, 100)
    recalls = {f"recall@{k}": tied_recall(relevant_at, total_at, truth.totals, k).expected for k in (1, 10)}
    precision = tied_precision(relevant_at, total_at, truth.totals, 10).expected
    return {"map@100": ap.expected, "map@100_best": ap.best, "map@100_worst": ap.worst, **recalls,
            "precision@10": precision}  # fmt: skip


def assert_same(ours: retrieval.Scores, wanted: retrieval.Scores) -> None:
    assert tuple(ours) == SCORES
    for name in SCORES:
        np.testing.assert_allclose(ours[name], wanted[name], atol=1e-12, err_msg=name)


def bits_apart(query: EncodedPart, gallery: EncodedPart) -> list[list[int]]:
    asked, filed = query.encoded.codes, gallery.encoded.codes
    assert asked is not None
    assert filed is not None
    return [[sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True)) for other in filed.tolist()]
            for one in asked.tolist()]  # fmt: skip


@pytest.mark.parametrize(("probes", "count"), [(1, 1), (2, 2), ("all", 3)])
@pytest.mark.parametrize("truth_of", ["category", "item"])
def test_hamming_is_scored_over_all_orders_of_equals_in_the_probed_lists(
    probes: Probes, count: int, truth_of: str
) -> None:
    query, gallery = pictures(0, 12), pictures(1, 150)
    truth = truths(query.catalogue, gallery.catalogue)[truth_of]
    asked = searcher(gallery, "hamming", probes)
    hits = asked.hits(query.encoded, 100)
    found = own_search(asked, query.encoded, truth, hits)
    likeliest = [sorted(range(3), key=lambda c: -masses[c])[:count] for masses in query.encoded.masses.tolist()]
    reached = [[category in lists for category in gallery.encoded.predicted] for lists in likeliest]
    assert_same(found, by_level(bits_apart(query, gallery), reached, truth))
    served = retrieval.of_hits(hits, truth)["map@100"]
    known = truth.totals > 0
    assert (found["map@100_worst"][known] <= served[known] + 1e-12).all()
    assert (served[known] <= found["map@100_best"][known] + 1e-12).all()


@pytest.mark.parametrize("distance", ["euclidean", "shortlist"])
def test_other_searches_are_scored_as_they_are_served(distance: str) -> None:
    query, gallery = pictures(0, 12), pictures(1, 150)
    truth = truths(query.catalogue, gallery.catalogue)["category"]
    asked = searcher(gallery, distance, 1)
    hits = asked.hits(query.encoded, 100)
    assert_same(own_search(asked, query.encoded, truth, hits), retrieval.of_hits(hits, truth))


def random_in_closed_form(relevant: int, rows: int) -> list[float]:
    """Of a random order: AP@100, recall@1, recall@10 and precision@10."""
    share = relevant / rows
    nearer = (relevant - 1) / (rows - 1)
    gained = sum(share * (1 + (place - 1) * nearer) / place for place in range(1, min(100, rows) + 1))
    none = math.comb(rows - relevant, 10) / math.comb(rows, 10)
    return [gained / min(relevant, 100), share, 1 - none, share]


def test_the_random_row_is_the_closed_form() -> None:
    query, gallery = pictures(0, 12), pictures(1, 150)
    for truth in truths(query.catalogue, gallery.catalogue).values():
        row = reference_scores(query, gallery, truth, {}, exact_hits(query, gallery))["random"]
        for number, relevant in enumerate(truth.totals.tolist()):
            ours = [row[name][number] for name in ("map@100", "recall@1", "recall@10", "precision@10")]
            assert ours == pytest.approx(random_in_closed_form(relevant, 150) if relevant else [math.nan] * 4,
                                         nan_ok=True)  # fmt: skip


def test_the_other_rows_against_every_pair() -> None:
    query, gallery = pictures(0, 12), pictures(1, 150)
    truth = truths(query.catalogue, gallery.catalogue)["category"]
    rows = reference_scores(
        query, gallery, truth, code_pairs(query.encoded, gallery.encoded, BITS), exact_hits(query, gallery)
    )
    assert list(rows) == ["random", "predicted_category", "float", "code", "lsh", "colour_histogram"]
    everything = [[True] * 150] * 12
    seen = [[int(asked != filed) for filed in gallery.encoded.predicted] for asked in query.encoded.predicted]
    assert_same(rows["predicted_category"], by_level(seen, everything, truth))
    assert_same(rows["code"], by_level(bits_apart(query, gallery), everything, truth))
    for name, asked, filed in (
        ("float", query.encoded.embeddings, gallery.encoded.embeddings),
        ("colour_histogram", query.references["colour_histogram"], gallery.references["colour_histogram"]),
    ):
        apart = [[math.dist(one, other) for other in filed.tolist()] for one in asked.tolist()]
        ranks = [[sorted(line).index(value) for value in line] for line in apart]
        assert_same(rows[name], by_level(ranks, everything, truth))


def test_reference_metrics_are_means_named_by_row_and_truth() -> None:
    query, gallery = pictures(0, 12), pictures(1, 150)
    metrics, kept = reference_metrics(query, gallery, BITS)
    names = ("random", "predicted_category", "float", "code", "lsh", "colour_histogram")
    kinds = [
        f"{truth}/{score}{end}" for truth in ("category", "item") for score in SCORES for end in ("", "_low", "_high")
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


def test_what_is_lost_counts_and_is_never_found() -> None:
    query, gallery = pictures(0, 12).catalogue, pictures(1, 150).catalogue
    lost = gallery.take(np.flatnonzero(gallery.column("item") == query.column("item")[0]))
    left = gallery.take(np.flatnonzero(gallery.column("item") != query.column("item")[0]))
    for name, truth in truths(query, left, lost).items():
        assert np.array_equal(truth.totals, truths(query, gallery)[name].totals)
        assert len(truth.gallery) == len(left)
    found = truths(query, left, lost)["item"]
    nothing = retrieval.of_hits(_first_rows(len(query), 5), found)
    assert nothing["recall@10"][0] == 0  # not left out


def test_a_query_in_which_nothing_was_found_scores_0_in_every_row() -> None:
    query, gallery = pictures(0, 12), pictures(1, 150)
    nobody = replace(query, encoded=query.encoded.missed(np.ones(12, bool)))
    metrics, _ = reference_metrics(nobody, gallery, BITS)
    assert {value for name, value in metrics.items() if name.startswith("rows/")} == {0.0}


def _first_rows(queries: int, count: int) -> Hits:
    return Hits(np.tile(np.arange(count), (queries, 1)), np.zeros((queries, count), np.float32))


def test_without_a_hash_layer_there_is_no_code_row() -> None:
    metrics, _ = reference_metrics(pictures(0, 5, None), pictures(1, 20, None), None)
    assert {name.split("/")[1] for name in metrics} == {"random", "predicted_category", "float", "colour_histogram"}


@pytest.mark.parametrize("unknown", ["query", "gallery", "both"])
def test_items_are_scored_only_where_query_and_gallery_know_them(unknown: str) -> None:
    query, gallery = pictures(0, 12).catalogue, pictures(1, 150).catalogue
    assert set(truths(query, gallery)) == {"category", "item"}
    if unknown != "gallery":
        query = query.having(item=[""] * 12)
    if unknown != "query":
        gallery = gallery.having(item=[""] * 150)
    assert set(truths(query, gallery)) == {"category"}


@pytest.mark.parametrize("count", [1, 5, 30])
def test_hits_asked_one_by_one_are_those_asked_together(count: int) -> None:
    query, asked = pictures(0, count), searcher(pictures(1, 150), "shortlist", 2)
    hits, milliseconds = timed_hits(asked, query.encoded)
    together = asked.hits(query.encoded, 100)
    assert np.array_equal(hits.rows, together.rows)
    np.testing.assert_allclose(hits.distances, together.distances, rtol=1e-6)
    assert milliseconds.shape == (count,)
    assert (milliseconds > 0).all()


class Clock:
    """A clock that stands still but for what `spend` adds."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(protocol, "time", made)
    return made


def test_a_search_is_timed_after_20_to_warm_up(clock: Clock) -> None:
    query, gallery = pictures(0, 25), pictures(1, 150)
    asked, calls = searcher(gallery, "hamming", 1), []

    class Slow:
        def hits(self, queries: Encoded, k: int) -> Any:
            calls.append(k)
            clock.spend(9 if len(calls) <= 20 else 0.002)
            return asked.hits(queries, k)

    stand_in: Any = Slow()
    assert timed_hits(stand_in, query.encoded)[1] == pytest.approx([2.0] * 25)
    assert calls == [100] * 45


def test_end_to_end_is_the_median_after_10_to_warm_up(
    clock: Clock, make_data: Callable[..., GarmentData], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, asked = make_data(), []

    class Slow:
        def find(self, picture: np.ndarray, box: np.ndarray, k: int) -> None:
            asked.append((picture, box, k))
            clock.spend(9 if len(asked) <= 10 else 0.003 if len(asked) % 3 else 0.5)

    opened = data.source.picture
    monkeypatch.setattr(data.source, "picture", lambda key: (clock.spend(7), opened(key))[1])  # is not counted
    stand_in: Any = Slow()
    assert end_to_end(stand_in, data, count=21) == {"speed/end_to_end_ms": pytest.approx(3.0)}
    rows = data.rows("query")
    assert len(asked) == 31 > len(rows)
    for number, (picture, box, k) in enumerate(asked[10:]):
        row = rows[number % len(rows)]
        assert np.array_equal(picture, opened(data.catalogue.column("picture")[row]))
        assert np.array_equal(box, data.crop_boxes[row])
        assert k == 100


def test_a_part_is_encoded_in_the_order_of_its_catalogue(make_data: Callable[..., GarmentData]) -> None:
    data, model = make_data(batch_size=4), Fake()
    part = encode_part(model, data, "val")
    assert part.catalogue.column("id").tolist() == data.catalogue.column("id")[data.rows("val")].tolist()
    for row in range(len(part.catalogue)):
        picture = data.source.picture(part.catalogue.column("picture")[row])
        crop = cut(picture, part.catalogue.boxes[row], 0.1, 32).transpose(2, 0, 1)[None].copy()
        alone = encode(model, torch.from_numpy(crop))
        np.testing.assert_allclose(part.encoded.embeddings[[row]], alone.embeddings, atol=1e-5)
        np.testing.assert_allclose(part.encoded.masses[[row]], alone.masses, atol=1e-5)
        for name, describe in REFERENCES.items():
            np.testing.assert_allclose(part.references[name][[row]], describe(torch.from_numpy(crop)), atol=1e-6)


def test_the_rounding_of_a_part_is_the_mean_over_its_pictures(make_data: Callable[..., GarmentData]) -> None:
    data, model = make_data(batch_size=4), Fake()
    part = encode_part(model, data, "val")
    answers = [model(batch.images).activations for batch in make_data(batch_size=1).loader("val")]
    assert len(answers) == len(part.catalogue)
    assert part.rounding == pytest.approx(np.mean([quantisation_error(one, 0.5) for one in answers]), abs=1e-6)


@pytest.mark.parametrize("bits", [BITS, None])
def test_batches_of_any_size_encode_alike(bits: int | None, make_data: Callable[..., GarmentData]) -> None:
    parts = [encode_all(Fake(bits), make_data(batch_size=size).loader("query")) for size in (1, 4, 100)]
    for encoded, looks, rounding in parts[1:]:
        assert rounding == (None if bits is None else pytest.approx(parts[0][2], abs=1e-6))
        np.testing.assert_allclose(encoded.embeddings, parts[0][0].embeddings, atol=1e-5)
        assert np.array_equal(encoded.predicted, parts[0][0].predicted)
        assert (encoded.codes is None) == (bits is None)
        assert set(looks) == set(REFERENCES)
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


@pytest.mark.parametrize("distance", ["hamming", "shortlist", "euclidean"])
def test_a_search_is_evaluated_whole(distance: Any, make_data: Callable[..., GarmentData]) -> None:
    data, model = make_data(shares={"train": 0.1, "val": 0.1, "query": 0.4, "gallery": 0.4}), Fake()
    query, gallery = encode_part(model, data, "query"), encode_part(model, data, "gallery")
    asked = Searcher(model, Gallery.filed(model, gallery.encoded, gallery.catalogue), Search(distance, 2, 20, **PLAIN))
    metrics, table, hits = evaluate(asked, query)
    assert set(metrics) == expected_names({"category", "item"}, {"garment_alone"})
    assert all(type(value) in (int, float) and math.isfinite(value) for value in metrics.values())
    assert (metrics["query/count"], metrics["query/gallery_rows"]) == (len(query.catalogue), len(gallery.catalogue))
    assert np.array_equal(hits.rows, asked.hits(query.encoded, 100).rows)
    columns = table.to_pydict()
    label = "shortlist20_2" if distance == "shortlist" else f"{distance}_2"
    assert columns["search"] == [label] * len(query.catalogue)
    assert columns["id"] == query.catalogue.column("id").tolist()
    assert columns["predicted"] == [model.categories[n] for n in query.encoded.predicted]
    masses = query.encoded.masses
    assert columns["mass"] == pytest.approx([row[seen] for row, seen in zip(masses, masses.argmax(1), strict=True)])
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
    query = EncodedPart(query.catalogue.having(item=[""] * 12), query.encoded, query.references)
    metrics, table, _ = evaluate(searcher(gallery, "hamming", 1), query)
    assert set(metrics) == expected_names({"category"}, set())
    assert not [name for name in table.column_names if name.startswith("item/")]


def test_a_query_with_nothing_to_find_has_no_hits() -> None:
    query, gallery = pictures(0, 6), pictures(1, 4)
    alone = gallery.encoded._replace(masses=np.tile(np.float32([0, 0, 1]), (4, 1)))
    _, table, _ = evaluate(searcher(EncodedPart(gallery.catalogue, alone, {}), "hamming", 1), query)
    found = [len(names) for names in table["hits"].to_pylist()]
    assert found == [4 if seen == 2 else 0 for seen in query.encoded.predicted]
    assert set(found) == {0, 4}
