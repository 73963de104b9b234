"""Sweeps that outlive a failed job, and say at their end what became of each."""

import atexit
import functools
import json
import logging
import math
import os
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import InstantiationException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from tabulate import tabulate

from fashion_lsh.io.files import atomic_write
from fashion_lsh.runs.config import meant

log = logging.getLogger(__name__)

R = TypeVar("R")
TOLD = (ValueError, OSError, MemoryError, torch.OutOfMemoryError, OmegaConfBaseException)  # what a user can mend


class Summary(Callback):
    """Lets the other jobs of a sweep run when one fails; at the end lists all, and exits with 1 if any failed.

    Jobs may run in other processes, on other machines: what became of each goes through a small file, in a folder
    below the sweep's that is there as long as the sweep.  A single run is left alone, and so is Ctrl-C.
    """

    def __init__(self) -> None:
        self.notes: Path | None = None  # None: no sweep

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        self.notes = Path(tempfile.mkdtemp(prefix=".sweep-", dir=folder))
        atexit.register(shutil.rmtree, self.notes, ignore_errors=True)  # at the very end, after Ctrl-C too

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        if self.notes is not None:
            log.info("job %d: %s", config.hydra.job.num, " ".join(config.hydra.overrides.task))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Note what became of a job, and pass a failed one on as one without a score: Hydra stops at failures."""
        if self.notes is None:
            return
        failed = job_return.status == JobStatus.FAILED
        result = job_return._return_value  # the public one raises what the job raised
        note = {
            "job": config.hydra.job.num,
            "overrides": list(config.hydra.overrides.task),
            "score": None if failed else result,
            "failure": _reason(result) if failed else None,
            "run": _run_folder(job_return),
        }
        with atomic_write(self.notes / f"{config.hydra.job.num:06}.json") as temporary:
            temporary.write_text(json.dumps(note))
        if failed:
            log.error("job %d failed: %s", config.hydra.job.num, note["failure"])
            log.debug("job %d", config.hydra.job.num, exc_info=result)
            job_return.status, job_return.return_value = JobStatus.COMPLETED, math.nan

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        if self.notes is None:
            return
        notes = [json.loads(path.read_text()) for path in sorted(self.notes.glob("*.json"))]
        failed = sum(note["failure"] is not None for note in notes)
        log.info("\nSweep of %d jobs, %d failed\n%s", len(notes), failed, _listed(notes))
        if failed:
            sys.exit(1)


def errors_in_one_line(task: Callable[[DictConfig], R]) -> Callable[[DictConfig], R]:
    """Tell in one line what a user can mend, where Hydra would print tracebacks; HYDRA_FULL_ERROR=1 shows them.

    In a sweep all is raised as it is: Summary lists it.
    """

    @functools.wraps(task)
    def told_task(cfg: DictConfig) -> R:
        try:
            return task(cfg)
        except (*TOLD, InstantiationException) as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN or os.environ.get("HYDRA_FULL_ERROR"):
                raise
            cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
            if not isinstance(cause, TOLD):
                raise
            sys.stderr.write(f"{Path(sys.argv[0]).name}: {_words(cause)}\n")
            sys.exit(1)

    return told_task


def _listed(notes: Sequence[dict[str, Any]]) -> str:
    """One line a job: what tells it from the others, its score, and its run or why it failed."""
    shared = set.intersection(*(set(note["overrides"]) for note in notes)) if len(notes) > 1 else set()
    rows = []
    for note in notes:
        own = " ".join(word for word in note["overrides"] if word not in shared)
        score = "failed" if note["failure"] else "" if note["score"] is None else f"{note['score']:.4f}"
        rows.append((note["job"], own, score, ": ".join(filter(None, (note["run"], note["failure"])))))
    return tabulate(
        rows, headers=["job", "settings", "category mAP@100", "run"], tablefmt="plain", disable_numparse=True
    )


def _words(error: BaseException) -> str:
    """What was raised; where it is a GPU without room, with the way out."""
    if not isinstance(error, torch.OutOfMemoryError):
        return str(error)
    way_out = "fit in smaller batches (data.batch_size, scenes.batch_size), or leave it alone (CUDA_VISIBLE_DEVICES=)"
    return f"the GPU has no room: {way_out}: {error}"


def _reason(error: BaseException) -> str:
    """One line: what was raised, without Hydra's words around it."""
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    return textwrap.shorten(f"{type(error).__name__}: {_words(error)}", 300, placeholder=" …")


def _run_folder(job: JobReturn) -> str:
    """The folder of a job's run: the one it names, or the last that was begun with just its settings; else nothing."""
    cfg = cast(DictConfig, job.cfg)
    if "run" in cfg:
        return str(cfg.run)
    try:
        asked = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
        settings = yaml.safe_dump(meant(asked) if "hash" in asked else asked, sort_keys=False)
        begun = sorted(Path(cfg.runs, str(cfg.name)).glob("*/config.yaml"), key=lambda path: -path.stat().st_mtime)
        return str(next((path.parent for path in begun if path.read_text() == settings), ""))
    except (OmegaConfBaseException, OSError):  # settings that are not whole; a folder that is just begun afresh
        return ""
