"""Continue sweeps after failed jobs, print a summary of all jobs, and print user errors in one line."""

import atexit
import functools
import hashlib
import json
import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Callable
from importlib.util import find_spec
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

from fashion_lsh.io.files import atomic_write
from fashion_lsh.runs.config import resolve_config
from fashion_lsh.runs.keys import IGNORED_KEYS
from fashion_lsh.runs.sweep_record import SWEEPS, remove_failure, update_record
from fashion_lsh.runs.sweep_table import sweep_table

log = logging.getLogger(__name__)

R = TypeVar("R")
SCORE = "category mAP@100"  # of the queries, which a job returns without sweep.metric
USER_ERRORS = (ValueError, OSError, MemoryError, torch.OutOfMemoryError, OmegaConfBaseException)


class SweepSummary(Callback):
    """Hydra callback that continues a sweep after a failed job, lists all jobs, and exits with 1 if any job failed.

    Jobs may run in other processes or on other machines. Therefore each job writes its result to a small file in a
    temporary folder of the sweep. Single runs and Ctrl-C are not affected.
    """

    def __init__(self) -> None:
        self.record_dir: Path | None = None  # folder for the results of jobs; None outside sweeps

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _check_plugins(config)
        folder = Path(config.hydra.sweep.dir).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        self.record_dir = Path(tempfile.mkdtemp(prefix=".sweep-", dir=folder))
        atexit.register(shutil.rmtree, self.record_dir, ignore_errors=True)  # also after Ctrl-C

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        _prepare_process(config)
        if self.record_dir is not None:
            log.info("job %d: %s", config.hydra.job.num, " ".join(config.hydra.overrides.task))

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Record the result of a job; mark a failed job as completed without score, since Hydra stops at failures.

        A finished single run removes the failure of a job with the same config from the record of its sweep.
        """
        has_failed = job_return.status == JobStatus.FAILED
        if self.record_dir is None:
            cfg = cast(DictConfig, job_return.cfg)
            if not has_failed and "runs" in cfg:
                remove_failure(Path(cfg.runs, SWEEPS, str(cfg.name)), _config_hash(cfg))
            return
        result = job_return._return_value  # the public property would raise the exception of a failed job
        record = {
            "job": config.hydra.job.num,
            "overrides": list(config.hydra.overrides.task),
            "config": _config_hash(cast(DictConfig, job_return.cfg)),
            "score": None if has_failed else result,
            "failure": _failure_reason(result) if has_failed else None,
            "run": _run_folder(job_return),
        }
        with atomic_write(self.record_dir / f"{config.hydra.job.num:06}.json") as temporary:
            temporary.write_text(json.dumps(record))
        if has_failed:
            log.error("job %d failed: %s", config.hydra.job.num, record["failure"])
            log.debug("job %d", config.hydra.job.num, exc_info=result)
            job_return.status, job_return.return_value = JobStatus.COMPLETED, None

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        if self.record_dir is None:
            return
        records = [json.loads(path.read_text()) for path in sorted(self.record_dir.glob("*.json"))]
        num_failed = sum(record["failure"] is not None for record in records)
        metric, is_training = OmegaConf.select(config, "sweep.metric"), "runs" in config  # a sweep of train or evaluate
        table = sweep_table(records, metric or SCORE, with_metrics=is_training and not metric)
        log.info("\nSweep of %d jobs, %d failed\n%s", len(records), num_failed, table)
        if is_training:
            try:
                update_record(self.record_dir.parent, records)
            except (
                ValueError,
                OSError,
            ) as error:  # Hydra ignores exceptions of callbacks, so the exit status would be 0
                log.error("the jobs are not recorded for the report: %s", error)
                num_failed = num_failed or 1
            # the name of the runs, which an experiment of the sweep may set
            folders = sorted({str(Path(record["run"]).parent) for record in records if record["run"]})
            log.info(
                "Compare the runs: fashion-lsh report %s", " ".join(folders) or Path(config.runs, str(config.name))
            )
        if num_failed:
            sys.exit(1)


def print_user_errors(task: Callable[[DictConfig], R]) -> Callable[[DictConfig], R]:
    """Decorate a Hydra task to print errors that a user can fix in one line, without traceback.

    HYDRA_FULL_ERROR=1 shows the traceback. In a sweep, exceptions are raised unchanged, and SweepSummary lists them.
    """

    @functools.wraps(task)
    def wrapper(cfg: DictConfig) -> R:
        try:
            return task(cfg)
        except (*USER_ERRORS, InstantiationException) as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN or os.environ.get("HYDRA_FULL_ERROR"):
                raise
            cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
            if not isinstance(cause, USER_ERRORS):
                raise
            sys.stderr.write(f"{Path(sys.argv[0]).name}: {_error_message(cause)}\n")
            sys.exit(1)

    return wrapper


def _check_plugins(config: DictConfig) -> None:
    """Exit with 1 if launcher or sweeper are not installed; Hydra ignores other exceptions of callbacks."""
    for group in ("launcher", "sweeper"):
        target = OmegaConf.select(config, f"hydra.{group}._target_") or "hydra.main"
        if find_spec(".".join(target.split(".")[:2])) is None:
            sys.stderr.write(f"hydra/{group}: {target} is not installed; install the extra sweeps\n")
            sys.exit(1)


def _prepare_process(config: DictConfig) -> None:
    """Prepare the process of a job, which a launcher may have started.

    Worker processes of joblib set a start method of multiprocessing that only joblib's own processes support, so that
    a DataLoader could not start its workers; the default start method of the platform is restored. Threads: torch reads
    OMP_NUM_THREADS when it is imported, which is before Hydra sets the variables of `hydra.job.env_set`.
    """
    if multiprocessing.get_start_method(allow_none=True) == "loky":
        multiprocessing.set_start_method(None, force=True)
    num_threads = OmegaConf.select(config, "hydra.job.env_set.OMP_NUM_THREADS")
    if num_threads is not None:
        torch.set_num_threads(int(num_threads))


def _error_message(error: BaseException) -> str:
    """Message of an exception, with advice if the GPU is out of memory."""
    if not isinstance(error, torch.OutOfMemoryError):
        return str(error)
    hint = "reduce data.batch_size or scenes.batch_size, or run on the CPU (CUDA_VISIBLE_DEVICES=)"
    return f"GPU out of memory; {hint}: {error}"


def _failure_reason(error: BaseException) -> str:
    """Return one line with the type and message of an exception, without Hydra's wrapper."""
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    return textwrap.shorten(f"{type(error).__name__}: {_error_message(error)}", 300, placeholder=" …")


