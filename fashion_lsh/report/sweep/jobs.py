"""Read the jobs of a sweep from job files or run folders."""

import json
import logging
from pathlib import Path
from typing import NamedTuple

from fashion_lsh.evaluation.query_scores import QueryScores, unpack_scores
from fashion_lsh.report.page_file import Row
from fashion_lsh.report.phrases import hash_method, join_names
from fashion_lsh.runs.config import flatten
from fashion_lsh.runs.folder import RunFolder, validate_metrics
from fashion_lsh.runs.job_file import JOB, job_json

log = logging.getLogger(__name__)


class Job(NamedTuple):
    """Settings and results of a job.

    Attributes:
        settings: settings by flat name.
        metrics: metrics by flat name.
        queries: per-query scores; None if they were not saved.
        environment: machine and library versions.
    """

    settings: Row
    metrics: dict[str, float]
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
    files = sorted((folder / "jobs").glob("*.json"))
    if files:
        return {path.stem: parse_job(path, path.read_bytes()) for path in files}, []
    runs = _runs(folder)
    invalid = [path.parent for path in folder.glob("*/*.ckpt") if not (path.parent / "config.yaml").is_file()]
    if invalid:
        log.warning("Skipped %s: no config.yaml", join_names(sorted(map(str, {*invalid}))))
    finished = [run for run in runs if run.metrics]
    if not finished:
        reason = "no run is finished" if runs else "no jobs/*.json and no run folders"
        raise FileNotFoundError(f"{folder}: {reason}; run the train.py command of the experiment")
    return {run.path.name: parse_job(run.path / JOB, job_json(run)) for run in finished}, [
        run.path for run in runs if not run.metrics
    ]


def parse_job(path: Path, text: str | bytes) -> Job:
    """Parse the text of a job file.  Raises ValueError if it is damaged."""
    try:
        content = json.loads(text)
        settings, environment = content["settings"], content["environment"]
        flat_settings = {"hash": hash_method(settings.get("hash"))} | {
            name: value for name, value in flatten(settings) if name not in ("hash", "hash.loss", "hash.bihalf")
        }
        derived = {"data": content["data"], "version": environment["fashion-lsh"]}
        queries = unpack_scores(content["queries"]) if "queries" in content else None
        return Job(flat_settings | derived, validate_metrics(content["metrics"]), queries, environment)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error!r}); remove it and run its job again") from error
