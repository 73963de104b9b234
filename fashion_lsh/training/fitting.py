"""Fit one stage: go on where it stopped, keep the best epoch, make its masses mean something."""

import logging
import shutil
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers import CSVLogger, Logger
from torch.utils.data import DataLoader

from fashion_lsh.training.checkpoints import Best, WholeCheckpoints, device, load, save
from fashion_lsh.training.module import Stage

log = logging.getLogger(__name__)

warnings.filterwarnings("ignore", module="pytorch_lightning")  # on its own internals; nothing a user can act on

S = TypeVar("S", bound=Stage)


class Data(Protocol):
    """What a stage learns from; its batches are `pinned` where a GPU learns."""

    pinned: bool

    def train_dataloader(self) -> DataLoader[Any]: ...
    def val_dataloader(self) -> DataLoader[Any] | None: ...


def fit(
    stage: S,
    data: Data,
    folder: Path,
    loggers: Sequence[Logger] = (),
    patience: int | None = None,
    precision: str | None = None,
    accelerator: str = "auto",
    **trainer: Any,
) -> S:
    """Fit a stage into `<folder>/<name>.ckpt`; where that is there already, read it instead.

    Args:
        stage: what to fit.
        data: where the pictures come from.
        folder: of the run; a fit that was stopped goes on from the last epoch that it ended.
        loggers: of Lightning.
        patience: epochs without a better `val` accuracy after which to stop; None: never.
        precision: of Lightning; None: mixed where the device has it.
        accelerator: of Lightning; with `cpu` the stage answers there, too.
        trainer: further arguments of Lightning's Trainer.

    Returns:
        The stage with the weights of its best epoch on `val` (see Stage.monitor), settled, in evaluation mode.
    """
    data.pinned = device(accelerator).type == "cuda"
    final = folder / f"{stage.name}.ckpt"
    if final.exists():
        log.info("%s: finished before, read from %s", stage.name, final)
        return load(type(stage), final, accelerator, **stage.hparams)
    facts: dict[str, float] = {}
    if stage.learns:
        drafts = folder / "fitting" / stage.name
        last, keep = drafts / "last.ckpt", _keeping(stage, drafts, patience)
        runner = _trainer(stage, drafts, keep, loggers, accelerator, precision, trainer)
        resumed = last if last.exists() else None
        runner.fit(stage, stage.batches(data), data.val_dataloader(), ckpt_path=resumed, weights_only=True)
        facts = _chosen(stage, drafts / "best.ckpt" if keep else last, keep)
    stage.to(device(accelerator))  # Lightning leaves it on the CPU
    stage.facts = facts | stage.settle(data)
    save(stage, final)
    if stage.learns:
        shutil.rmtree(folder / "fitting")
    return stage.eval()


def _trainer(
    stage: Stage,
    drafts: Path,
    keeping: Sequence[Callback],
    loggers: Sequence[Logger],
    accelerator: str,
    precision: str | None,
    further: dict[str, Any],
) -> pl.Trainer:
    """Lightning's, alone whatever starts it: as a task of SLURM it would go on from an `hpc_ckpt` in the working
    directory, be it of another stage, and leave one there."""
    return pl.Trainer(
        default_root_dir=drafts,
        max_epochs=stage.hparams["epochs"],
        callbacks=[*stage.callbacks(), *keeping, _every(drafts), EpochLog(), RichProgressBar(refresh_rate=10)],
        logger=list(loggers),
        plugins=[WholeCheckpoints(), LightningEnvironment()],
        enable_model_summary=False,
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        accelerator=accelerator,
        precision=precision or _precision(accelerator),  # type: ignore[arg-type]
        **further,
    )


def _every(drafts: Path) -> ModelCheckpoint:
    """Keeps the last epoch; comes after what keeps the best one, whose state it saves."""
    return ModelCheckpoint(drafts, filename="last", enable_version_counter=False)


def _keeping(stage: Stage, drafts: Path, patience: int | None) -> list[Callback]:
    """What keeps a stage's best epoch, and may end its fit early; nothing where no metric tells which is best."""
    if stage.monitor is None:
        return []
    watched: dict[str, Any] = {"monitor": stage.monitor, "mode": "max"}
    best = Best(drafts, filename="best", enable_version_counter=False, **watched)
    return [best] if patience is None else [best, Patience(patience=patience, **watched)]


def _chosen(stage: Stage, path: Path, keep: Sequence[Callback]) -> dict[str, float]:
    """Take the weights of a checkpoint (averaged ones, where they are); of the best epoch tell which it was, and its
    score."""
    chosen = torch.load(path, map_location="cpu", weights_only=True)
    stage.load_state_dict(chosen["state_dict"])
    scores = [each.best_model_score for each in keep if isinstance(each, Best)]
    return {name: value for score in scores for name, value in (
        (f"{stage.name}/best_epoch", int(chosen["epoch"]) + 1), (str(stage.monitor), float(score or 0)),
    )}  # fmt: skip


class CsvLog(CSVLogger):
    """Lightning's CSV log, that names its file where it cannot be written."""

    def save(self) -> None:
        try:
            super().save()
        except OSError as error:
            reason = error.strerror or error
            raise OSError(f"{self.log_dir} could not be written to ({reason}): free some space, then go on") from error


class Patience(EarlyStopping):
    """EarlyStopping that stops a resumed fit, too, where it had stopped."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = 0 < self.wait_count >= self.patience


class EpochLog(Callback):
    """One line an epoch: how good it is on `val`, and how long it took."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.began = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        values = {name.split("/", 1)[1]: float(value) for name, value in trainer.callback_metrics.items()}
        shown = ", ".join(f"{name} {value:.4f}" for name, value in sorted(values.items()))
        seconds = time.perf_counter() - self.began
        log.info("epoch %d/%d: %s, %.0f s", trainer.current_epoch + 1, trainer.max_epochs or 0, shown, seconds)


def _precision(accelerator: str) -> str:
    """Mixed precision where the device has it; older GPUs would emulate it, slowly."""
    gpu = device(accelerator).type == "cuda"
    return "bf16-mixed" if gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
