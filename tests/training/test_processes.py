"""Functions in several processes: results, errors, killed processes."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch import distributed as dist

from fashion_lsh.training.processes import Processes, open_processes
from fashion_lsh.training.world import World, launched_world, resolve_world
from tests.training.parallel import fail_in_rank, square_of_rank

ROOT = Path(__file__).parents[2]
SLEEP = """
import sys
from pathlib import Path
from fashion_lsh.training import processes
from fashion_lsh.training.world import World
from tests.training.parallel import sleep
processes.STUCK_TIMEOUT = 1
processes.Processes(World(0, 2, 0, 2), "cpu").run(sleep, (Path(sys.argv[1]),))
"""
TORCHRUN = {"TORCHELASTIC_RUN_ID": "7", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
SRUN = {
    "SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_STEP_TASKS_PER_NODE": "4(x2)",
}  # fmt: skip


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Environment of rank 0 of two processes on each of two machines."""
    for name, value in (
        TORCHRUN | {"RANK": "0", "WORLD_SIZE": "4", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
    ).items():
        monkeypatch.setenv(name, value)


def wait_for(path: Path, seconds: float = 120) -> int:
    deadline = time.monotonic() + seconds
    while not path.exists() or not path.read_text():
        assert time.monotonic() < deadline, path
        time.sleep(0.1)
    return int(path.read_text())


def is_running(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.train
def test_results_errors_and_ends_of_processes() -> None:
    with open_processes("cpu", 2) as processes:
        assert processes.run(square_of_rank, (0.5,), (2.0,)) == [(0.5, 1), (3.0, 1)]
        assert not dist.is_initialized()  # so that rank 0 can train on its own
        with open_processes("cpu", 2) as inner:
            assert inner is processes
        with pytest.raises(ValueError, match=r"data\.root=photos: missing") as caught:
            processes.run(fail_in_rank, (1, "error"))
        assert caught.value.__notes__ == ["raised in the process of rank 1"]
        with pytest.raises(ChildProcessError, match=r"rank 1 was ended by signal 9; .*resume"):  # started again
            processes.run(fail_in_rank, (1, "kill"))
        with pytest.raises(ValueError, match=r"data\.root=photos: missing"):
            processes.run(fail_in_rank, (0, "error"))
        assert processes.run(square_of_rank, (0,))[1] == (1, 1)
        [worker] = processes._workers
    assert worker.poll() == 0
    assert not dist.is_initialized()


def test_arguments_that_pickle_rejects_are_named() -> None:
    with pytest.raises(ValueError, match=r"^trainer\.devices=2: .*lambda"):
        Processes(World(0, 2, 0, 2), "cpu").run(square_of_rank, (lambda: 0,))


def test_one_process_needs_no_process_group() -> None:
    with open_processes("cpu") as processes:
        assert processes.run(lambda world, value: (world, value), (3,)) == [(World(), 3)]


@pytest.mark.train
@pytest.mark.parametrize("killed", ["the process of the user", "another process"])
def test_all_processes_end_if_one_is_killed(killed: str, tmp_path: Path) -> None:
    if killed == "another process":
        (tmp_path / "kill worker").touch()
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", SLEEP, tmp_path], stderr=subprocess.PIPE, env=environ) as parent:
        pids = [wait_for(tmp_path / str(rank)) for rank in range(2)]
        if killed == "the process of the user":
            parent.send_signal(signal.SIGKILL)
        start = time.monotonic()
        while any(map(is_running, pids)):
            time.sleep(0.1)
            assert time.monotonic() - start < 10
        if killed == "another process":
            assert b"the process of rank 1 was ended by signal 9" in parent.communicate()[1]
            assert parent.returncode == 1


@pytest.mark.parametrize(("environ", "expected"), [
    (TORCHRUN, World(5, 8, 1, 4)),
    (SRUN, World(5, 8, 1, 4)),
    (TORCHRUN | {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}, None),
    ({"SLURM_NTASKS": "2", "SLURM_PROCID": "0", "SLURM_JOB_ID": "7"}, None),  # a batch script, not started by srun
    ({"SLURM_STEP_NUM_TASKS": "1"}, None),
    ({}, None),
])  # fmt: skip
def test_world_of_a_launcher(environ: dict[str, str], expected: World | None) -> None:
    assert launched_world(environ) == expected


def test_nodes_with_unequal_numbers_of_tasks_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"^SLURM_STEP_TASKS_PER_NODE=2,1: .*--ntasks-per-node"):
        launched_world(SRUN | {"SLURM_STEP_NUM_TASKS": "3", "SLURM_STEP_TASKS_PER_NODE": "2,1"})


@pytest.mark.usefixtures("launched")
def test_settings_of_devices_must_fit_the_launcher() -> None:
    for devices, nodes in ((1, 1), (2, 2), ("auto", 1)):
        world = resolve_world("cpu", devices, nodes)  # type: ignore[arg-type]
        assert (world.rank, world.size, world.num_nodes) == (0, 4, 2)
    with pytest.raises(ValueError, match=r"^trainer\.devices=4, trainer\.num_nodes=1: .*2 processes on each of 2"):
        resolve_world("cpu", 4)


def test_more_devices_than_there_are_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert resolve_world("cpu", "auto").size == 1
    assert resolve_world("cpu", 3) == World(0, 3, 0, 3)
    with pytest.raises(ValueError, match=r"^trainer\.devices=4: this machine has 3 processor cores"):
        resolve_world("cpu", 4)
    with pytest.raises(ValueError, match=r"^trainer\.num_nodes=2: .*torchrun"):
        resolve_world("cpu", 1, 2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert resolve_world("auto", "auto").size == 2
    with pytest.raises(ValueError, match=r"^trainer\.devices=3: this machine has 2 GPUs; set .* at most 2"):
        resolve_world("gpu", 3)


def test_only_rank_0_of_a_launcher_opens_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (TORCHRUN | {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "RANK": "1"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="rank 1"), open_processes("cpu"):
        pass
