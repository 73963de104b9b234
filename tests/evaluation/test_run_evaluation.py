"""All results of a run, with metrics of the fitted stages, in one table."""

from collections.abc import Callable

import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation import run_evaluation
from fashion_lsh.evaluation.protocol import encode_split, evaluate
from fashion_lsh.evaluation.run_evaluation import RunEvaluation, evaluate_run
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.metrics.results import ONE_LIST, SEARCH, WHOLE_GALLERY, Result
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.searcher import Searcher
from tests.evaluation.fake_model import BITS, FakeModel
from tests.search.factories import POLICY_DEFAULTS

FIT_METRICS = {"classifier": {"best_epoch": 3, "val/accuracy": 0.9}, "hash_head": {"val/accuracy": 0.8}}


@pytest.fixture
def evaluation(make_data: Callable[..., GarmentData], monkeypatch: pytest.MonkeyPatch) -> RunEvaluation:
    """Evaluation of a search in 2 lists, with a further crop mode and a corruption."""
    monkeypatch.setattr(run_evaluation, "measure_costs", lambda _: [Result("parameters", 7, method="model")])
    data = make_data(ratios={"train": 0.1, "val": 0.1, "query": 0.4, "gallery": 0.4})
    model = FakeModel(data.categories)
    model.fit_metrics = FIT_METRICS  # type: ignore[attr-defined]
    query, gallery = encode_split(model, data, "query"), encode_split(model, data, "gallery")
    policy = SearchPolicy("hamming", 2, 20, **POLICY_DEFAULTS)
    searcher = Searcher(model, Gallery.build(model, gallery.encoded, gallery.catalogue), policy)
    return evaluate_run(model, searcher, data, query, gallery, ["whole"], ["blur"])  # type: ignore[arg-type]


def test_every_result_has_its_own_flat_name(evaluation: RunEvaluation) -> None:
    results = evaluation.results
    assert results.search == ("hamming", "2 lists")
    assert len(results.flat()) == len(results)
    names = {
        "search/category/map@100", "search/item/recall@10", "search/latency_ms", "search/end_to_end_ms",
        "search/category/macro_map@100", "classifier/accuracy", "classifier/accuracy@5", "lsh/item/recall@10",
        "code/gallery/entropy", "code/category/radius_precision@2", "model/parameters", "data/garments",
        "data/gallery/garments", "crop=whole/search/category/map@100", "crop=whole/detector/undetected",
        "corruption=blur/classifier/accuracy",
    }  # fmt: skip
    assert names <= set(results.flat())


def test_fit_metrics_are_results_of_their_stage(evaluation: RunEvaluation) -> None:
    results = evaluation.results
    assert results.value("classifier", "best_epoch", split="train") == 3
    assert results.value("classifier", "accuracy", split="val") == 0.9
    assert results.value("hash_head", "accuracy", split="val") == 0.8
    assert results.value("classifier", "accuracy") != 0.9  # the accuracy of the queries


def test_the_query_table_has_the_search_and_all_baselines(evaluation: RunEvaluation) -> None:
    queries = evaluation.queries
    searches = dict.fromkeys(zip(queries["method"].to_pylist(), queries["scope"].to_pylist(), strict=True))
    assert next(iter(searches)) == ("hamming", "2 lists")
    assert set(searches) == set(evaluation.results.methods())
    assert {scope for _, scope in list(searches)[1:]} == {WHOLE_GALLERY, ONE_LIST}
    num_queries = len(evaluation.hits.rows)
    assert len(queries) == num_queries * len(searches)
    has_code = [code is not None and len(code) == -(-BITS // 8) for code in queries["code"].to_pylist()]
    assert has_code == [row < num_queries for row in range(len(queries))]


def test_the_search_is_evaluated_under_the_policy_of_the_run(
    evaluation: RunEvaluation, make_data: Callable[..., GarmentData]
) -> None:
    data = make_data(ratios={"train": 0.1, "val": 0.1, "query": 0.4, "gallery": 0.4})
    model = FakeModel(data.categories)
    query, gallery = encode_split(model, data, "query"), encode_split(model, data, "gallery")
    policy = SearchPolicy("hamming", 2, 20, **POLICY_DEFAULTS)
    searcher = Searcher(model, Gallery.build(model, gallery.encoded, gallery.catalogue), policy)
    for row in evaluate(searcher, query).results:
        if row.relevance:
            assert evaluation.results.value(SEARCH, row.metric, row.k, relevance=row.relevance) == row.value
