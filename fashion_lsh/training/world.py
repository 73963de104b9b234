"""Number and ranks of the processes of a run: started by this package, by torchrun or by Slurm."""

import os
from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment

from fashion_lsh.data.ranks import Ranks
from fashion_lsh.models.checkpoints import inference_device

Devices = int | Literal["auto"]


class World(NamedTuple):
    """Rank of this process among all processes of a run, one per device.

    Attributes:
        rank, size: rank of this process, and number of processes.
        local_rank, local_size: the same among the processes of this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def num_nodes(self) -> int:
        """Number of machines."""
        return self.size // self.local_size

    @property
    def ranks(self) -> Ranks:
        """Share of this process in each batch."""
        return Ranks(self.rank, self.size)


def launched_world(environ: Mapping[str, str] = os.environ) -> World | None:
    """World of a process that torchrun, or srun with several tasks, has started; None for any other process."""
    if "TORCHELASTIC_RUN_ID" in environ:
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
        world = World(*(int(environ[name]) for name in names))
    elif int(environ.get("SLURM_STEP_NUM_TASKS", 1)) > 1:  # set by srun only, not for the batch script itself
        names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID", "SLURM_STEP_TASKS_PER_NODE")
        if "," in environ[names[-1]]:
            raise ValueError(f"{names[-1]}={environ[names[-1]]}: not equally many tasks on each node; use "
                             "srun --ntasks-per-node")  # fmt: skip
        world = World(*(int(environ[name].partition("(")[0]) for name in names))  # "4(x2)": 4 tasks on each of 2 nodes
    else:
        return None
    return world if world.size > 1 else None


def resolve_world(accelerator: str = "auto", devices: Devices = 1, num_nodes: int = 1) -> World:
    """World of the process that the user started.

    torchrun and Slurm determine the number of processes; `devices` and `num_nodes` are then 1, or the same numbers.

    Args:
        accelerator: `auto`, `cpu`, `gpu` or `mps`.
        devices: number of devices on each machine; `auto`: all GPUs, or one CPU process.
        num_nodes: number of machines.

    Raises:
        ValueError: the machine has fewer devices, or the numbers differ from those of torchrun or Slurm.
    """
    launched = launched_world()
    available = num_available(accelerator)
    if launched is None and num_nodes > 1:
        raise ValueError(f"trainer.num_nodes={num_nodes}: start the command on each machine with torchrun or srun")
    if launched is None:
        is_gpu = inference_device(accelerator).type == "cuda"
        count = (available if is_gpu else 1) if devices == "auto" else devices
        launched = World(0, count, 0, count)
    elif devices not in (1, "auto", launched.local_size) or num_nodes not in (1, launched.num_nodes):
        raise ValueError(
            f"trainer.devices={devices}, trainer.num_nodes={num_nodes}: the launcher started {launched.local_size} "
            f"processes on each of {launched.num_nodes} machines; leave both settings out"
        )
    if launched.local_size > available:
        kind = {"cuda": "GPUs", "mps": "MPS devices"}.get(inference_device(accelerator).type, "processor cores")
        raise ValueError(
            f"trainer.devices={launched.local_size}: this machine has {available} {kind}; set trainer.devices to at "
            f"most {available}"
        )
    return launched


def num_available(accelerator: str) -> int:
    """Number of GPUs, or of processor cores if the run uses no GPU."""
    kind = inference_device(accelerator).type
    return torch.cuda.device_count() if kind == "cuda" else 1 if kind == "mps" else os.cpu_count() or 1


class WorldEnvironment(ClusterEnvironment):
    """Tell Lightning the ranks of a World whose process group exists already.

    It replaces the environments of Lightning: that of Slurm saves an `hpc_ckpt` in the working directory and resumes
    from any `hpc_ckpt`, even of another stage, and the default one deletes WORLD_SIZE after training.
    """

    creates_processes_externally = True
    main_address = "127.0.0.1"  # not used, since the process group exists
    main_port = 0

    def __init__(self, world: World) -> None:
        self._world = world

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self._world.size

    def global_rank(self) -> int:
        return self._world.rank

    def local_rank(self) -> int:
        return self._world.local_rank

    def node_rank(self) -> int:
        return self._world.rank // self._world.local_size

    def set_world_size(self, size: int) -> None:
        """Do nothing, since the world is fixed."""

    def set_global_rank(self, rank: int) -> None:
        """Do nothing, since the world is fixed."""
