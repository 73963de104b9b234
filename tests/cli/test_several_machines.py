"""`fashion-lsh train` in two processes of one machine, by torchrun over two nodes and by srun."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.factories import ROOT, SMALL, run_process, scores_without_times

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def start(prefix: list[str], arguments: list[str], **environ: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*prefix, "-m", "fashion_lsh", "train", *arguments], cwd=ROOT, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env=os.environ | {name: str(value) for name, value in environ.items()},
    )  # fmt: skip


def torchrun(arguments: list[str]) -> list[subprocess.Popen[str]]:
    """Start two nodes with one process each."""
    options = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d",
               f"--rdzv-endpoint=127.0.0.1:{free_port()}", "--rdzv-id=7"]  # fmt: skip
    return [start([sys.executable, *options], arguments) for _ in range(2)]


def srun(arguments: list[str]) -> list[subprocess.Popen[str]]:
    """Start two tasks on two nodes with the environment that srun sets."""
    step = {"SLURM_STEP_NUM_TASKS": 2, "SLURM_STEP_TASKS_PER_NODE": "1(x2)", "SLURM_NODELIST": "127.0.0.1",
            "SLURM_JOB_ID": 7, "SLURM_LOCALID": 0, "MASTER_PORT": free_port()}  # fmt: skip
    return [start([sys.executable], arguments, SLURM_PROCID=rank, **step) for rank in range(2)]


def test_all_launchers_give_the_same_scores(shapes: Path, tmp_path: Path) -> None:
    arguments = [*SMALL, f"data.root={shapes}", "hash.epochs=1"]
    printed = run_process("train", *arguments, f"runs={tmp_path / 'spawned'}", "trainer.devices=2")
    assert "Using 2 processes" in printed
    for name, launch in (("torchrun", torchrun), ("srun", srun)):
        processes = launch([*arguments, f"runs={tmp_path / name}"])
        outputs = [process.communicate(timeout=250)[0] for process in processes]
        assert [process.returncode for process in processes] == [0, 0], outputs
        assert sum("classifier: epoch 1/1" in output for output in outputs) == 1  # rank 0 alone reports
        folders = [(tmp_path / each / "latest").resolve() for each in ("spawned", name)]
        assert folders[0].name == folders[1].name  # the run key does not depend on the processes
        assert scores_without_times(folders[0]) == scores_without_times(folders[1])


def test_launchers_refuse_sweeps(shapes: Path, tmp_path: Path) -> None:
    arguments = ["-m", *SMALL, f"data.root={shapes}", f"runs={tmp_path}", "seed=0,1"]
    for process in srun(arguments):
        assert "start a sweep without them" in process.communicate(timeout=100)[0]
        assert process.returncode == 1
