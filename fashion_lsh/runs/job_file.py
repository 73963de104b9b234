"""The small file of a run's scores: all that tables need, and what outlives the run's folder."""

import json
import logging
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fashion_lsh import __version__
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.evaluation.query_scores import packed, with_queries
from fashion_lsh.io.arrays import read_arrays
from fashion_lsh.io.files import atomic_write
from fashion_lsh.runs.folder import RunFolder, numbers
from fashion_lsh.runs.keys import portable

log = logging.getLogger(__name__)

JOB = "job.json"  # in the run's own folder; elsewhere <key>.json


def scores_of(run: RunFolder) -> dict[str, float]:
    """The run's metrics, or those that a job file keeps of the same run; empty where it is finished nowhere.

    Raises:
        ValueError: the file is damaged.
    """
    kept = _kept(run)
    if run.metrics or run.config["fresh"] or kept is None or not kept.exists():
        return run.metrics
    log.info("finished before: scores read from %s; fresh=true makes the run again", kept)
    try:
        return numbers(json.loads(kept.read_text())["metrics"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{kept} is damaged ({error!r}): remove it, and type the command again") from error


def keep_job(run: RunFolder) -> None:
    """Write JOB into the folder of a finished run and, if its settings name a folder of jobs that lacks it, a copy
    there."""
    if not run.metrics:
        return
    text, kept = job_text(run), _kept(run)
    if kept and (run.config["fresh"] or not kept.exists()):
        with atomic_write(kept) as temporary:
            temporary.write_text(text)


def job_text(run: RunFolder) -> str:
    """JSON: settings, data, what it was made on, scores, and those of each query as far as JOB_BYTES allow.

    Kept in the run's folder where that takes files, and made anew where there are newer scores.

    Raises:
        FileNotFoundError: the run is not finished, or a file of it is missing.
        ValueError: its metrics.json, environment.json or scores.npz is damaged.
    """
    run.check_finished()
    kept = run.path / JOB
    if kept.exists() and kept.stat().st_mtime_ns >= (run.path / "metrics.json").stat().st_mtime_ns:
        return kept.read_text()
    about, split = run.read_json("environment.json"), Catalogue.open(run.file("split.parquet"))
    made = {"settings": portable(run.config), "data": split.checksum[:8], "environment": about}
    text = with_queries(made | {"metrics": run.metrics}, _packed(run.path / "scores.npz", split))
    if os.access(run.path, os.W_OK):
        with atomic_write(kept) as temporary:
            temporary.write_text(text)
    return text


def is_kept(settings: Mapping[str, Any], folder: Path) -> bool:
    """Whether a folder of job files holds the scores of these settings, made by this version, on whatever data."""
    return portable(settings) in _settings_kept(folder, __version__)


@cache
def _settings_kept(folder: Path, version: str) -> list[dict[str, Any]]:
    kept = []
    for file in sorted(folder.glob("*.json")):
        try:
            job = json.loads(file.read_text())
            if job["environment"]["fashion-lsh"] == version:
                kept.append(portable(job["settings"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{file} is damaged ({error!r}): remove it, and make its run again") from error
    return kept


def _kept(run: RunFolder) -> Path | None:
    folder = run.config["jobs"]
    return Path(folder) / f"{run.path.name}.json" if folder else None


def _packed(kept: Path, split: Catalogue) -> dict[str, str]:
    """The scores of a run's queries, small; none where it was made before they were kept."""
    if not kept.exists():
        return {}
    try:
        return packed(split.take(split.rows("query")), read_arrays(kept))
    except ValueError as error:
        raise ValueError(f"{kept} is damaged ({error}): make the run again, with fresh=true") from error
