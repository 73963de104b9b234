"""Results of a run: codes, queries, scores, and those of further searches."""

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
from fashion_lsh.evaluation.protocol import Results, encode_part
from fashion_lsh.evaluation.results import write_queries
from fashion_lsh.evaluation.run_evaluation import RunEvaluation
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.models.classifier import ClassifierModel
from fashion_lsh.runs.results import add_search, write_results
from fashion_lsh.runs.training_run import TrainingRun
from fashion_lsh.search.policy import Search
from tests.models.factories import save
from tests.runs.factories import (
    PLAIN,
    changed,
    classifier,
    finished,
    hasher,
    searched,
)


def rows(label: str, *values: float, **columns: list[Any]) -> pa.Table:
    return pa.table({"search": [label] * len(values), "score": list(values), **columns})


def test_the_run_s_own_search_is_added_only_where_the_gallery_has_changed(
    settings: dict[str, Any], data: GarmentData
) -> None:
    run = finished(settings, data)
    again = searched(run, data, run.search)
    before = run.metrics, pq.read_table(run.path / "queries.parquet")
    assert not add_search(run, run.search.label, again)
    assert (run.metrics, pq.read_table(run.path / "queries.parquet")) == before
    grown = again._replace(metrics={**again.metrics, "query/gallery_rows": 99.0})
    assert add_search(run, run.search.label, grown)
    table = pq.read_table(run.path / "queries.parquet")
    assert set(table["search"].to_pylist()) == {run.search.label, f"{run.search.label}@99"}
    assert run.metrics[f"rows/{run.search.label}@99/gallery_rows"] == 99
    assert run.metrics["query/gallery_rows"] == before[0]["query/gallery_rows"]


def test_a_finished_run_has_its_codes_queries_and_scores(settings: dict[str, Any], data: GarmentData) -> None:
    run = finished(settings, data)
    with np.load(run.path / "codes.npz", allow_pickle=False) as arrays:
        query, gallery = (encode_part(hasher().model, data, part) for part in ("query", "gallery"))
        assert np.array_equal(arrays["query_codes"], query.encoded.codes)
        assert np.array_equal(arrays["gallery_codes"], gallery.encoded.codes)
        assert arrays["query_ids"].tolist() == query.catalogue.column("id").tolist()
        assert arrays["gallery_ids"].tolist() == gallery.catalogue.column("id").tolist()
    assert pq.read_table(run.path / "queries.parquet")["id"].to_pylist() == query.catalogue.column("id").tolist()
    assert run.metrics["rows/random/category/map@100"] == 0.3
    assert run.metrics["query/count"] == len(query.catalogue)


def test_scores_are_written_last(settings: dict[str, Any], data: GarmentData, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError("no space")

    monkeypatch.setattr("fashion_lsh.runs.results.write_queries", full)
    with pytest.raises(OSError, match="no space"):
        finished(settings, data)
    assert TrainingRun.begin(settings, data).metrics == {}


def test_a_run_without_a_hash_layer_is_answered_by_its_classifier(settings: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.begin(changed(settings, "hash", None), data)
    save(classifier(), run.path / "classifier.ckpt")
    assert isinstance(run.model(), ClassifierModel)
    gallery, query = (encode_part(classifier().model, data, part) for part in ("gallery", "query"))
    filed = Gallery.filed(classifier().model, gallery.encoded, gallery.catalogue)
    filed.save(run.gallery_folder)
    results = searched(run, data, Search("euclidean", 1, 200, **PLAIN))
    write_results(run, query, filed, RunEvaluation(results, {}, {}))
    with np.load(run.path / "codes.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"query_ids", "gallery_ids"}


def test_what_an_unfinished_run_lacks_is_named_with_the_way_out(settings: dict[str, Any], data: GarmentData) -> None:
    run, way_out = TrainingRun.begin(settings, data), r"type (its|the run's) train\.py command again"
    with pytest.raises(FileNotFoundError, match=rf"no checkpoint at .*hasher\.ckpt.*{way_out}"):
        run.model()
    with pytest.raises(FileNotFoundError, match=rf"no gallery in .*{way_out}"):
        run.gallery(hasher().model.fingerprint())
    with pytest.raises(FileNotFoundError, match=rf"has no metrics\.json: {way_out}"):
        add_search(run, "hamming_all", Results({"query/count": 1}, pa.table({"search": ["hamming_all"]}), None))  # type: ignore[arg-type]
    assert run.metrics == {}
    assert not (run.path / "queries.parquet").exists()


def test_rows_of_a_search_take_the_place_of_older_ones_of_the_same(settings: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.begin(settings, data)
    for table in (rows("a", 1, 2), rows("b", 3), rows("a", 4), rows("b", 5, 6)):
        write_queries(run.path / "queries.parquet", table)
    table = pq.read_table(run.path / "queries.parquet")
    assert table["search"].to_pylist() == ["a", "b", "b"]
    assert table["score"].to_pylist() == [4, 5, 6]


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20)
@given(
    written=st.lists(st.tuples(st.sampled_from("abc"), st.lists(st.integers(0, 9), min_size=1, max_size=3)), max_size=6)
)
def test_the_rows_that_are_left_are_the_last_of_each_search(
    tmp_path: Path, written: list[tuple[str, list[int]]]
) -> None:
    (tmp_path / "config.yaml").touch()
    (tmp_path / "queries.parquet").unlink(missing_ok=True)
    last: dict[str, list[int]] = {}
    for label, values in written:
        write_queries(tmp_path / "queries.parquet", rows(label, *values))
        last[label] = values
        table = pq.read_table(tmp_path / "queries.parquet").to_pylist()
        found = {name: [row["score"] for row in table if row["search"] == name] for name in last}
        assert found == last
        assert len(table) == sum(map(len, last.values()))


def test_searches_with_other_columns_stand_side_by_side(settings: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.begin(settings, data)
    write_queries(run.path / "queries.parquet", rows("a", 1, item=["x"]))
    write_queries(run.path / "queries.parquet", rows("b", 2))
    assert pq.read_table(run.path / "queries.parquet")["item"].to_pylist() == ["x", None]


def test_another_search_stands_beside_the_runs_own(settings: dict[str, Any], data: GarmentData) -> None:
    run = finished(settings, data)
    own = run.metrics
    for _ in range(2):
        add_search(run, "hamming_all", results := searched(run, data, Search("hamming", "all", 200, **PLAIN)))
    added = {name: value for name, value in run.metrics.items() if name not in own}
    assert own.items() <= run.metrics.items()
    assert added["rows/hamming_all/category/map@100"] == results.metrics["query/category/map@100"]
    assert added["rows/hamming_all/search_ms"] == results.metrics["speed/search_ms"]
    assert all(name.startswith("rows/hamming_all/") for name in added)
    labels = pq.read_table(run.path / "queries.parquet")["search"].to_pylist()
    count = len(data.rows("query"))
    assert labels == ["shortlist200_1"] * count + ["hamming_all"] * count


def test_what_was_added_goes_with_the_model_it_was_added_to(settings: dict[str, Any], data: GarmentData) -> None:
    run = finished(settings, data)
    add_search(run, "hamming_all", searched(run, data, Search("hamming", "all", 200, **PLAIN)))
    (run.path / "metrics.json").unlink()  # as the way out of a damaged file says; train.py then fits and scores anew
    finished(settings, data)
    assert set(pq.read_table(run.path / "queries.parquet")["search"].to_pylist()) == {"shortlist200_1"}
