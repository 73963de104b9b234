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
from fashion_lsh.evaluation.query_scores import pack_scores, with_query_scores
from fashion_lsh.io.arrays import read_arrays
from fashion_lsh.io.files import atomic_write
from fashion_lsh.runs.folder import RunFolder, validate_metrics
from fashion_lsh.runs.keys import canonical_config

log = logging.getLogger(__name__)

JOB = "job.json"  # in the run's own folder; elsewhere <key>.json


def load_scores(run: RunFolder) -> dict[str, float]:
    """The run's metrics, or those that a job file keeps of the same run; empty where it is finished nowhere.

    Raises:
        ValueError: the file is damaged.
    """
    saved = _saved_path(run)
    if run.metrics or run.config["overwrite"] or saved is None or not saved.exists():
        return run.metrics
    log.info("finished before: scores read from %s; overwrite=true makes the run again", saved)
    try:
        return validate_metrics(json.loads(saved.read_text())["metrics"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{saved} is damaged ({error!r}): remove it, and type the command again") from error


def save_job(run: RunFolder) -> None:
    """Write JOB into the folder of a finished run and, if its settings name a folder of jobs that lacks it, a copy
    there."""
    if not run.metrics:
        return
    text, saved = job_json(run), _saved_path(run)
    if saved and (run.config["overwrite"] or not saved.exists()):
        with atomic_write(saved) as temporary:
            temporary.write_text(text)


def job_json(run: RunFolder) -> str:
    """JSON: settings, data, what it was made on, scores, and those of each query as far as JOB_BYTES allow.

    Kept in the run's folder where that takes files, and made anew where there are newer scores.

    Raises:
        FileNotFoundError: the run is not finished, or a file of it is missing.
        ValueError: its metrics.json, environment.json or query_scores.npz is damaged.
    """
    run.check_finished()
    saved = run.path / JOB
    if saved.exists() and saved.stat().st_mtime_ns >= (run.path / "metrics.json").stat().st_mtime_ns:
        return saved.read_text()
    machine, catalogue = run.read_json("environment.json"), Catalogue.open(run.existing_file("catalogue.parquet"))
    content = {"settings": canonical_config(run.config), "data": catalogue.checksum[:8], "environment": machine}
    text = with_query_scores(
        content | {"metrics": run.metrics}, _pack_query_scores(run.path / "query_scores.npz", catalogue)
    )
    if os.access(run.path, os.W_OK):
        with atomic_write(saved) as temporary:
            temporary.write_text(text)
    return text


def is_saved(config: Mapping[str, Any], folder: Path) -> bool:
    """Whether a folder of job files holds the scores of these settings, made by this version, on whatever data."""
    return canonical_config(config) in _saved_configs(folder, __version__)


@cache
def _saved_configs(folder: Path, version: str) -> list[dict[str, Any]]:
    saved = []
    for file in sorted(folder.glob("*.json")):
        try:
            job = json.loads(file.read_text())
            if job["environment"]["fashion-lsh"] == version:
                saved.append(canonical_config(job["settings"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{file} is damaged ({error!r}): remove it, and make its run again") from error
    return saved


def _saved_path(run: RunFolder) -> Path | None:
    folder = run.config["jobs"]
    return Path(folder) / f"{run.path.name}.json" if folder else None


def _pack_query_scores(saved: Path, catalogue: Catalogue) -> dict[str, str]:
    """The scores of a run's queries, small; none where it was made before they were kept."""
    if not saved.exists():
        return {}
    try:
        return pack_scores(catalogue.take(catalogue.rows("query")), read_arrays(saved))
    except ValueError as error:
        raise ValueError(f"{saved} is damaged ({error}): make the run again, with overwrite=true") from error
