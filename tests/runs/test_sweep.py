"""Sweeps continue after a failed job and list it in the summary."""

import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, STDOUT
from types import SimpleNamespace

import pytest
import torch
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from fashion_lsh.runs.sweep import SweepSummary, print_user_errors
from fashion_lsh.runs.sweep_record import failed_jobs
from tests.cli.factories import run_script
from tests.runs.factories import tiny_backbone

pytestmark = pytest.mark.train

ROOT = Path(__file__).parents[2]
SCRIPT = """
import hydra

@hydra.main(version_base="1.3", config_path="conf", config_name="conf")
def main(cfg):
    with open("ran", "a") as file:
        file.write(f"{cfg.x} ")
    if cfg.x == 1:
        raise ValueError("x=1: invalid,\\nset x=0")
    if cfg.x == 2:
        raise KeyboardInterrupt
    return cfg.x / 2

main()
"""
EXPERIMENT = "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {x: '4,1,6'}}}\n"

RunApp = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_app(tmp_path: Path) -> RunApp:
    """Function that runs a fast script with the Hydra settings of evaluate.py: x=1 fails, x=2 simulates Ctrl-C."""
    hydra = yaml.safe_load((ROOT / "conf" / "evaluate.yaml").read_text())["hydra"]
    defaults = ["_self_", {"optional experiment": None}, {"override hydra/job_logging": "stdout"}]
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "three.yaml").write_text(EXPERIMENT)
    settings = {"defaults": defaults, "x": 0, "y": 0, "run": "here", "hydra": hydra}
    (tmp_path / "conf" / "conf.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "app.py").write_text(SCRIPT)

    def run(*args: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "app.py", *map(str, args)]
        return subprocess.run(
            command,
            cwd=tmp_path,
            stdout=PIPE,
            stderr=STDOUT,
            text=True,
            timeout=250,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )

    return run


def started_jobs(folder: Path) -> list[str]:
    return (folder / "ran").read_text().split()


def summary_lines(printed: str) -> list[str]:
    """Lines of the summary table below its header, single-spaced."""
    lines = [" ".join(line.split()) for line in printed.partition("Sweep of ")[2].splitlines()[2:]]
    return [line for line in lines if "fashion-lsh report" not in line]


def test_failed_job_does_not_stop_the_sweep(run_app: RunApp, tmp_path: Path) -> None:
    """All other jobs run, each job is logged once, and the summary lists all jobs."""
    done = run_app("-m", "y=5", "x=0,1,3")
    assert started_jobs(tmp_path) == ["0", "1", "3"]
    assert done.returncode == 1
    assert "Sweep of 3 jobs, 1 failed" in done.stdout
    assert summary_lines(done.stdout) == [
        "0 x=0 0.0000 here",
        "1 x=1 failed here: ValueError: x=1: invalid, set x=0",
        "2 x=3 1.5000 here",
    ]
    lines = done.stdout.splitlines()
    assert lines[: lines.index("")] == [
        "job 0: y=5 x=0", "job 1: y=5 x=1", "job 1 failed: ValueError: x=1: invalid, set x=0", "job 2: y=5 x=3",
    ]  # fmt: skip


def test_sweep_without_failures_leaves_no_files(run_app: RunApp, tmp_path: Path) -> None:
    done = run_app("-m", "x=0,3")
    assert done.returncode == 0, done.stdout
    assert "Sweep of 2 jobs, 0 failed" in done.stdout
    assert not list(tmp_path.glob("**/.sweep-*"))
    assert not list(tmp_path.glob("**/jobs.json"))  # only sweeps of train have a record


def test_ctrl_c_stops_the_sweep(run_app: RunApp, tmp_path: Path) -> None:
    done = run_app("-m", "x=0,2,3")
    assert started_jobs(tmp_path) == ["0", "2"]
    assert done.returncode != 0
    assert "Sweep of" not in done.stdout
    assert not list(tmp_path.glob("**/.sweep-*"))


def test_single_run_shows_its_traceback(run_app: RunApp, tmp_path: Path) -> None:
    done = run_app("x=1")
    assert done.returncode == 1
    assert "Error executing job" in done.stdout
    assert "raise ValueError" in done.stdout
    assert "Sweep of" not in done.stdout


def test_experiment_can_declare_a_sweep(run_app: RunApp, tmp_path: Path) -> None:
    done = run_app("experiment=three")
    assert started_jobs(tmp_path) == ["4", "1", "6"]
    assert done.returncode == 1
    assert [line.split()[:3] for line in summary_lines(done.stdout)] == [
        ["0", "x=4", "2.0000"],
        ["1", "x=1", "failed"],
        ["2", "x=6", "3.0000"],
    ]


def test_unknown_key_is_rejected_before_any_job(run_app: RunApp, tmp_path: Path) -> None:
    done = run_app("-m", "x=0,3", "z=1")
    assert done.returncode == 1
    assert "Could not override 'z'" in done.stdout
    assert not (tmp_path / "ran").exists()


def config(folder: Path, number: int, *overrides: str) -> DictConfig:
    hydra = {"sweep": {"dir": str(folder)}, "job": {"num": number}, "overrides": {"task": list(overrides)}}
    return OmegaConf.create({"hydra": hydra})


def job_return(cfg: dict[str, str], status: JobStatus, result: object) -> JobReturn:
    return JobReturn(cfg=OmegaConf.create(cfg), status=status, _return_value=result)


def test_jobs_of_other_processes_are_summarised(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each process has a copy of the callback; only the record folder is shared."""
    caplog.set_level("INFO")
    callback = SweepSummary()
    callback.on_multirun_start(config(tmp_path, 0))
    done, failed = (
        job_return({"run": "a"}, JobStatus.COMPLETED, 0.5),
        job_return({"run": "b"}, JobStatus.FAILED, OSError("full")),
    )
    for number, job in enumerate((done, failed)):
        pickle.loads(pickle.dumps(callback)).on_job_end(config(tmp_path, number, f"x={number}"), job)
    assert failed.status == JobStatus.COMPLETED
    assert failed.return_value is None  # a sweeper must not take it for a score
    with pytest.raises(SystemExit, match="1"):
        callback.on_multirun_end(config(tmp_path, 0))
    assert summary_lines(caplog.text) == ["0 x=0 0.5000 a", "1 x=1 failed b: OSError: full"]


def test_jobs_of_a_training_sweep_are_recorded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    sweep = tmp_path / ".sweeps" / "autumn"

    def run(*results: object) -> None:
        callback = SweepSummary()
        callback.on_multirun_start(config(sweep, 0))
        for number, result in enumerate(results):
            status = JobStatus.FAILED if isinstance(result, Exception) else JobStatus.COMPLETED
            callback.on_job_end(
                config(sweep, number, f"x={number}", "y=5"), job_return({"run": "a", "x": str(number)}, status, result)
            )
        training = OmegaConf.merge(config(sweep, 0), {"runs": str(tmp_path), "name": "autumn"})
        callback.on_multirun_end(training)  # type: ignore[arg-type]

    with pytest.raises(SystemExit, match="1"):
        run(0.5, OSError("full"), ValueError("two\nlines"))
    assert failed_jobs(tmp_path / "autumn") == {"x=1": "OSError: full", "x=2": "ValueError: two lines"}
    run(0.5, 0.25)  # the second job has finished, and the third was not repeated
    assert failed_jobs(tmp_path / "autumn") == {"x=2": "ValueError: two lines"}
    (sweep / "jobs.json").write_text("{")
    caplog.clear()
    with pytest.raises(SystemExit, match="1"):  # Hydra would ignore any other exception of a callback
        run(0.5)
    assert "jobs.json is damaged" in caplog.text
    assert "Sweep of 1 jobs" in caplog.text  # the summary is printed nevertheless


def test_the_folder_of_runs_that_an_experiment_names_is_printed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    callback = SweepSummary()
    callback.on_multirun_start(config(tmp_path / ".sweeps" / "main", 0))
    for number in range(2):
        job = job_return({"run": f"{tmp_path}/demo/{number}"}, JobStatus.COMPLETED, 0.5)
        callback.on_job_end(config(tmp_path, number, f"x={number}"), job)
    training = OmegaConf.merge(config(tmp_path, 0), {"runs": str(tmp_path), "name": "main"})
    callback.on_multirun_end(training)  # type: ignore[arg-type]
    assert f"fashion-lsh report {tmp_path}/demo\n" in caplog.text


def test_finished_single_run_removes_the_failure_of_its_job(tmp_path: Path) -> None:
    """The record of a sweep with another name, and of jobs with other settings, is not changed."""
    cfg = {"runs": str(tmp_path), "name": "autumn", "x": "1"}
    for name in ("autumn", "winter"):
        sweep, callback = tmp_path / ".sweeps" / name, SweepSummary()
        callback.on_multirun_start(config(sweep, 0))
        for x in ("1", "2"):
            job = job_return({**cfg, "name": name, "x": x}, JobStatus.FAILED, OSError("full"))
            callback.on_job_end(config(sweep, int(x), f"x={x}"), job)
        with pytest.raises(SystemExit):
            callback.on_multirun_end(OmegaConf.merge(config(sweep, 0), {**cfg, "name": name}))  # type: ignore[arg-type]
    single = SweepSummary()
    single.on_job_end(config(tmp_path, 0), job_return(cfg, JobStatus.FAILED, OSError("full")))
    assert failed_jobs(tmp_path / "autumn") == {"x=1": "OSError: full", "x=2": "OSError: full"}
    single.on_job_end(config(tmp_path, 0), job_return({**cfg, "overwrite": "true"}, JobStatus.COMPLETED, 0.5))
    assert failed_jobs(tmp_path / "autumn") == {"x=2": "OSError: full"}
    assert len(failed_jobs(tmp_path / "winter")) == 2


def test_missing_launcher_is_reported_with_its_extra(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for group in ("launcher", "sweeper"):
        node = {"hydra": {group: {"_target_": "hydra_plugins.not_installed.module.Plugin"}}}
        with pytest.raises(SystemExit, match="1"):
            SweepSummary().on_multirun_start(OmegaConf.merge(config(tmp_path, 0), node))  # type: ignore[arg-type]
        assert f"hydra/{group}: hydra_plugins.not_installed.module.Plugin" in (error := capsys.readouterr().err)
        assert "extra sweeps" in error
    assert not list(tmp_path.iterdir())


def test_threads_of_a_job_are_those_of_its_environment() -> None:
    before = torch.get_num_threads()
    try:
        for number in (3, 1):
            cfg = OmegaConf.merge(config(Path(), 0), {"hydra": {"job": {"env_set": {"OMP_NUM_THREADS": str(number)}}}})
            SweepSummary().on_job_start(cfg)  # type: ignore[arg-type]
            assert torch.get_num_threads() == number
        SweepSummary().on_job_start(config(Path(), 0))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_unwritable_job_record_leaves_the_job_failed(tmp_path: Path) -> None:
    summary, job = SweepSummary(), job_return({"run": "a"}, JobStatus.FAILED, ValueError("no"))
    summary.on_multirun_start(config(tmp_path, 0))
    summary.record_dir = tmp_path / "file" / "below"
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        summary.on_job_end(config(tmp_path, 0), job)
    assert job.status == JobStatus.FAILED


SMALL = ["backbone=resnet18", "data=folder", "data.image_size=32", "data.batch_size=16", "data.workers=0",
         "trainer=smoke", "classifier.epochs=1", "hash=none", "name=autumn"]  # fmt: skip


def test_repeated_sweep_runs_only_failed_jobs(shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An invalid setting and an invalid weights file fail; after a fix, only the failed job runs again."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    runs, weights = tmp_path / "runs", tmp_path / "weights.pt"
    weights.write_text("not weights")
    command = ["-m", *SMALL, f"data.root={shapes}", f"runs={runs}"]
    swept = f"backbone.weights=null,{weights}"
    first = run_script("train.py", *command, swept, "classifier.label_smoothing=0.1,2.0", status=1)
    assert "Sweep of 4 jobs, 3 failed" in first
    assert f"fashion-lsh report {runs}/autumn" in first
    assert (runs / ".sweeps/autumn/multirun.yaml").is_file()
    failures = failed_jobs(runs / "autumn")
    assert len(failures) == 3
    assert all(text.startswith("backbone.weights=") and "Error: " in reason for text, reason in failures.items())
    finished_line, invalid_line, failed_line, _ = summary_lines(first)
    [finished] = runs.glob("autumn/*/metrics.json")
    score = json.loads(finished.read_text())["search/category/map@100"]
    started = f"0 backbone.weights=null classifier.label_smoothing=0.1 {score:.4f} "
    metrics = json.loads(finished.read_text())
    shown = f"{metrics['search/item/recall@10']:.4f} {metrics['search/garment_bytes']:.0f} "
    shown += f"{metrics['search/latency_ms']:.2f}"
    assert finished_line == f"{started}{shown} {finished.parent}"
    assert "failed ValueError: classifier.label_smoothing=2.0: Input should be less than" in invalid_line
    assert re.search(rf"failed {runs}/autumn/\w{{8}}: \w+: .*{weights.name}", failed_line)
    assert len(list(runs.glob("autumn/*/wandb/offline-run-*"))) == 2  # one wandb run per job that started training

    torch.save(tiny_backbone("resnet18").network.state_dict(), weights)
    second = run_script("train.py", *command, swept, "classifier.label_smoothing=0.1")
    assert len(list(runs.glob("autumn/*/metrics.json"))) == 2
    assert len(list(finished.parent.glob("wandb/offline-run-*"))) == 1
    assert f"{score:.4f} {shown} {finished.parent}" in summary_lines(second)[0]
    assert second.count("epoch 1/") == 1  # only the failed job is trained
    remaining = failed_jobs(runs / "autumn")
    assert len(remaining) == 2  # with label_smoothing=2.0; the repeated jobs have finished
    assert remaining.items() <= failures.items()


def test_gpu_out_of_memory_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def task(cfg: DictConfig) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(HydraConfig, "get", lambda: SimpleNamespace(mode=RunMode.RUN))
    with pytest.raises(SystemExit):
        print_user_errors(task)(OmegaConf.create({}))
    stderr = capsys.readouterr().err
    assert "GPU out of memory; reduce data.batch_size" in stderr
    assert stderr.endswith("CUDA out of memory\n")
