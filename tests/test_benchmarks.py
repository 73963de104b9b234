"""Every benchmark can be imported; some of them run on few rows."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from benchmarks import asymmetric, head_training, list_search, loading
from fashion_lsh.evaluation.scoring import relevance_by_column
from fashion_lsh.index.hits import Hits
from fashion_lsh.metrics.retrieval import MAX_HITS, score_hits
from tests.evaluation.factories import make_searcher, random_split

BENCHMARKS = sorted(path.stem for path in (Path(__file__).parents[1] / "benchmarks").glob("[!_]*.py"))


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmark_can_be_imported(name: str) -> None:
    import_module(f"benchmarks.{name}")


@pytest.mark.parametrize("box", [None, np.array([30, 20, 250, 270], np.float32)])
def test_both_decoders_give_the_same_crops(box: np.ndarray | None) -> None:
    photos = loading.encode_photos([np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)], 300)
    ours, pil = (decode(photos[0], box).astype(int) for decode in (loading.decode, loading.decode_with_pil))
    assert ours.shape == (224, 224, 3)
    assert abs(ours - pil).max() <= 1
    assert loading.decode_rate(photos, box, loading.decode) > 0


@pytest.mark.parametrize("k", [1, 40, 300])
def test_search_in_one_list_by_numpy_equals_that_of_the_index(k: int) -> None:
    index, codes, lists = list_search.build_index(9000)
    queries, one_list, _ = list_search.make_queries()
    list_search.check_hits(index, codes, lists, queries, one_list)
    rows = np.flatnonzero(lists == one_list[0, 0])
    words = codes[rows].view(np.uint64)[:, 0]
    nearest, distances = list_search.nearest_in_list(words, rows, queries.view(np.uint64)[0, 0], k)
    hits = index.search(queries[:1], one_list[:1], k)
    assert np.array_equal(hits.rows[0], nearest)
    assert np.array_equal(hits.distances[0], distances)


@pytest.mark.parametrize("nprobe", [1, 2])
def test_methods_of_the_asymmetric_benchmark_time_the_search_that_they_score(nprobe: int) -> None:
    query, gallery = random_split(0, 12), random_split(1, 90)
    relevance = relevance_by_column(query.catalogue, gallery.catalogue)["category"]
    searcher, train = make_searcher(gallery, "rerank", nprobe), random_split(2, 200).encoded.embeddings
    arguments = (searcher, query.encoded, gallery.encoded)
    methods = asymmetric.policy_methods(searcher, query.encoded, relevance)
    methods |= asymmetric.quantized_methods(*arguments, train, relevance)
    methods["activations"] = asymmetric.activation_method(*arguments, relevance)
    sizes = {name: method.size for name, method in methods.items()}
    assert sizes == {"hamming": 12, "asymmetric": 12, "rerank 20 asymmetric": 12, "rerank 20": 22, "euclidean": 28,
                     "int8": 13, "activations": 48}  # fmt: skip
    for name in ("euclidean", "int8", "activations"):  # without ties
        hits = Hits.concatenate([methods[name].search(row) for row in range(12)], MAX_HITS)
        np.testing.assert_allclose(methods[name].scores["map", 100], score_hits(hits, relevance)["map", 100])
    text = asymmetric.table(methods, num_timed=3)
    assert all(f"| {name} " in text for name in methods)
    assert "nan" not in text


@pytest.mark.train
def test_head_training_measures_seconds_and_accuracy() -> None:
    measured = head_training.measure(rows=2000, epochs=2, batch_size=16)
    assert measured["seconds"] > 0
    assert measured["val accuracy"] > 0.3  # 30 categories
