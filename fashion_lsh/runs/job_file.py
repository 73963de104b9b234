"""Job files: results and query tables of finished runs, which remain when the run folders are deleted."""

import logging
import shutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fashion_lsh.io.files import atomic_write
from fashion_lsh.metrics.results import ResultTable
from fashion_lsh.runs.component_versions import used_versions
from fashion_lsh.runs.folder import RunFolder
from fashion_lsh.runs.keys import canonical_config
from fashion_lsh.runs.result_file import QUERIES_FILE, RESULTS_FILE, read_results_file

log = logging.getLogger(__name__)

QUERIES_SUFFIX = ".queries.parquet"  # a job has <key>.parquet with its results and <key>.queries.parquet


def load_results(run: RunFolder) -> ResultTable | None:
    """Load the results of the run from the run folder or the job file; None if the run is not finished.

    Raises:
        ValueError: a file is damaged.
    """
    job_path = _job_path(run)
    if run.metrics:
        return run.result_file.results
    if run.config["overwrite"] or job_path is None or not job_path.exists():
        return None
    log.info("Run already finished; using the scores in %s (overwrite=true repeats the run)", job_path)
    return read_results_file(job_path).results


def save_job(run: RunFolder) -> None:
    """Copy the results and the query table of a finished run to the folder `jobs` of the config.

    An existing copy is replaced only with overwrite=true.
    """
    job_path = _job_path(run)
    if not run.metrics or job_path is None:
        return
    if run.config["overwrite"] or not job_path.exists():
        copy_job(run, job_path)


def copy_job(run: RunFolder, job_path: Path) -> None:
    """Copy the results and the query table of a finished run; the results are written last.

    Raises:
        FileNotFoundError: a file of the run is missing; nothing is copied.
        OSError: a copy could not be written.
    """
    queries, results = (run.existing_file(name) for name in (QUERIES_FILE, RESULTS_FILE))
    for source, target in ((queries, queries_path(job_path)), (results, job_path)):
        with atomic_write(target) as temporary:
            shutil.copyfile(source, temporary)


def job_files(folder: Path) -> list[Path]:
    """Results files in a folder of job files."""
    return sorted(path for path in folder.glob("*.parquet") if not path.name.endswith(QUERIES_SUFFIX))


def queries_path(job_path: Path) -> Path:
    """Query table that belongs to a results file of a run folder or of a folder of job files."""
    if job_path.name == RESULTS_FILE:
        return job_path.with_name(QUERIES_FILE)
    return job_path.with_name(f"{job_path.stem}{QUERIES_SUFFIX}")


def is_saved(config: Mapping[str, Any], folder: Path) -> bool:
    """Return whether a folder of job files has scores for this config and versions of components, on any data."""
    settings = canonical_config(config)
    return (settings, used_versions(settings)) in _saved_configs(folder)


@cache
def _saved_configs(folder: Path) -> list[tuple[dict[str, Any], dict[str, int]]]:
    files = map(read_results_file, job_files(folder))
    return [(canonical_config(file.settings), file.components) for file in files]


def _job_path(run: RunFolder) -> Path | None:
    folder = run.config["jobs"]
    return Path(folder) / f"{run.path.name}.parquet" if folder else None
