"""The file of a run's scores."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.query_scores import unpacked
from fashion_lsh.runs.job_file import keep_job, scores_of
from fashion_lsh.runs.training_run import TrainingRun
from tests.runs.factories import (
    finished,
)


def test_a_job_file_keeps_the_scores_when_the_folder_is_gone(
    settings: dict[str, Any], data: GarmentData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    finished(settings, data)
    settings = {**settings, "jobs": str(tmp_path / "jobs")}
    run = TrainingRun.begin(settings, data)  # finished before a folder for jobs was named
    keep_job(run)
    [job] = (tmp_path / "jobs").iterdir()
    assert job.name == f"{run.path.name}.json"
    assert job.stat().st_size < 50_000
    kept = json.loads(job.read_text())
    assert kept["metrics"] == run.metrics == scores_of(run)
    assert str(tmp_path) not in job.read_text()
    shutil.rmtree(run.path)
    again = TrainingRun.begin(settings, data)
    assert again.metrics == {}
    with caplog.at_level(logging.INFO):
        assert scores_of(again) == kept["metrics"]
    assert again.closing.startswith(f"{again.path} has no model, the scores are those that are kept: type its train.py")
    with pytest.raises(FileNotFoundError, match=r"type its train\.py command again, with fresh=true"):
        again.check_finished()
    assert f"scores read from {job}" in caplog.text
    assert scores_of(TrainingRun.begin({**settings, "fresh": True}, data)) == {}
    assert scores_of(TrainingRun.begin({**settings, "jobs": None}, data)) == {}


def test_scores_of_each_query_are_kept_and_their_means_are_the_metrics(
    settings: dict[str, Any], data: GarmentData, tmp_path: Path
) -> None:
    settings = {**settings, "jobs": str(tmp_path / "jobs")}
    run = finished(settings, data)
    with np.load(run.path / "scores.npz", allow_pickle=False) as arrays:
        scores = dict(arrays)
    own = {"query/accuracy", "query/category/map@100", "query/item/map@100", "query/item/recall@10"}
    assert set(scores) == own | {"rows/code/category/map@100"}
    assert all(values.dtype == np.float32 and len(values) == run.metrics["query/count"] for values in scores.values())
    for name in own:
        assert np.nanmean(scores[name]) == pytest.approx(run.metrics[name], abs=1e-6)
    keep_job(run)
    [job] = (tmp_path / "jobs").iterdir()
    kept = unpacked(json.loads(job.read_text())["queries"])
    assert set(kept.scores) == set(scores)
    for name, values in scores.items():
        assert kept.scores[name] == pytest.approx(values, abs=1e-5, nan_ok=True)
    items = data.catalogue.take(data.rows("query")).column("item")
    assert np.array_equal(items[kept.groups], items)


def test_a_run_that_kept_no_scores_of_queries_has_a_job_without(
    settings: dict[str, Any], data: GarmentData, tmp_path: Path
) -> None:
    settings = {**settings, "jobs": str(tmp_path / "jobs")}
    run = finished(settings, data)
    (run.path / "scores.npz").unlink()
    keep_job(run)
    [job] = (tmp_path / "jobs").iterdir()
    assert "queries" not in json.loads(job.read_text())
