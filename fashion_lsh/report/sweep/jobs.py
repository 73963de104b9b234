"""Read the jobs of a sweep from job files or run folders."""

import logging
from dataclasses import dataclass
from pathlib import Path

from fashion_lsh.evaluation.query_table import QueryScores
from fashion_lsh.metrics.results import ResultTable
from fashion_lsh.report.page_file import Row
from fashion_lsh.report.phrases import hash_method, join_names
from fashion_lsh.runs.config import flatten
from fashion_lsh.runs.folder import RunFolder
from fashion_lsh.runs.job_file import job_files, queries_path
from fashion_lsh.runs.result_file import RESULTS_FILE, read_results_file

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """Settings and results of a job.

    Attributes:
        settings: settings by flat name.
        results: all results.
        queries: scores of the single queries; None if their file is missing.
        environment: machine and library versions.
    """

    settings: Row
    results: ResultTable
    queries: QueryScores | None
    environment: Row


def has_jobs(folder: Path) -> bool:
    """True if a folder contains job files or runs."""
    return (folder / "jobs").is_dir() or bool(_runs(folder))


def _runs(folder: Path) -> list[RunFolder]:
    """Runs in a folder, without the symbolic link to the latest run."""
    return [RunFolder(path.parent) for path in sorted(folder.glob("*/config.yaml")) if not path.parent.is_symlink()]


def read_jobs(folder: Path) -> tuple[dict[str, Job], list[Path]]:
    """Read the jobs of an experiment folder or of a folder of runs.

    Returns:
        Jobs by name, and the paths of unfinished runs.

    Raises:
        FileNotFoundError: there are no jobs, or no run is finished.
        ValueError: a job file is damaged.
    """
    if files := job_files(folder / "jobs"):
        return {path.stem: read_job(path) for path in files}, []
    runs = _runs(folder)
    invalid = [path.parent for path in folder.glob("*/*.ckpt") if not (path.parent / "config.yaml").is_file()]
    if invalid:
        log.warning("Skipped %s: no config.yaml", join_names(sorted(map(str, {*invalid}))))
    finished = [run for run in runs if run.metrics]
    if not finished:
        reason = "no run is finished" if runs else "no jobs/*.parquet and no run folders"
        raise FileNotFoundError(
            f"{folder}: {reason}; run the train command of the experiment, or report the folder that contains its jobs/"
        )
    jobs = {run.path.name: read_job(run.path / RESULTS_FILE) for run in finished}
    return jobs, [run.path for run in runs if not run.metrics]


def read_job(path: Path) -> Job:
    """Read the results file of a job or a run.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is damaged.
    """
    file = read_results_file(path)
    settings = {"hash": hash_method(file.settings.get("hash"))} | {
        name: value for name, value in flatten(file.settings) if name not in ("hash", "hash.loss", "hash.bihalf")
    }
    derived = {"data": file.data, "version": file.environment.get("fashion-lsh")}
    queries_file = queries_path(path)
    queries = QueryScores(queries_file, file.results.search) if queries_file.exists() else None
    return Job(settings | derived, file.results, queries, file.environment)
