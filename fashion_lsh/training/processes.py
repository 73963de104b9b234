"""Run a function in several processes at once: those started here, by torchrun or by Slurm.

The process that the user started is rank 0. The other processes wait for jobs, which rank 0 announces in a TCPStore. A
job has its own process group: outside of jobs, torch.distributed is not initialised, so rank 0 can train on its own.
"""

import logging
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from torch import Tensor
from torch import distributed as dist
from torch.distributed.distributed_c10d import Store

from fashion_lsh.models.checkpoints import inference_device
from fashion_lsh.training.messages import broadcast, dump
from fashion_lsh.training.worker import END, connect, is_connection_error, process_group, read_failure, watch_parent
from fashion_lsh.training.world import Devices, World, launched_world, resolve_world

log = logging.getLogger(__name__)

START_TIMEOUT = 300  # seconds until a new process is ready
FAILURE_TIMEOUT = 3  # seconds until the reason for a lost connection is known
END_TIMEOUT = 10  # seconds until the other processes have ended
STUCK_TIMEOUT = 30  # seconds after which rank 0 ends if another process has died: NCCL may wait for it
RESUME = "run the command again to resume"


class Processes:
    """Processes that compute together; this process is rank 0.  Other processes are started for the first job.

    Args:
        world: ranks of this process.
        device: `cuda` or `cpu`.
        store: store of the processes that torchrun or Slurm has started, see `connect`; None: processes are started.
    """

    def __init__(self, world: World, device: str, store: Store | None = None) -> None:
        self.world, self.device = world, device
        self._store, self._is_launched = store, store is not None
        self._workers: list[subprocess.Popen[bytes]] = []
        self._num_jobs = 0

    @property
    def size(self) -> int:
        """Number of processes."""
        return self.world.size

    def run(
        self, function: Callable[..., Any], arguments: Sequence[Any], worker_arguments: Sequence[Any] | None = None
    ) -> list[Any]:
        """Call `function(world, *arguments)` in all processes; return the results by rank.

        Args:
            function: function that pickle can find by its name.
            arguments: arguments in this process.
            worker_arguments: arguments in the other processes, which are pickled; None: `arguments`.

        Raises:
            ValueError: the arguments cannot be pickled.
            ChildProcessError: another process was killed.
            Exception: any exception of `function` in any process.
        """
        if self.size == 1:
            return [function(self.world, *arguments)]
        message = _message(function, arguments if worker_arguments is None else worker_arguments, self.size)
        store, results = self._start(), [None] * self.size
        job, self._num_jobs = f"job{self._num_jobs}", self._num_jobs + 1
        done = threading.Event()
        threading.Thread(target=self._watch_workers, args=(done,), daemon=True).start()
        try:
            store.set(job, self.device)
            with process_group(self.world, store, job, self.device) as control:
                try:
                    broadcast(message, control)
                    dist.gather_object(function(self.world, *arguments), results, group=control)
                except BaseException as error:
                    failure = self._explain(error)
                    self._kill()
                    if failure is error:
                        raise
                    raise failure from error
        finally:
            done.set()
        return results

    def close(self) -> None:
        """End the other processes."""
        if self._store is None:
            return
        with suppress(RuntimeError):  # the launcher has ended the processes
            self._store.set(f"job{self._num_jobs}", END)
            if self._is_launched:
                names = [f"ended{rank}" for rank in range(1, self.size)]
                self._store.wait(names, timedelta(seconds=END_TIMEOUT))
        for worker in self._workers:
            with suppress(subprocess.TimeoutExpired):
                worker.wait(END_TIMEOUT)
        self._kill()

    def _start(self) -> Store:
        if self._store is not None:
            return self._store
        store = connect(self.world, port=0)
        port = store.port  # type: ignore[attr-defined]
        code = "from fashion_lsh.training.worker import serve_spawned; serve_spawned()"
        path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path)  # noqa: PTH100  "" is the working folder
        for rank in range(1, self.size):
            numbers = map(str, (port, rank, self.size, os.getpid()))
            self._workers.append(
                subprocess.Popen(
                    [sys.executable, "-c", code, *numbers], stdin=subprocess.DEVNULL,
                    env={**os.environ, "PYTHONPATH": path},
                )
            )  # fmt: skip
        self._store = store
        self._wait_until_ready(store)
        log.info("Using %d processes on this machine (trainer.devices)", self.size)
        return store

    def _wait_until_ready(self, store: Store) -> None:
        start = time.monotonic()
        while not store.check([f"ready{rank}" for rank in range(1, self.size)]):
            if self._dead_workers() or time.monotonic() - start > START_TIMEOUT:
                failure = self._dead_workers() or f"a process was not ready after {START_TIMEOUT} s"
                self._kill()
                raise ChildProcessError(f"trainer.devices={self.size}: {failure}; see the messages above")
            time.sleep(0.05)

    def _dead_workers(self) -> str:
        """Describe processes that have ended with an error; "" if all are running."""
        statuses = [(worker.poll() or 0, rank) for rank, worker in enumerate(self._workers, start=1)]
        for status, rank in sorted(statuses):  # signals are negative, and are the reason for other ends
            if status:
                how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
                return f"the process of rank {rank} {how}"
        return ""

    def _explain(self, error: BaseException) -> BaseException:
        """Reason for an error in a job: the error itself, the error of another process, or the end of that process."""
        if not is_connection_error(error):
            return error
        assert self._store is not None
        start = time.monotonic()
        while time.monotonic() - start < FAILURE_TIMEOUT:
            try:
                if self._store.check(["failure"]):
                    return read_failure(self._store.get("failure").decode())
            except RuntimeError:  # the store of the launcher has ended
                break
            if dead := self._dead_workers():
                return ChildProcessError(f"{dead}; {RESUME}")
            time.sleep(0.1)
        reason = str(error).strip().partition("\n")[0]
        return ChildProcessError(f"the connection to another process was lost ({reason}); {RESUME}")

    def _watch_workers(self, done: threading.Event) -> None:
        """End this process if another one has died and this one does not notice: NCCL may wait for it."""
        while not done.wait(1):
            if (dead := self._dead_workers()) and not done.wait(STUCK_TIMEOUT):
                sys.stderr.write(f"{dead}; {RESUME}\n")
                sys.stderr.flush()
                os._exit(1)

    def _kill(self) -> None:
        """End all processes that were started here; the next job starts new ones."""
        for worker in self._workers:
            worker.kill()
            worker.wait()
        if self._workers:
            self._workers, self._store, self._num_jobs = [], None, 0


