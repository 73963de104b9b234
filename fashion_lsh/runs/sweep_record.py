"""Record of the jobs of a sweep: overrides, score, run folder, and the reason of a failure."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fashion_lsh.io.files import atomic_write

RECORD = "jobs.json"  # in the folder of a sweep, runs/.sweeps/<name>, next to multirun.yaml
SWEEPS = ".sweeps"


def update_record(sweep_folder: Path, records: Sequence[dict[str, Any]]) -> None:
    """Add the records of jobs; a record replaces an older one with the same overrides.

    Raises:
        ValueError: the existing record is damaged.
    """
    updated = _read(sweep_folder / RECORD) | {" ".join(record["overrides"]): record for record in records}
    with atomic_write(sweep_folder / RECORD) as temporary:
        temporary.write_text(json.dumps(updated, indent=1))


def failed_jobs(folder: Path) -> dict[str, str]:
    """Return overrides and reason of each job that failed in the sweep of a folder of runs, `runs/<name>`.

    Raises:
        ValueError: the record is damaged.
    """
    records = _read(folder.parent / SWEEPS / folder.name / RECORD)
    return {overrides: record["failure"] for overrides, record in records.items() if record["failure"]}


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    try:
        return {overrides: {**record, "failure": record["failure"]} for overrides, record in
                json.loads(path.read_text()).items()}  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}); remove it") from error
