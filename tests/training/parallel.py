"""Networks without batch statistics, and functions that run in several processes."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor, nn
from torch import distributed as dist

from fashion_lsh.models.backbones import Backbone
from fashion_lsh.models.losses.softmax import SoftmaxLoss
from fashion_lsh.training.world import World


def steady_backbone(name: str, image_size: int | None = None) -> Backbone:
    """Return a small network without batch statistics and dropout."""
    layers = [nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return Backbone(name, nn.Sequential(*layers), 32, 32)


def max_difference(one: nn.Module, other: nn.Module) -> float:
    """Largest absolute difference of a weight of two networks."""
    states = (one.state_dict(), other.state_dict())
    assert states[0].keys() == states[1].keys()
    return max(float((value - states[1][name]).abs().max()) for name, value in states[0].items() if value.numel())


class KilledAtEpoch(Callback):
    """Kill the process of one rank in the middle of an epoch, as the system does if the memory is full."""

    def __init__(self, epoch: int, rank: int) -> None:
        self.epoch, self.rank = epoch, rank

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_rank == self.rank and trainer.current_epoch == self.epoch:
            os.kill(os.getpid(), signal.SIGKILL)


class StoppedAtEpoch(Callback):
    """Raise an error in one rank in the middle of an epoch."""

    def __init__(self, epoch: int, rank: int) -> None:
        self.epoch, self.rank = epoch, rank

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_rank == self.rank and trainer.current_epoch == self.epoch:
            raise ValueError(f"interrupted in rank {self.rank}")


class RecordedEpochs(Callback):
    """Append the number of each epoch to a file of the rank."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)

    def on_train_epoch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        with (self.folder / f"epochs of rank {trainer.global_rank}").open("a") as file:
            file.write(str(trainer.current_epoch))


class PairwiseLoss(SoftmaxLoss):
    """Softmax loss plus the mean of a function of all pairs of rows."""

    compares_rows = True

    def forward(self, activations: Tensor, logits: Tensor, categories: Tensor) -> Tensor:
        is_same = (categories[:, None] == categories).float()
        pairs = (activations @ activations.T - is_same).square().mean()
        return super().forward(activations, logits, categories) + pairs


def square_of_rank(world: World, offset: float) -> tuple[float, int]:
    """Rank² + offset, and the sum of all ranks."""
    total = torch.tensor(world.rank)
    dist.all_reduce(total)
    return world.rank**2 + offset, int(total)


def fail_in_rank(world: World, rank: int, how: str) -> None:
    """Fail in one rank; the others wait for it."""
    if world.rank == rank and how == "error":
        raise ValueError("data.root=photos: missing")
    if world.rank == rank:
        os.kill(os.getpid(), signal.SIGKILL)
    dist.barrier()


def sleep(world: World, folder: Path) -> None:
    """Write the process id to a file, and sleep."""
    (folder / str(world.rank)).write_text(str(os.getpid()))
    if world.rank or not (folder / "kill worker").exists():
        time.sleep(600)
    while not (folder / "1").exists() or not (folder / "1").read_text():
        time.sleep(0.1)
    os.kill(int((folder / "1").read_text()), signal.SIGKILL)
    time.sleep(600)
