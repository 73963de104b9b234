"""Reading jobs from job files and run folders."""

import logging
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fashion_lsh.report.sweep.jobs import has_jobs, read_jobs
from fashion_lsh.report.sweep.page import write_sweep_page
from fashion_lsh.runs.job_file import copy_job
from tests.report.factories import MakeRun


@pytest.mark.parametrize("content", [b"", b"PAR1 and then nothing"])
@pytest.mark.parametrize("suffix", [".parquet", ".queries.parquet"])
def test_a_damaged_file_raises_with_its_path(methods: Path, suffix: str, content: bytes) -> None:
    (methods / "jobs" / f"bbbb0001{suffix}").write_bytes(content)
    with pytest.raises(ValueError, match=rf"bbbb0001{suffix}"):
        write_sweep_page(methods)


def test_a_query_table_without_items_raises_with_its_path(methods: Path) -> None:
    path = methods / "jobs" / "aaaa0000.queries.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["item"]), path)
    with pytest.raises(ValueError, match=r"aaaa0000\.queries\.parquet.*item"):
        write_sweep_page(methods)


def test_query_tables_are_not_jobs(methods: Path) -> None:
    jobs, unfinished = read_jobs(methods)
    assert len(jobs) == 20
    assert unfinished == []
    assert all((job.queries is None) == name.startswith("dddd") for name, job in jobs.items())


def test_a_run_and_its_job_file_have_the_same_content(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    copy_job(run, tmp_path / "jobs" / "one.parquet")
    [from_run], [from_file] = (read_jobs(folder)[0].values() for folder in (run.path.parent, tmp_path))
    assert from_run.settings == from_file.settings
    assert from_run.environment == from_file.environment
    assert from_run.results.flat() == from_file.results.flat()
    assert from_run.queries is not None
    assert from_file.queries is not None
    assert from_run.queries.ids.tolist() == from_file.queries.ids.tolist()
    assert from_run.settings["hash"] == "softmax"
    assert from_run.settings["hash.bits"] == 12
    assert "data.root" not in from_run.settings


def test_unfinished_runs_and_other_folders_are_skipped(make_run: MakeRun, caplog: pytest.LogCaptureFixture) -> None:
    finished, unfinished = make_run(key="aaaa0000"), make_run(key="bbbb0000")
    (unfinished.path / "metrics.json").unlink()
    other = finished.path.parent / "cccc0000"
    other.mkdir()
    (other / "classifier.ckpt").touch()
    (finished.path.parent / "latest").symlink_to("aaaa0000")
    with caplog.at_level(logging.WARNING):
        jobs, paths = read_jobs(finished.path.parent)
    assert list(jobs) == ["aaaa0000"]
    assert paths == [unfinished.path]
    assert str(other) in caplog.text
    (finished.path / "metrics.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no run is finished.*jobs/"):
        read_jobs(finished.path.parent)


def test_only_folders_with_jobs_or_runs_have_jobs(methods: Path, make_run: MakeRun, tmp_path: Path) -> None:
    assert has_jobs(methods)
    assert has_jobs(make_run().path.parent)
    assert not has_jobs(tmp_path / "runs")
    with pytest.raises(FileNotFoundError, match=r"jobs/\*\.parquet"):
        read_jobs(tmp_path / "runs")
