"""Processes other than rank 0: wait for jobs, run them, and end with the process that started them."""

import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import count
from typing import Any

import torch
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from torch import distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from fashion_lsh.training.messages import receive
from fashion_lsh.training.world import World

log = logging.getLogger(__name__)

FOREVER = timedelta(days=30)  # rank 0 may evaluate for hours between two jobs; a lost connection ends the wait
CONNECT_TIMEOUT = timedelta(minutes=10)  # until all processes have imported torch
COLLECTIVE_TIMEOUT = timedelta(minutes=30)
END = "end"  # announced instead of the device of a job


def connect(world: World, port: int | None = None) -> Store:
    """Connect to the store of all processes.

    Args:
        world: ranks of this process.
        port: port on this machine on which rank 0 serves the store (0: any free port); None: torchrun or Slurm has
            started the processes.
    """
    if port is not None:
        is_server = world.rank == 0
        arguments = ("127.0.0.1", port, None, is_server, CONNECT_TIMEOUT)
        return dist.TCPStore(*arguments, wait_for_workers=False)  # type: ignore[attr-defined]
    environ: dict[str, Any] = {"RANK": world.rank, "WORLD_SIZE": world.size}
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        slurm = SLURMEnvironment(auto_requeue=False)
        environ |= {"MASTER_ADDR": slurm.main_address, "MASTER_PORT": slurm.main_port}
    os.environ.update({name: str(value) for name, value in environ.items()})
    store: Store = next(iter(rendezvous("env://", timeout=CONNECT_TIMEOUT)))[0]
    return store


@contextmanager
def process_group(world: World, store: Store, job: str, device: str) -> Iterator[dist.ProcessGroup]:
    """Initialise torch.distributed for one job, and yield a group for Python objects.

    On the CPU, the processes of a machine share its threads.

    Args:
        world: ranks of this process.
        store: store of all processes.
        job: name of the job.
        device: `cuda` or `cpu`.
    """
    num_threads = torch.get_num_threads()
    if device == "cuda":
        torch.cuda.set_device(world.local_rank)
    else:
        torch.set_num_threads(max(1, num_threads // world.local_size))
    dist.init_process_group(
        "nccl" if device == "cuda" else "gloo", store=PrefixStore(job, store), rank=world.rank,
        world_size=world.size, timeout=COLLECTIVE_TIMEOUT,
    )  # fmt: skip
    try:
        control: Any = dist.new_group(backend="gloo", timeout=FOREVER)
        yield control
    finally:
        dist.destroy_process_group()
        torch.set_num_threads(num_threads)


def serve(world: World, store: Store) -> None:
    """Run the jobs of rank 0 until rank 0 announces the end; exit with status 1 after an error."""
    watch_parent(os.getppid())
    logging.getLogger().setLevel(logging.WARNING)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # rank 0 handles Ctrl-C and ends the other processes
    store.set(f"ready{world.rank}", "")
    for number in count():
        store.wait([f"job{number}"], FOREVER)
        device = store.get(f"job{number}").decode()
        if device == END:
            store.set(f"ended{world.rank}", "")
            return
        try:
            _run_job(world, store, f"job{number}", device)
        except BaseException as error:  # any error of the job ends all processes
            _end(world, store, error)


def serve_spawned() -> None:
    """Run the jobs of the process that started this one; its arguments are port, rank, count and pid of the parent."""
    port, rank, num_processes, parent = map(int, sys.argv[1:])
    if os.getppid() != parent:
        sys.exit(1)
    logging.basicConfig(format=f"rank {rank}: %(levelname)s: %(message)s")
    world = World(rank, num_processes, rank, num_processes)
    serve(world, connect(world, port))


def watch_parent(parent: int) -> None:
    """End this process within two seconds of its parent, even if the parent was killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, name="watch parent", daemon=True).start()


def is_connection_error(error: BaseException) -> bool:
    """Return True for an error that another process caused by ending: the connection to it was lost."""
    names = ("gloo", "nccl", "connection", "socket")
    return isinstance(error, RuntimeError) and any(name in str(error).lower() for name in names)


def read_failure(text: str) -> Exception:
    """Error that another process has reported: a ValueError, whose message is for users, or a RuntimeError."""
    content = json.loads(text)
    message = content["message"] if content["is_value_error"] else f"{content['type']}: {content['message']}"
    failure = ValueError(message) if content["is_value_error"] else RuntimeError(message)
    failure.add_note(f"raised in the process of rank {content['rank']}")
    return failure


def _run_job(world: World, store: Store, job: str, device: str) -> None:
    with process_group(world, store, job, device) as control:
        function, arguments = receive(control)
        dist.gather_object(function(world, *arguments), group=control)
    if device == "cuda":
        torch.cuda.empty_cache()


def _end(world: World, store: Store, error: BaseException) -> None:
    """Report an error to rank 0, unless it is only the loss of another process, and end this process at once.

    Without clean-up, since collectives in progress would block it; closing the sockets ends the other processes.
    """
    log.debug("rank %d", world.rank, exc_info=error)
    if not is_connection_error(error):
        content = {"rank": world.rank, "type": type(error).__name__, "message": str(error)}
        content["is_value_error"] = isinstance(error, ValueError)
        with suppress(RuntimeError):  # rank 0 has ended
            store.set("failure", json.dumps(content))
        if os.environ.get("TORCHELASTIC_RUN_ID"):  # torchrun ends rank 0 before it can print the error
            sys.stderr.write(f"rank {world.rank}: {type(error).__name__}: {error}\n")
            sys.stderr.flush()
    os._exit(1)
