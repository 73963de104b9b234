"""Record of the jobs of a sweep."""

import json
from pathlib import Path
from typing import Any

import pytest

from fashion_lsh.runs.sweep_record import failed_jobs, remove_failure, update_record


def record(overrides: str, failure: str | None) -> dict[str, Any]:
    """Record of a job whose config is given by its overrides in any order."""
    config = " ".join(sorted(overrides.split()))
    return {"job": 0, "overrides": overrides.split(), "config": config, "score": 0.5, "failure": failure, "run": "a"}


def test_failed_jobs_are_listed_with_their_reasons(tmp_path: Path) -> None:
    runs, sweep = tmp_path / "autumn", tmp_path / ".sweeps" / "autumn"
    assert failed_jobs(runs) == {}
    update_record(sweep, [record("seed=0", None), record("seed=1 hash=none", "OSError: full"), record("seed=2", "no")])
    assert failed_jobs(runs) == {"seed=1 hash=none": "OSError: full", "seed=2": "no"}
    assert failed_jobs(tmp_path / "winter") == {}


def test_a_later_job_with_the_same_config_replaces_the_record(tmp_path: Path) -> None:
    runs, sweep = tmp_path / "autumn", tmp_path / ".sweeps" / "autumn"
    update_record(sweep, [record("seed=0", "OSError: full"), record("seed=1", "no")])
    update_record(
        sweep, [record("seed=0", None), record("seed=2", "later")]
    )  # a repetition of some jobs, and a new job
    assert failed_jobs(runs) == {"seed=1": "no", "seed=2": "later"}
    assert list(json.loads((sweep / "jobs.json").read_text())) == ["seed=0", "seed=1", "seed=2"]


def test_only_a_failure_is_removed(tmp_path: Path) -> None:
    runs, sweep = tmp_path / "autumn", tmp_path / ".sweeps" / "autumn"
    remove_failure(sweep, "seed=0")
    assert not sweep.exists()
    update_record(sweep, [record("seed=0", None), record("seed=1", "no"), record("seed=2", "no")])
    for config in ("seed=0", "seed=1", "seed=3"):
        remove_failure(sweep, config)
    assert failed_jobs(runs) == {"seed=2": "no"}
    assert list(json.loads((sweep / "jobs.json").read_text())) == ["seed=0", "seed=2"]


def test_the_folder_of_a_sweep_is_created(tmp_path: Path) -> None:
    update_record(tmp_path / "new" / "folder", [record("seed=0", "no")])
    assert (tmp_path / "new" / "folder" / "jobs.json").is_file()


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"seed=0": {}}', '{"seed=0": 1}', '{"seed=0": null}'])
def test_a_damaged_record_raises_with_its_path(tmp_path: Path, content: str) -> None:
    path = tmp_path / ".sweeps" / "autumn" / "jobs.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(ValueError, match=rf"{path} is damaged"):
        failed_jobs(tmp_path / "autumn")
    with pytest.raises(ValueError, match=rf"{path} is damaged"):
        update_record(path.parent, [record("seed=0", None)])
    with pytest.raises(ValueError, match=rf"{path} is damaged"):
        remove_failure(path.parent, "seed=0")
    assert path.read_text() == content
