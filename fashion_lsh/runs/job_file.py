"""Job files: config, environment and scores of runs, which remain when the run folders are deleted."""

import json
import logging
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.evaluation.query_scores import job_file_json, pack_scores
from fashion_lsh.io.arrays import read_arrays
from fashion_lsh.io.files import atomic_write
from fashion_lsh.runs.component_versions import used_versions
from fashion_lsh.runs.folder import OVERWRITE, RunFolder, validate_metrics
from fashion_lsh.runs.keys import canonical_config

log = logging.getLogger(__name__)

JOB = "job.json"  # name in a run folder; in a folder of job files, the name is <run key>.json


def load_scores(run: RunFolder) -> dict[str, float]:
    """Load the metrics of the run from the run folder or the job file; empty if the run is not finished.

    Raises:
        ValueError: metrics.json or the job file is damaged.
    """
    job_path = _job_path(run)
    if run.metrics or run.config["overwrite"] or job_path is None or not job_path.exists():
        return run.metrics
    log.info("Run already finished; using the scores in %s (overwrite=true repeats the run)", job_path)
    try:
        return validate_metrics(json.loads(job_path.read_text())["metrics"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{job_path} is damaged ({error!r}); remove it and run the command again") from error


def save_job(run: RunFolder) -> None:
    """Write the job file of a finished run, and copy the file to the folder `jobs` of the config.

    An existing copy is replaced only with overwrite=true.
    """
    if not run.metrics:
        return
    text, job_path = job_json(run), _job_path(run)
    if job_path and (run.config["overwrite"] or not job_path.exists()):
        with atomic_write(job_path) as temporary:
            temporary.write_text(text)


def job_json(run: RunFolder) -> str:
    """Return a JSON text of config, data, environment, metrics, and as many per-query scores as fit in MAX_JOB_BYTES.

    The text is cached in the run folder if the folder is writable, and updated if the metrics are newer.

    Raises:
        FileNotFoundError: the run is not finished, or a file of the run is missing.
        ValueError: metrics.json, environment.json or query_scores.npz of the run is damaged.
    """
    run.check_finished()
    job_path = run.path / JOB
    if job_path.exists() and job_path.stat().st_mtime_ns >= (run.path / "metrics.json").stat().st_mtime_ns:
        return job_path.read_text()
    environment, catalogue = run.read_json("environment.json"), Catalogue.open(run.existing_file("catalogue.parquet"))
    settings = canonical_config(run.config)
    content = {"settings": settings, "components": used_versions(settings), "data": catalogue.checksum[:8],
               "environment": environment}  # fmt: skip
    text = job_file_json(
        content | {"metrics": run.metrics}, _pack_query_scores(run.path / "query_scores.npz", catalogue)
    )
    if os.access(run.path, os.W_OK):
        with atomic_write(job_path) as temporary:
            temporary.write_text(text)
    return text


def is_saved(config: Mapping[str, Any], folder: Path) -> bool:
    """Return whether a folder of job files has scores for this config and versions of components, on any data."""
    settings = canonical_config(config)
    return (settings, used_versions(settings)) in _saved_configs(folder)


@cache
def _saved_configs(folder: Path) -> list[tuple[dict[str, Any], dict[str, int]]]:
    configs = []
    for file in sorted(folder.glob("*.json")):
        try:
            job = json.loads(file.read_text())
            configs.append((canonical_config(job["settings"]), dict(job["components"])))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{file} is damaged ({error!r}); remove it and run its job again") from error
    return configs


def _job_path(run: RunFolder) -> Path | None:
    folder = run.config["jobs"]
    return Path(folder) / f"{run.path.name}.json" if folder else None


def _pack_query_scores(scores_path: Path, catalogue: Catalogue) -> dict[str, str]:
    """Pack the per-query scores of a run; return an empty mapping if an older version wrote the run without them."""
    if not scores_path.exists():
        return {}
    try:
        return pack_scores(catalogue.take(catalogue.rows("query")), read_arrays(scores_path))
    except ValueError as error:
        raise ValueError(f"{scores_path} is damaged ({error}); {OVERWRITE}") from error
