"""Train a network with Lightning, in one of several processes or alone."""

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.loggers.logger import DummyLogger
from pytorch_lightning.strategies import DDPStrategy
from torch import distributed as dist

from fashion_lsh.training.callbacks import (
    AtomicCheckpointIO,
    BestCheckpoint,
    DefaultSigterm,
    EpochLogger,
    ResumableEarlyStopping,
)
from fashion_lsh.training.module import TrainingModule
from fashion_lsh.training.processes import Processes
from fashion_lsh.training.world import World, WorldEnvironment

# Lightning's warnings concern its internals, and users cannot act on the warnings.
warnings.filterwarnings("ignore", module="pytorch_lightning")
warnings.filterwarnings("ignore", module="lightning_fabric")

DEFAULT_OPTIONS = {"enable_model_summary": False, "log_every_n_steps": 10, "num_sanity_val_steps": 0}
HIDDEN = {"enable_progress_bar": False, "enable_model_summary": False}  # in all processes but rank 0


@dataclass(frozen=True)
class TrainingJob:
    """Arguments of a training, equal in all processes.

    Attributes:
        stage: LightningModule to train.
        data: data module of the stage.
        folder: run folder, which all processes can read.
        callbacks: further Lightning callbacks.
        patience: see `fit`.
        options: arguments of Lightning's Trainer, without devices and strategy.
        has_unused_weights: whether the loss may not depend on some of the weights; several processes then search for
            these in each step.
        resumes: whether training continues after the last saved epoch.
    """

    stage: TrainingModule
    data: Any
    folder: Path
    callbacks: Sequence[Callback]
    patience: int | None
    options: dict[str, Any]
    has_unused_weights: bool = False
    resumes: bool = False

    @property
    def checkpoint_dir(self) -> Path:
        """Folder of the checkpoints of the best and the last epoch."""
        return self.folder / "checkpoints" / self.stage.name

    @property
    def last(self) -> Path:
        """Checkpoint of the last epoch."""
        return self.checkpoint_dir / "last.ckpt"


def train_in_processes(job: TrainingJob, loggers: Sequence[Logger], processes: Processes) -> dict[str, float]:
    """Train, load the weights of the best epoch, and return the number and score of this epoch.

    Raises:
        ValueError: the loss does not depend on some of the weights, and `has_unused_weights` is not set.
    """
    worker_loggers = [DummyLogger()] if loggers else []  # some callbacks need a logger
    try:
        metrics: dict[str, float] = processes.run(train, (job, loggers), (job, worker_loggers))[0]
    except RuntimeError as error:
        if "find_unused_parameters" not in str(error):
            raise
        raise ValueError(
            "trainer.strategy=auto: the loss does not depend on some of the weights, which several processes have to "
            "search for; add +trainer.strategy=ddp_find_unused_parameters_true"
        ) from error
    return metrics


def train(world: World, job: TrainingJob, loggers: Sequence[Logger]) -> dict[str, float]:
    """Train in this process; rank 0 loads the weights of the best epoch, and returns its number and score."""
    stage, options = job.stage, DEFAULT_OPTIONS | job.options
    data = job.data.replace(ranks=world.ranks) if world.size > 1 else job.data
    best_epoch, common = _best_epoch_callbacks(job), [DefaultSigterm()] if dist.is_initialized() else []
    # in a log file, EpochLogger writes a line per epoch instead
    shows_progress = options.pop("enable_progress_bar", sys.stdout.isatty()) and not world.rank
    progress_bar = [RichProgressBar(refresh_rate=10)] if shows_progress else []
    trainer = pl.Trainer(
        default_root_dir=job.checkpoint_dir,
        max_epochs=stage.hparams["epochs"],
        # the callback that saves the last epoch must follow BestCheckpoint, whose state it saves
        callbacks=[*common, *job.callbacks, *best_epoch, _last_epoch_callback(job), EpochLogger(),
                   *progress_bar],
        plugins=[AtomicCheckpointIO(), WorldEnvironment(world)],
        logger=list(loggers),
        strategy=DDPStrategy(find_unused_parameters=job.has_unused_weights) if dist.is_initialized() else "auto",
        devices=world.local_size,
        num_nodes=world.num_nodes,
        use_distributed_sampler=False,  # our own samplers know their rank
        **options | (HIDDEN if world.rank else {"enable_progress_bar": shows_progress}),
    )  # fmt: skip
    resume_path = job.last if job.resumes else None
    trainer.fit(stage, stage.train_batches(data), data.val_dataloader(), ckpt_path=resume_path, weights_only=True)
    if world.rank:
        return {}
    return _load_checkpoint(stage, job.checkpoint_dir / "best.ckpt" if best_epoch else job.last, best_epoch)


def _last_epoch_callback(job: TrainingJob) -> ModelCheckpoint:
    """Callback that saves the last epoch."""
    return ModelCheckpoint(job.checkpoint_dir, filename="last", enable_version_counter=False)


def _best_epoch_callbacks(job: TrainingJob) -> list[Callback]:
    """BestCheckpoint and early stopping; empty without a monitored metric."""
    if job.stage.monitor is None:
        return []
    monitor_options: dict[str, Any] = {"monitor": job.stage.monitor, "mode": job.stage.monitor_mode}
    best = BestCheckpoint(job.checkpoint_dir, filename="best", enable_version_counter=False, **monitor_options)
    if job.patience is None:
        return [best]
    return [best, ResumableEarlyStopping(patience=job.patience, check_finite=False, **monitor_options)]


def _load_checkpoint(stage: TrainingModule, path: Path, checkpoint_callbacks: Sequence[Callback]) -> dict[str, float]:
    """Load the (averaged) weights of a checkpoint; return number and score of the best epoch if one is monitored."""
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    stage.load_state_dict(checkpoint["state_dict"])
    metrics: dict[str, float] = {}
    for best in (each for each in checkpoint_callbacks if isinstance(each, BestCheckpoint)):
        metrics["best_epoch"] = int(checkpoint["epoch"]) + 1
        if best.best_model_score is not None and best.best_model_score.isfinite():  # infinite if it was NaN
            metrics[str(stage.monitor).removeprefix(f"{stage.name}/")] = float(best.best_model_score)
    return metrics
