"""The log of a run."""

import logging
from typing import Any

import pytest

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.runs.training_run import TrainingRun
from tests.disks import full_disk


def test_a_log_on_a_full_disk_is_named(settings: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.begin(settings, data)
    said = r"train\.log could not be written \(File too large\): free some space"
    with full_disk(0), pytest.raises(OSError, match=said), run.logged():
        logging.getLogger("fashion_lsh").warning("something")
    with run.logged():
        logging.getLogger("fashion_lsh").warning("all is well again")
    assert "all is well again" in (run.path / "train.log").read_text()


def test_a_failure_is_kept_in_the_log_and_raised(settings: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.begin(settings, data)
    with pytest.raises(RuntimeError, match="the power went out"), run.logged():
        raise RuntimeError("the power went out")
    assert "RuntimeError: the power went out" in (run.path / "train.log").read_text()


def test_a_run_that_another_process_makes_is_left_alone(settings: dict[str, Any], data: GarmentData) -> None:
    run = TrainingRun.begin(settings, data)
    with run.logged(), pytest.raises(ValueError, match="is in use by another process"):
        TrainingRun.begin({**settings, "jobs": str(run.path.parent / "jobs")}, data)
    assert run.config["jobs"] == settings["jobs"]
    with run.logged(), pytest.raises(ValueError, match="is in use by another process"), run.logged():
        pytest.fail("two had it")
    assert "failed" not in (run.path / "train.log").read_text()


def test_a_failure_is_told_in_the_runs_log(settings: dict[str, Any], data: GarmentData) -> None:
    run, handlers = TrainingRun.begin(settings, data), list(logging.getLogger().handlers)

    def work() -> None:
        logging.getLogger("fashion_lsh.test").warning("so far so good")
        raise ZeroDivisionError("by nothing")

    with pytest.raises(ZeroDivisionError), run.logged():
        work()
    text = (run.path / "train.log").read_text()
    assert "WARNING fashion_lsh.test: so far so good" in text
    assert f"ERROR fashion_lsh.runs.log: failed: {run.path}" in text
    assert "Traceback (most recent call last)" in text
    assert "ZeroDivisionError: by nothing" in text
    assert logging.getLogger().handlers == handlers


def test_the_log_of_a_run_grows_and_holds_its_own_alone(settings: dict[str, Any], data: GarmentData) -> None:
    run, log = TrainingRun.begin(settings, data), logging.getLogger("fashion_lsh.test")
    with run.logged():
        log.warning("first")
    log.warning("between")
    with run.logged():
        log.warning("second")
    lines = (run.path / "train.log").read_text().splitlines()
    assert [line.rpartition(" ")[2] for line in lines] == ["first", "second"]
