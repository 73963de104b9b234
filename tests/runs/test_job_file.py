"""Job files: content, and results of deleted run folders."""

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.query_table import QueryScores
from fashion_lsh.metrics.results import CLASSIFIER, SEARCH, Column
from fashion_lsh.runs.job_file import is_saved, job_files, load_results, queries_path, save_job
from fashion_lsh.runs.result_file import read_results_file
from fashion_lsh.runs.training_run import TrainingRun
from tests.runs.factories import file_names, set_key, write_finished_run

QUERY_COLUMNS = [
    Column(CLASSIFIER, "accuracy"),
    Column(SEARCH, "map", 100, "category"),
    Column(SEARCH, "map", 100, "item"),
    Column(SEARCH, "recall", 10, "item"),
    Column("code", "map", 100, "category"),
]


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """Folder of job files."""
    return tmp_path / "jobs"


@pytest.fixture
def config_with_jobs(config: dict[str, Any], jobs: Path) -> dict[str, Any]:
    return {**config, "jobs": str(jobs)}


def test_job_file_keeps_results_without_the_run_folder(
    config: dict[str, Any], config_with_jobs: dict[str, Any], data: GarmentData, jobs: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    write_finished_run(config, data)
    run = TrainingRun.open(config_with_jobs, data)  # the run was finished before `jobs` was set
    save_job(run)
    [job] = job_files(jobs)
    assert job.name == f"{run.path.name}.parquet"
    assert file_names(jobs) == {job.name, f"{run.path.name}.queries.parquet"}
    assert sum(path.stat().st_size for path in jobs.iterdir()) < 100_000
    assert job.read_bytes() == (run.path / "results.parquet").read_bytes()
    assert queries_path(job).read_bytes() == (run.path / "queries.parquet").read_bytes()
    saved, loaded = read_results_file(job).results, load_results(run)
    assert loaded is not None
    assert saved.flat() == loaded.flat() == run.result_file.results.flat()
    assert saved.flat().items() >= run.metrics.items()
    assert str(jobs.parent).encode() not in job.read_bytes()
    shutil.rmtree(run.path)
    reopened = TrainingRun.open(config_with_jobs, data)
    assert reopened.metrics == {}
    with caplog.at_level(logging.INFO):
        reloaded = load_results(reopened)
    assert reloaded is not None
    assert (reloaded.flat(), reloaded.search) == (saved.flat(), saved.search)
    assert reopened.summary.startswith(f"{reopened.path}: no model")
    with pytest.raises(FileNotFoundError, match=r"metrics\.json is missing.*overwrite=true"):
        reopened.check_finished()
    assert f"using the scores in {job}" in caplog.text
    assert load_results(TrainingRun.open({**config_with_jobs, "overwrite": True}, data)) is None
    assert load_results(TrainingRun.open({**config_with_jobs, "jobs": None}, data)) is None


def test_query_scores_are_saved_and_average_to_the_results(
    config_with_jobs: dict[str, Any], data: GarmentData, jobs: Path
) -> None:
    run = write_finished_run(config_with_jobs, data)
    save_job(run)
    [job] = job_files(jobs)
    results = read_results_file(job).results
    queries = QueryScores(queries_path(job), results.search)
    for column in QUERY_COLUMNS:
        scores, result = queries.scores(column), results.find(column)
        assert scores is not None
        assert result is not None
        assert len(scores) == results.value("data", "garments")
        assert np.nanmean(scores) == pytest.approx(result.value, abs=1e-6)
    garments = data.catalogue.take(data.rows("query"))
    assert queries.ids.tolist() == garments.column("id").tolist()
    items = garments.column("item")
    assert np.array_equal(items[queries.groups], items)


def test_the_query_table_belongs_to_the_results_file() -> None:
    assert queries_path(Path("runs/a/results.parquet")) == Path("runs/a/queries.parquet")
    assert queries_path(Path("jobs/0a1b2c3d.parquet")) == Path("jobs/0a1b2c3d.queries.parquet")


@pytest.mark.parametrize(("overwrite", "is_replaced"), [(False, False), (True, True)])
def test_an_existing_job_is_replaced_only_with_overwrite(
    overwrite: bool, is_replaced: bool, config_with_jobs: dict[str, Any], data: GarmentData, jobs: Path
) -> None:
    config = {**config_with_jobs, "overwrite": overwrite}
    run = write_finished_run(config, data)
    jobs.mkdir(exist_ok=True)
    job = jobs / f"{run.path.name}.parquet"
    job.write_text("earlier results")
    save_job(run)
    assert (job.read_bytes() == (run.path / "results.parquet").read_bytes()) == is_replaced
    assert queries_path(job).exists() == is_replaced


def test_a_job_is_not_saved_without_its_query_table(
    config_with_jobs: dict[str, Any], data: GarmentData, jobs: Path
) -> None:
    run = write_finished_run(config_with_jobs, data)
    (run.path / "queries.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"queries\.parquet.*overwrite=true"):
        save_job(run)
    assert job_files(jobs) == []


def test_an_unfinished_run_is_not_saved(config_with_jobs: dict[str, Any], data: GarmentData, jobs: Path) -> None:
    save_job(TrainingRun.open(config_with_jobs, data))
    assert job_files(jobs) == []


def test_a_damaged_job_raises_with_its_path(config_with_jobs: dict[str, Any], data: GarmentData, jobs: Path) -> None:
    run = TrainingRun.open(config_with_jobs, data)
    path = jobs / f"{run.path.name}.parquet"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=rf"{path} is damaged"):
        load_results(run)


def test_saved_configs_are_recognised_on_any_data(
    config_with_jobs: dict[str, Any], data: GarmentData, jobs: Path
) -> None:
    run = write_finished_run(config_with_jobs, data)
    save_job(run)
    [job] = job_files(jobs)
    assert pq.read_schema(job).metadata
    assert is_saved(config_with_jobs, jobs)
    assert is_saved({**config_with_jobs, "name": "other", "jobs": None}, jobs)  # without effect on the results
    assert not is_saved(set_key(config_with_jobs, "seed", 1), jobs)
    assert not is_saved(set_key(config_with_jobs, "hash.bits", 8), jobs)
    assert not is_saved(config_with_jobs, jobs.parent)  # no job files