def comparable_settings(cfg: DictConfig) -> dict[str, Any]:
    """Return the settings of a job that affect its results, with unresolved interpolations."""
    config = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=False))
    config = {name: value for name, value in config.items() if name not in ("hydra", *IGNORED_KEYS)}
    if isinstance(config.get("data"), dict):
        config["data"] = {name: value for name, value in config["data"].items() if name != "workers"}
    return config


def _config_hash(cfg: DictConfig) -> str:
    """Hash of the settings of a job that affect its results; equal for overrides in other words."""
    return hashlib.sha256(json.dumps(comparable_settings(cfg), sort_keys=True).encode()).hexdigest()[:16]


def _run_folder(job: JobReturn) -> str:
    """Return `run` of the config, or the newest run folder with exactly this config, or an empty string."""
    cfg = cast(DictConfig, job.cfg)
    if "run" in cfg:
        return str(cfg.run)
    try:
        config = cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True))
        config_yaml = yaml.safe_dump(resolve_config(config) if "hash" in config else config, sort_keys=False)
        config_files = sorted(
            Path(cfg.runs, str(cfg.name)).glob("*/config.yaml"), key=lambda path: -path.stat().st_mtime
        )
        return str(next((path.parent for path in config_files if path.read_text() == config_yaml), ""))
    except (OmegaConfBaseException, OSError):  # incomplete config, or a folder that another process recreates
        return ""
