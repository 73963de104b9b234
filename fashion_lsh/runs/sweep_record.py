"""Record of the jobs of a sweep: overrides, score, run folder, and the reason of a failure."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fashion_lsh.io.files import atomic_write, folder_lock

RECORD = "jobs.json"  # in the folder of a sweep, runs/.sweeps/<name>, next to multirun.yaml
SWEEPS = ".sweeps"


def update_record(sweep_folder: Path, records: Sequence[dict[str, Any]]) -> None:
    """Add the records of jobs; a record replaces an older one with the same config.

    Raises:
        ValueError: the existing record is damaged.
    """
    with folder_lock(sweep_folder / RECORD, wait=True):
        _write(sweep_folder / RECORD, _read(sweep_folder / RECORD) | {record["config"]: record for record in records})


def remove_failure(sweep_folder: Path, config: str) -> None:
    """Remove the record of a failed job from a sweep, since a run with the same config has finished.

    Args:
        sweep_folder: folder of the sweep, `runs/.sweeps/<name>`; it need not exist.
        config: config hash of the finished run.

    Raises:
        ValueError: the record is damaged.
    """
    path = sweep_folder / RECORD
    if not path.exists():
        return
    with folder_lock(path, wait=True):
        records = _read(path)
        if config in records and records[config]["failure"]:
            _write(path, {name: record for name, record in records.items() if name != config})


def failed_jobs(folder: Path) -> dict[str, str]:
    """Return settings and reason of each job that failed in the sweep of a folder of runs, `runs/<name>`.

    Overrides that all recorded jobs have in common are omitted.

    Raises:
        ValueError: the record is damaged.
    """
    folder = folder.resolve()
    records = _read(folder.parent / SWEEPS / folder.name / RECORD)
    words = [record["overrides"] for record in records.values()]
    common = set.intersection(*map(set, words)) if len(words) > 1 else set()
    return {
        " ".join(word for word in record["overrides"] if word not in common): record["failure"]
        for record in records.values()
        if record["failure"]
    }


def _write(path: Path, records: Mapping[str, dict[str, Any]]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(records, indent=1))


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    try:
        records = json.loads(path.read_text())
        return {name: {**each, "overrides": list(each["overrides"]), "failure": each["failure"]}
                for name, each in records.items()}  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}); remove it") from error
