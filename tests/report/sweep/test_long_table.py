"""Long table of a sweep."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fashion_lsh.metrics.results import Result, crop_condition
from fashion_lsh.report.sweep.jobs import read_jobs
from fashion_lsh.report.sweep.page import write_sweep_page
from fashion_lsh.runs.result_file import SCHEMA
from tests.report.sweep.factories import change_job, change_settings, job_path, write_job


def test_the_long_table_has_all_results_of_all_jobs(folder: Path) -> None:
    change_settings(folder, "bbbb0000", seed=7)
    change_job(folder, "bbbb0000", environment={"code_version": "0a0a"})
    write_sweep_page(folder)
    table = pq.read_table(folder / "results.parquet")
    jobs, _ = read_jobs(folder)
    assert table.column_names == ["job", "backbone.name", "version", *SCHEMA.names]
    rows = table.to_pylist()
    assert len(rows) == sum(len(job.results) for job in jobs.values()) == 5
    for key, backbone, seed, version in (("aaaa0000", "vgg16", 0, None), ("bbbb0000", "alexnet", 7, "0a0a")):
        own = [row for row in rows if row["job"] == key]
        assert {(row["backbone.name"], row["seed"], row["code_version"]) for row in own} == {(backbone, seed, version)}
        expected = {(row.method, row.metric, row.k or None): row.value for row in jobs[key].results}
        assert {(row["method"], row["metric"], row["k"]): row["value"] for row in own} == expected


def test_columns_are_those_of_the_results_file_of_a_job(folder: Path) -> None:
    write_sweep_page(folder)
    table = pq.read_table(folder / "results.parquet")
    job = pq.read_table(job_path(folder, "aaaa0000"))
    own = table.filter([key == "aaaa0000" for key in table["job"].to_pylist()]).select(SCHEMA.names)
    assert own.cast(job.schema).to_pylist() == job.to_pylist()
    assert own.schema.types == job.schema.types


def test_crop_modes_are_conditions_and_not_settings(folder: Path) -> None:
    tested = Result("accuracy", 0.5, method="classifier", condition=crop_condition("whole"))
    write_job(folder, "cccc0000", "resnet18", 0.5, tested)
    write_sweep_page(folder)
    table = pq.read_table(folder / "results.parquet")
    assert "tested on" not in table.column_names
    assert set(table["condition"].to_pylist()) == {None, "crop=whole"}


@pytest.mark.parametrize("value", [None, 12, 0.5, [0.5, 1.0], True])
def test_settings_are_text_and_missing_settings_are_null(folder: Path, value: object) -> None:
    change_settings(folder, "aaaa0000", option=value)
    change_settings(folder, "bbbb0000", option="other")
    write_sweep_page(folder)
    texts = pq.read_table(folder / "results.parquet")["option"].to_pylist()
    assert set(texts) == {None if value is None else str(value), "other"}


def test_the_table_of_a_single_job_has_no_settings(folder: Path, tmp_path: Path) -> None:
    (folder / "jobs" / "bbbb0000.parquet").unlink()
    write_sweep_page(folder)
    assert pq.read_table(folder / "results.parquet").column_names == ["job", *SCHEMA.names]
    copy = shutil.copytree(folder / "jobs", tmp_path / "copy" / "jobs").parent
    write_sweep_page(copy)  # results.parquet of the page is not a job
    assert (copy / "results.parquet").read_bytes() == (folder / "results.parquet").read_bytes()
