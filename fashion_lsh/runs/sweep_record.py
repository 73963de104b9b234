"""Record of the jobs of a sweep: overrides, score, run folder, and the reason of a failure."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fashion_lsh.io.files import atomic_write

RECORD = "jobs.json"  # in the folder of a sweep, runs/.sweeps/<name>, next to multirun.yaml
SWEEPS = ".sweeps"


def update_record(sweep_folder: Path, records: Sequence[dict[str, Any]]) -> None:
    """Add the records of jobs; a record replaces an older one with the same config.

    Raises:
        ValueError: the existing record is damaged.
    """
    updated = _read(sweep_folder / RECORD) | {record["config"]: record for record in records}
    with atomic_write(sweep_folder / RECORD) as temporary:
        temporary.write_text(json.dumps(updated, indent=1))


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


def _read(path: Path) -> dict[str, dict[str, Any]]:
    if not path.exists():
        return {}
    try:
        records = json.loads(path.read_text())
        return {name: {**each, "overrides": list(each["overrides"]), "failure": each["failure"]}
                for name, each in records.items()}  # fmt: skip
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}); remove it") from error
