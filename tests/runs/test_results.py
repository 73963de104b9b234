"""Results of a run: codes, query rows, scores, and results of added search policies."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fashion_lsh.evaluation.results import write_queries
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.protocol import Results, encode_split
from fashion_lsh.evaluation.run_evaluation import RunEvaluation
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.models.classifier import ClassifierModel
from fashion_lsh.runs.results import add_search, write_results
from fashion_lsh.runs.training_run import TrainingRun
from fashion_lsh.search.policy import SearchPolicy
from tests.models.factories import save
from tests.runs.factories import (
    POLICY_DEFAULTS,
    classifier,
    evaluate_policy,
    hash_head,
    set_key,
    write_finished_run,
)


def query_rows(label: str, *values: float, **columns: list[Any]) -> pa.Table:
    return pa.table({"search": [label] * len(values), "score": list(values), **columns})


def test_policy_of_the_run_is_added_only_if_the_gallery_changed(config: dict[str, Any], data: GarmentData) -> None:
    run = write_finished_run(config, data)
    results = evaluate_policy(run, data, run.policy)
    before = run.metrics, pq.read_table(run.path / "queries.parquet")
    assert not add_search(run, run.policy.label, results)
    assert (run.metrics, pq.read_table(run.path / "queries.parquet")) == before
    larger_results = results._replace(metrics={**results.metrics, "query/gallery_rows": 99.0})
    assert add_search(run, run.policy.label, larger_results)
    table = pq.read_table(run.path / "queries.parquet")
    assert set(table["search"].to_pylist()) == {run.policy.label, f"{run.policy.label}@99"}
    assert run.metrics[f"baselines/{run.policy.label}@99/gallery_rows"] == 99
    assert run.metrics["query/gallery_rows"] == before[0]["query/gallery_rows"]


def test_finished_run_saves_codes_queries_and_metrics(config: dict[str, Any], data: GarmentData) -> None:
    run = write_finished_run(config, data)
    with np.load(run.path / "codes.npz", allow_pickle=False) as arrays:
        query, gallery = (encode_split(hash_head().model, data, split) for split in ("query", "gallery"))
        assert np.array_equal(arrays["query_codes"], query.encoded.codes)
        assert np.array_equal(arrays["gallery_codes"], gallery.encoded.codes)
        assert arrays["query_ids"].tolist() == query.catalogue.column("id").tolist()
        assert arrays["gallery_ids"].tolist() == gallery.catalogue.column("id").tolist()
    assert pq.read_table(run.path / "queries.parquet")["id"].to_pylist() == query.catalogue.column("id").tolist()
    assert run.metrics["baselines/random/category/map@100"] == 0.3
    assert run.metrics["query/count"] == len(query.catalogue)


def test_metrics_are_written_last(config: dict[str, Any], data: GarmentData, monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_full_disk(*args: Any) -> None:
        raise OSError("no space")

    monkeypatch.setattr("fashion_lsh.runs.results.write_queries", raise_full_disk)
    with pytest.raises(OSError, match="no space"):
        write_finished_run(config, data)
    assert TrainingRun.open(config, data).metrics == {}


def test_run_without_hash_layer_uses_the_classifier(config: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.open(set_key(config, "hash", None), data)
    save(classifier(), run.path / "classifier.ckpt")
    assert isinstance(run.model(), ClassifierModel)
    encoded_gallery, query = (encode_split(classifier().model, data, split) for split in ("gallery", "query"))
    gallery = Gallery.build(classifier().model, encoded_gallery.encoded, encoded_gallery.catalogue)
    gallery.save(run.gallery_folder)
    results = evaluate_policy(run, data, SearchPolicy("euclidean", 1, 200, **POLICY_DEFAULTS))
    write_results(run, query, gallery, RunEvaluation(results, {}, {}))
    with np.load(run.path / "codes.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"query_ids", "gallery_ids"}


def test_error_for_an_unfinished_run_contains_the_missing_file(config: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.open(config, data)
    with pytest.raises(FileNotFoundError, match=r"hash_head\.ckpt.*train\.py"):
        run.model()
    with pytest.raises(FileNotFoundError, match=r"gallery.*train\.py"):
        run.gallery(hash_head().model.fingerprint())
    with pytest.raises(FileNotFoundError, match=r"metrics\.json is missing.*train\.py"):
        add_search(run, "hamming_all", Results({"query/count": 1}, pa.table({"search": ["hamming_all"]}), None))  # type: ignore[arg-type]
    assert run.metrics == {}
    assert not (run.path / "queries.parquet").exists()


def test_query_rows_of_a_policy_replace_older_rows(config: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.open(config, data)
    for table in (query_rows("a", 1, 2), query_rows("b", 3), query_rows("a", 4), query_rows("b", 5, 6)):
        write_queries(run.path / "queries.parquet", table)
    table = pq.read_table(run.path / "queries.parquet")
    assert table["search"].to_pylist() == ["a", "b", "b"]
    assert table["score"].to_pylist() == [4, 5, 6]


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(
    writes=st.lists(st.tuples(st.sampled_from("abc"), st.lists(st.integers(0, 9), min_size=1, max_size=3)), max_size=6)
)
def test_only_the_last_query_rows_of_each_policy_remain(tmp_path: Path, writes: list[tuple[str, list[int]]]) -> None:
    (tmp_path / "config.yaml").touch()
    (tmp_path / "queries.parquet").unlink(missing_ok=True)
    last_values: dict[str, list[int]] = {}
    for label, values in writes:
        write_queries(tmp_path / "queries.parquet", query_rows(label, *values))
        last_values[label] = values
        table = pq.read_table(tmp_path / "queries.parquet").to_pylist()
        scores_by_label = {name: [row["score"] for row in table if row["search"] == name] for name in last_values}
        assert scores_by_label == last_values
        assert len(table) == sum(map(len, last_values.values()))


def test_query_rows_with_different_columns_are_concatenated(config: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.open(config, data)
    write_queries(run.path / "queries.parquet", query_rows("a", 1, item=["x"]))
    write_queries(run.path / "queries.parquet", query_rows("b", 2))
    assert pq.read_table(run.path / "queries.parquet")["item"].to_pylist() == ["x", None]


def test_another_policy_is_added_as_a_method(config: dict[str, Any], data: GarmentData) -> None:
    run = write_finished_run(config, data)
    own = run.metrics
    for _ in range(2):
        add_search(
            run,
            "hamming_all",
            results := evaluate_policy(run, data, SearchPolicy("hamming", "all", 200, **POLICY_DEFAULTS)),
        )
    added = {name: value for name, value in run.metrics.items() if name not in own}
    assert own.items() <= run.metrics.items()
    assert added["baselines/hamming_all/category/map@100"] == results.metrics["query/category/map@100"]
    assert added["baselines/hamming_all/search_ms"] == results.metrics["speed/search_ms"]
    assert all(name.startswith("baselines/hamming_all/") for name in added)
    labels = pq.read_table(run.path / "queries.parquet")["search"].to_pylist()
    count = len(data.rows("query"))
    assert labels == ["rerank200_1"] * count + ["hamming_all"] * count


def test_added_results_are_dropped_with_the_model(config: dict[str, Any], data: GarmentData) -> None:
    run = write_finished_run(config, data)
    add_search(run, "hamming_all", evaluate_policy(run, data, SearchPolicy("hamming", "all", 200, **POLICY_DEFAULTS)))
    (run.path / "metrics.json").unlink()  # as advised by error messages about damaged files
    write_finished_run(config, data)
    assert set(pq.read_table(run.path / "queries.parquet")["search"].to_pylist()) == {"rerank200_1"}
