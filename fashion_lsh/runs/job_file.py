"""Job file: config, environment and scores of a run, kept after its folder is deleted."""

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
from fashion_lsh.runs.folder import OVERWRITE, RunFolder, validate_metrics
from fashion_lsh.runs.keys import canonical_config

log = logging.getLogger(__name__)

JOB = "job.json"  # in the run folder; <key>.json in a folder of jobs


def load_scores(run: RunFolder) -> dict[str, float]:
    """Metrics of the run, or those in its job file; empty if it is not finished.

    Raises:
        ValueError: the file is damaged.
    """
    saved = _saved_path(run)
    if run.metrics or run.config["overwrite"] or saved is None or not saved.exists():
        return run.metrics
    log.info("Run already finished; using the scores in %s (overwrite=true runs it again)", saved)
    try:
        return validate_metrics(json.loads(saved.read_text())["metrics"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{saved} is damaged ({error!r}); remove it and run the command again") from error


def save_job(run: RunFolder) -> None:
    """Write the job file of a finished run, and copy it to the folder `jobs` of its config.

    An existing copy is replaced only with overwrite=true.
    """
    if not run.metrics:
        return
    text, saved = job_json(run), _saved_path(run)
    if saved and (run.config["overwrite"] or not saved.exists()):
        with atomic_write(saved) as temporary:
            temporary.write_text(text)


def job_json(run: RunFolder) -> str:
    """JSON text: config, data, environment, metrics, and as many per-query scores as fit in JOB_BYTES.

    Cached in the run folder if that is writable, and updated if the metrics are newer.

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
    """Return whether a folder of job files has scores of this config and package version, on any data."""
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
            raise ValueError(f"{file} is damaged ({error!r}); remove it and run its job again") from error
    return saved


def _saved_path(run: RunFolder) -> Path | None:
    folder = run.config["jobs"]
    return Path(folder) / f"{run.path.name}.json" if folder else None


def _pack_query_scores(saved: Path, catalogue: Catalogue) -> dict[str, str]:
    """Packed per-query scores of a run; empty if an older version wrote it without them."""
    if not saved.exists():
        return {}
    try:
        return pack_scores(catalogue.take(catalogue.rows("query")), read_arrays(saved))
    except ValueError as error:
        raise ValueError(f"{saved} is damaged ({error}); {OVERWRITE}") from error
