"""What is compared: the jobs of an experiment, from the small files that they left, or from run folders."""

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
    """What a job tells: its settings, flat, its scores, those of each query where it has them, and what it was made
    on."""

    settings: Row
    metrics: dict[str, float]
    queries: QueryScores | None
    environment: Row


def has_jobs(folder: Path) -> bool:
    """Whether a folder holds files of jobs, or runs."""
    return (folder / "jobs").is_dir() or bool(_runs(folder))


def _runs(folder: Path) -> list[RunFolder]:
    """The runs that lie in a folder; the link to the latest is none."""
    return [RunFolder(path.parent) for path in sorted(folder.glob("*/config.yaml")) if not path.parent.is_symlink()]


def read_jobs(folder: Path) -> tuple[dict[str, Job], list[Path]]:
    """The jobs of an experiment's folder, or of a folder of runs, by their names; and the runs that are not finished.

    Raises:
        FileNotFoundError: there are none, or none is finished.
        ValueError: a file of a job is damaged.
    """
    files = sorted((folder / "jobs").glob("*.json"))
    if files:
        return {path.stem: parse_job(path, path.read_bytes()) for path in files}, []
    runs = _runs(folder)
    unknown = [path.parent for path in folder.glob("*/*.ckpt") if not (path.parent / "config.yaml").is_file()]
    if unknown:
        log.warning("left out, no config.yaml tells of what: %s", join_names(sorted(map(str, {*unknown}))))
    finished = [run for run in runs if run.metrics]
    if not finished:
        reason = f"none of {len(runs)} runs in {folder} is finished" if runs else f"no jobs/*.json in {folder}"
        raise FileNotFoundError(f"{reason}: type its train.py command, which makes them")
    return {run.path.name: parse_job(run.path / JOB, job_json(run)) for run in finished}, [
        run.path for run in runs if not run.metrics
    ]


def parse_job(path: Path, text: str | bytes) -> Job:
    """What the text of a job's file says.  Raises ValueError: it is damaged; names `path`."""
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
        raise ValueError(f"{path} is damaged ({error!r}): remove this file, and make it again") from error
