"""Log file of a run."""

import logging
from typing import Any

import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.runs.training_run import TrainingRun
from tests.disks import full_disk


def test_full_disk_error_contains_the_log_file(config: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.open(config, data)
    message = r"train\.log could not be written \(File too large\)"
    with full_disk(0), pytest.raises(OSError, match=message), run.locked_log():
        logging.getLogger("fashion_lsh").warning("something")
    with run.locked_log():
        logging.getLogger("fashion_lsh").warning("written again")
    assert "written again" in (run.path / "train.log").read_text()


def test_exception_is_logged_and_raised(config: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.open(config, data)
    with pytest.raises(RuntimeError, match="the power went out"), run.locked_log():
        raise RuntimeError("the power went out")
    assert "RuntimeError: the power went out" in (run.path / "train.log").read_text()


def test_locked_run_is_rejected(config: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.open(config, data)
    with run.locked_log(), pytest.raises(ValueError, match="is in use by another process"):
        TrainingRun.open({**config, "jobs": str(run.path.parent / "jobs")}, data)
    assert run.config["jobs"] == config["jobs"]
    with run.locked_log(), pytest.raises(ValueError, match="is in use by another process"), run.locked_log():
        pytest.fail("two processes locked the run")
    assert "failed" not in (run.path / "train.log").read_text()


def test_traceback_is_written_to_the_log(config: dict[str, Any], data: GarmentData) -> None:
    run, handlers = TrainingRun.open(config, data), list(logging.getLogger().handlers)

    def work() -> None:
        logging.getLogger("fashion_lsh.test").warning("before the error")
        raise ZeroDivisionError("by nothing")

    with pytest.raises(ZeroDivisionError), run.locked_log():
        work()
    text = (run.path / "train.log").read_text()
    assert "WARNING fashion_lsh.test: before the error" in text
    assert f"ERROR fashion_lsh.runs.log: failed: {run.path}" in text
    assert "Traceback (most recent call last)" in text
    assert "ZeroDivisionError: by nothing" in text
    assert logging.getLogger().handlers == handlers


def test_log_is_appended_only_inside_the_block(config: dict[str, Any], data: GarmentData) -> None:
    run, log = TrainingRun.open(config, data), logging.getLogger("fashion_lsh.test")
    with run.locked_log():
        log.warning("first")
    log.warning("between")
    with run.locked_log():
        log.warning("second")
    lines = (run.path / "train.log").read_text().splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["first", "second"]
