"""Results of a run: long table, query rows, headline, and results of added search policies."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.protocol import SearchEvaluation, encode_split
from fashion_lsh.evaluation.query_table import write_queries
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.metrics.results import SEARCH, Result, ResultTable
from fashion_lsh.models.classifier import ClassifierModel
from fashion_lsh.runs.results import add_search, headline, write_results
from fashion_lsh.runs.training_run import TrainingRun
from fashion_lsh.search.policy import SearchPolicy
from tests.models.factories import save
from tests.runs.factories import (
    POLICY_DEFAULTS,
    classifier,
    evaluate_policy,
    file_names,
    hash_head,
    run_evaluation,
    set_key,
    write_finished_run,
)

HAMMING = SearchPolicy("hamming", "all", 200, **POLICY_DEFAULTS)
METHODS = [("a", "1 list"), ("a", "whole gallery"), ("b", "1 list")]


def query_rows(method: tuple[str, str], *values: float, **columns: list[Any]) -> pa.Table:
    keys = {name: [value] * len(values) for name, value in zip(("method", "scope"), method, strict=True)}
    return pa.table({**keys, "score": list(values), **columns})


def methods_of(path: Path) -> list[tuple[str, str]]:
    """Method and scope of each row of a query table."""
    table = pq.read_table(path)
    return list(zip(table["method"].to_pylist(), table["scope"].to_pylist(), strict=True))


def with_gallery(evaluation: SearchEvaluation, size: int, gallery: str) -> SearchEvaluation:
    """Evaluation with another number of garments in the gallery, and another hash of their ids."""
    results = [row._replace(value=float(size)) if row.metric == "garments" and row.split == "gallery" else row
               for row in evaluation.results]  # fmt: skip
    return evaluation._replace(results=results, gallery=gallery)


def test_policy_of_the_run_is_added_only_if_the_gallery_changed(
    config: dict[str, Any], data: GarmentData, caplog: pytest.LogCaptureFixture
) -> None:
    run = write_finished_run(config, data)
    evaluation = evaluate_policy(run, data, run.policy)
    files = [run.path / name for name in ("metrics.json", "results.parquet", "queries.parquet")]
    before, own = [path.read_bytes() for path in files], run.result_file.results
    assert add_search(run, evaluation) is None
    assert [path.read_bytes() for path in files] == before
    assert "gallery has changed" not in caplog.text
    added = add_search(run, with_gallery(evaluation, 99, "0a0b0c0d"))
    assert added is not None
    grown = (run.policy.method, f"{run.policy.scope}, 99 garments (0a0b0c0d)")
    assert added.search == grown
    assert "99 garments" in caplog.text
    assert set(methods_of(run.path / "queries.parquet")) == {
        (run.policy.method, run.policy.scope), grown, ("code", "whole gallery")
    }  # fmt: skip
    results = run.result_file.results
    assert results.search == own.search
    assert [row for row in results if row.scope != grown[1]] == own.rows  # with the size of the evaluated gallery
    assert {row.metric for row in results if row.scope == grown[1]} >= {"map", "recall", "latency_ms"}
    assert run.metrics == headline(own)


def test_a_gallery_with_other_garments_of_the_same_number_is_another_gallery(
    config: dict[str, Any], data: GarmentData
) -> None:
    run = write_finished_run(config, data)
    evaluation = evaluate_policy(run, data, run.policy)
    assert re.fullmatch("[0-9a-f]{8}", evaluation.gallery)
    size = len(data.rows("gallery"))
    added = add_search(run, with_gallery(evaluation, size, "0a0b0c0d"))
    assert added is not None
    assert added.search == (run.policy.method, f"{run.policy.scope}, {size} garments (0a0b0c0d)")


def test_finished_run_saves_results_queries_and_headline(config: dict[str, Any], data: GarmentData) -> None:
    run = write_finished_run(config, data)
    query = encode_split(hash_head().model, data, "query")
    table = pq.read_table(run.path / "queries.parquet")
    assert methods_of(run.path / "queries.parquet") == (
        [("rerank 1000", "1 list")] * len(query.catalogue) + [("code", "whole gallery")] * len(query.catalogue)
    )
    own = table.filter([method == "rerank 1000" for method in table["method"].to_pylist()])
    assert own["id"].to_pylist() == query.catalogue.column("id").tolist()
    assert query.encoded.codes is not None
    assert own["code"].to_pylist() == [code.tobytes() for code in query.encoded.codes]
    results = run.result_file.results
    assert results.value("random", "map", 100, relevance="category") == 0.3
    assert results.value("data", "garments") == len(query.catalogue)
    mean = np.nanmean(own["category/map@100"].to_numpy())
    assert results.value(SEARCH, "map", 100, relevance="category") == pytest.approx(mean, abs=1e-6)
    assert run.metrics["data/garments"] == len(query.catalogue)
    assert run.metrics == headline(results)


def test_results_record_settings_components_data_and_environment(config: dict[str, Any], data: GarmentData) -> None:
    run = write_finished_run(config, data)
    file = run.result_file
    assert file.settings["hash"]["bits"] == 7
    assert "root" not in file.settings["data"]  # settings without effect on the results
    assert "runs" not in file.settings
    assert "fashion_lsh.training.hash_head.HashHead" in file.components
    assert file.data == data.catalogue.checksum[:8]
    assert file.environment == run.read_json("environment.json")
    table = pq.read_table(run.path / "results.parquet")
    assert set(table["seed"].to_pylist()) == {config["seed"]}
    assert set(table["code_version"].to_pylist()) == {file.environment["code_version"]}


def test_the_headline_has_the_search_the_classifier_and_the_sizes_only() -> None:
    own: Any = {"method": "rerank 1000", "scope": "1 list"}
    rows = [
        Result("map", 0.5, k=100, relevance="category", **own), Result("recall", 0.25, k=10, relevance="item", **own),
        Result("latency_ms", 2.0, **own), Result("accuracy", 0.75, method="classifier"),
        Result("garments", 3, method="data"), Result("garments", 4, method="data", split="gallery"),
    ]  # fmt: skip
    others = [
        Result("map", 0.1, k=100, method="random", scope="whole gallery", relevance="category"),
        Result("map", 0.2, k=100, method="rerank 1000", scope="2 lists", relevance="category"),
        Result("map_best", 0.6, k=100, relevance="category", **own),
        Result("accuracy", 0.8, method="classifier", split="val"),
        Result("accuracy", 0.7, method="classifier", condition="crop=whole"),
        Result("map", 0.4, k=100, relevance="category", condition="crop=whole", **own),
        Result("parameters", 1e6, method="model"), Result("entropy", 0.9, method="code", split="gallery"),
    ]  # fmt: skip
    assert headline(ResultTable([*others, *rows], ("rerank 1000", "1 list"))) == {
        "search/category/map@100": 0.5, "search/item/recall@10": 0.25, "search/latency_ms": 2.0,
        "classifier/accuracy": 0.75, "data/garments": 3, "data/gallery/garments": 4,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["write_queries", "write_results_file"])
def test_metrics_are_written_last(
    name: str, config: dict[str, Any], data: GarmentData, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_full_disk(*args: Any) -> None:
        raise OSError("no space")

    monkeypatch.setattr(f"fashion_lsh.runs.results.{name}", raise_full_disk)
    with pytest.raises(OSError, match="no space"):
        write_finished_run(config, data)
    assert TrainingRun.open(config, data).metrics == {}


def test_run_without_hash_layer_uses_the_classifier(config: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.open(set_key(config, "hash", None), data)
    save(classifier(), run.path / "classifier.ckpt")
    assert isinstance(run.model(), ClassifierModel)
    encoded = encode_split(classifier().model, data, "gallery")
    gallery = Gallery.build(classifier().model, encoded.encoded, encoded.catalogue)
    gallery.save(run.gallery_folder)
    policy = SearchPolicy("euclidean", 1, 200, **POLICY_DEFAULTS)
    write_results(run, run_evaluation(evaluate_policy(run, data, policy), data))
    table = pq.read_table(run.path / "queries.parquet")
    assert table["code"].null_count == len(table)
    assert run.result_file.results.search == ("euclidean", "1 list")
    assert {row.bits for row in run.result_file.results if row.method == "euclidean"} == {0}


def test_error_for_an_unfinished_run_contains_the_missing_file(config: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.open(config, data)
    with pytest.raises(FileNotFoundError, match=r"hash_head\.ckpt.*train command"):
        run.model()
    with pytest.raises(FileNotFoundError, match=r"gallery.*gallery build"):
        run.gallery(hash_head().model.fingerprint())
    evaluation = SearchEvaluation([], query_rows(("hamming", "whole gallery"), 0.5), None, "")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=r"metrics\.json is missing.*train command"):
        add_search(run, evaluation)
    assert run.metrics == {}
    assert file_names(run.path).isdisjoint({"queries.parquet", "results.parquet"})


def test_query_rows_of_a_method_and_scope_replace_older_rows(tmp_path: Path) -> None:
    path, (first, second, third) = tmp_path / "queries.parquet", METHODS
    for table in (query_rows(first, 1, 2), query_rows(second, 3), query_rows(first, 4), query_rows(third, 5, 6)):
        write_queries(path, table)
    assert methods_of(path) == [second, first, third, third]
    assert pq.read_table(path)["score"].to_pylist() == [3, 4, 5, 6]
    write_queries(path, pa.concat_tables([query_rows(second, 7, 8), query_rows(third, 9)]))
    assert methods_of(path) == [first, second, second, third]
    assert pq.read_table(path)["score"].to_pylist() == [4, 7, 8, 9]


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(
    writes=st.lists(
        st.tuples(st.sampled_from(METHODS), st.lists(st.integers(0, 9), min_size=1, max_size=3)), max_size=6
    )
)
def test_only_the_last_query_rows_of_each_method_remain(
    tmp_path: Path, writes: list[tuple[tuple[str, str], list[int]]]
) -> None:
    path = tmp_path / "queries.parquet"
    path.unlink(missing_ok=True)
    last_values: dict[tuple[str, str], list[int]] = {}
    for method, values in writes:
        write_queries(path, query_rows(method, *values))
        last_values[method] = values
        scores = pq.read_table(path)["score"].to_pylist()
        pairs = list(zip(methods_of(path), scores, strict=True))
        assert {name: [score for key, score in pairs if key == name] for name in last_values} == last_values
        assert len(pairs) == sum(map(len, last_values.values()))


def test_query_rows_with_different_columns_are_concatenated(tmp_path: Path) -> None:
    write_queries(tmp_path / "queries.parquet", query_rows(METHODS[0], 1, item=["x"]))
    write_queries(tmp_path / "queries.parquet", query_rows(METHODS[1], 2))
    assert pq.read_table(tmp_path / "queries.parquet")["item"].to_pylist() == ["x", None]


@pytest.mark.parametrize("content", [b"", b"PAR1 and then nothing"])
def test_a_damaged_query_table_is_not_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "queries.parquet"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path} is damaged .*metrics\.json"):
        write_queries(path, query_rows(METHODS[0], 1))
    assert path.read_bytes() == content


def test_another_policy_is_added_as_a_method(config: dict[str, Any], data: GarmentData) -> None:
    run = write_finished_run(config, data)
    metrics, own = json.loads((run.path / "metrics.json").read_text()), run.result_file
    for _ in range(2):
        returned = add_search(run, evaluation := evaluate_policy(run, data, HAMMING))
    file = run.result_file
    added = [row for row in file.results if row not in own.results.rows]
    assert [row for row in file.results if row in own.results.rows] == own.results.rows
    assert added == [row for row in evaluation.results if row.method == "hamming"]
    assert {(row.method, row.scope, row.bits) for row in added if row.relevance} == {("hamming", "whole gallery", 7)}
    assert returned is not None
    assert returned.search == ("hamming", "whole gallery")
    assert returned.value(SEARCH, "map", 100, relevance="category") == file.results.value(
        "hamming", "map", 100, relevance="category"
    )
    assert file._replace(results=own.results) == own  # the record and the own search are unchanged
    assert file.results.search == own.results.search
    assert run.metrics == metrics
    count = len(data.rows("query"))
    assert methods_of(run.path / "queries.parquet") == [
        *[("rerank 1000", "1 list")] * count, *[("code", "whole gallery")] * count,
        *[("hamming", "whole gallery")] * count,
    ]  # fmt: skip


def test_other_cutoff_ranks_of_the_own_search_are_added(config: dict[str, Any], data: GarmentData) -> None:
    run = write_finished_run(config, data)
    own, content = run.result_file.results, (run.path / "queries.parquet").read_bytes()
    evaluation = evaluate_policy(run, data, run.policy)
    assert add_search(run, evaluation) is None
    other = [row._replace(k=7, value=0.25) for row in evaluation.results if row.metric == "recall" and row.k == 10]
    returned = add_search(run, evaluation._replace(results=[*evaluation.results, *other]))
    assert returned is not None
    assert returned.value(SEARCH, "recall", 7, relevance="category") == 0.25
    assert run.result_file.results.rows == [*own.rows, *other]
    assert (run.path / "queries.parquet").read_bytes() == content


def test_added_results_are_dropped_with_the_model(config: dict[str, Any], data: GarmentData) -> None:
    run = write_finished_run(config, data)
    add_search(run, evaluate_policy(run, data, HAMMING))
    (run.path / "metrics.json").unlink()  # as advised by error messages about damaged files
    write_finished_run(config, data)
    assert {method for method, _ in methods_of(run.path / "queries.parquet")} == {"rerank 1000", "code"}
    assert run.result_file.results.select(method="hamming") == []
