"""Job files: content, and scores of deleted run folders."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fashion_lsh.evaluation.query_scores import unpack_scores

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.runs.job_file import load_scores, save_job
from fashion_lsh.runs.training_run import TrainingRun
from tests.runs.factories import (
    write_finished_run,
)


def test_job_file_keeps_scores_without_the_run_folder(
    config: dict[str, Any], data: GarmentData, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_finished_run(config, data)
    config = {**config, "jobs": str(tmp_path / "jobs")}
    run = TrainingRun.open(config, data)  # the run was finished before `jobs` was set
    save_job(run)
    [job] = (tmp_path / "jobs").iterdir()
    assert job.name == f"{run.path.name}.json"
    assert job.stat().st_size < 50_000
    saved = json.loads(job.read_text())
    assert saved["metrics"] == run.metrics == load_scores(run)
    assert str(tmp_path) not in job.read_text()
    shutil.rmtree(run.path)
    reopened = TrainingRun.open(config, data)
    assert reopened.metrics == {}
    with caplog.at_level(logging.INFO):
        assert load_scores(reopened) == saved["metrics"]
    assert reopened.summary.startswith(f"{reopened.path}: no model")
    with pytest.raises(FileNotFoundError, match=r"metrics\.json is missing.*overwrite=true"):
        reopened.check_finished()
    assert f"using the scores in {job}" in caplog.text
    assert load_scores(TrainingRun.open({**config, "overwrite": True}, data)) == {}
    assert load_scores(TrainingRun.open({**config, "jobs": None}, data)) == {}


def test_query_scores_are_saved_and_average_to_the_metrics(
    config: dict[str, Any], data: GarmentData, tmp_path: Path
) -> None:
    config = {**config, "jobs": str(tmp_path / "jobs")}
    run = write_finished_run(config, data)
    with np.load(run.path / "query_scores.npz", allow_pickle=False) as arrays:
        scores = dict(arrays)
    metric_names = {"query/accuracy", "query/category/map@100", "query/item/map@100", "query/item/recall@10"}
    assert set(scores) == metric_names | {"baselines/code/category/map@100"}
    assert all(values.dtype == np.float32 and len(values) == run.metrics["query/count"] for values in scores.values())
    for name in metric_names:
        assert np.nanmean(scores[name]) == pytest.approx(run.metrics[name], abs=1e-6)
    save_job(run)
    [job] = (tmp_path / "jobs").iterdir()
    saved = unpack_scores(json.loads(job.read_text())["queries"])
    assert set(saved.scores) == set(scores)
    for name, values in scores.items():
        assert saved.scores[name] == pytest.approx(values, abs=1e-5, nan_ok=True)
    items = data.catalogue.take(data.rows("query")).column("item")
    assert np.array_equal(items[saved.groups], items)


def test_job_without_query_scores_has_no_queries(config: dict[str, Any], data: GarmentData, tmp_path: Path) -> None:
    config = {**config, "jobs": str(tmp_path / "jobs")}
    run = write_finished_run(config, data)
    (run.path / "query_scores.npz").unlink()
    save_job(run)
    [job] = (tmp_path / "jobs").iterdir()
    assert "queries" not in json.loads(job.read_text())