_open: list[Processes] = []  # innermost last


@contextmanager
def open_processes(
    accelerator: str = "auto", devices: Devices = 1, num_nodes: int = 1, store: Store | None = None
) -> Iterator[Processes]:
    """Yield processes for the `with` block: those of an enclosing block with the same arguments, or new ones.

    Args:
        accelerator, devices, num_nodes: see `resolve_world`.
        store: store of the processes that torchrun or Slurm has started; None: connect to it, if they have.

    Raises:
        ValueError: torchrun or Slurm started this process with a rank above 0, which can only `serve`.
    """
    world, device = resolve_world(accelerator, devices, num_nodes), inference_device(accelerator).type
    if world.rank:
        raise ValueError(f"rank {world.rank}: torchrun and srun can start `fashion-lsh train` only; set devices")
    if _open and (_open[-1].world, _open[-1].device) == (world, device):
        yield _open[-1]
        return
    if launched_world():
        watch_parent(os.getppid())
        store = store or connect(world)
    processes = Processes(world, device, store)
    _open.append(processes)
    try:
        yield processes
    finally:
        _open.remove(processes)
        processes.close()


def _message(function: Callable[..., Any], arguments: Sequence[Any], num_processes: int) -> list[Tensor]:
    try:
        return dump((function, tuple(arguments)))
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise ValueError(
            f"trainer.devices={num_processes}: a part of the run cannot be sent to other processes ({error}); define "
            "your own classes and functions at the top level of a module, or set trainer.devices=1"
        ) from error
