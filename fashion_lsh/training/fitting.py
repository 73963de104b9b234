"""Fit a network: resume where a fit was stopped, keep the best epoch, calibrate."""

import logging
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers import Logger

from fashion_lsh.models.baselines import Baseline
from fashion_lsh.models.checkpoints import device, load_model, save_model
from fashion_lsh.training.callbacks import Best, EpochLog, Patience, WholeCheckpoints
from fashion_lsh.training.module import TrainingModule

log = logging.getLogger(__name__)

warnings.filterwarnings("ignore", module="pytorch_lightning")  # on its own internals; nothing a user can act on


def fit(
    stage: TrainingModule | Baseline,
    data: Any,
    folder: Path,
    loggers: Sequence[Logger] = (),
    patience: int | None = None,
    precision: str | None = None,
    accelerator: str = "auto",
    **trainer: Any,
) -> Any:
    """Fit a network into `<folder>/<name>.ckpt`; where that is there already, read it instead.

    Args:
        stage: a LightningModule, or a baseline, which is fitted in closed form.
        data: a data module: GarmentData, or SceneData for a detector.
        folder: of the run; a fit that was stopped resumes from the last epoch that ended.
        loggers: of Lightning.
        patience: epochs without a better `val` accuracy after which to stop; None: never.
        precision: of Lightning; None: mixed where the device has it.
        accelerator: of Lightning; the network is returned on it.
        trainer: further arguments of Lightning's Trainer.

    Returns:
        The network with the weights of its best epoch on `val` (see TrainingModule.monitor), calibrated, in evaluation
        mode.
    """
    data = data.pinned_for(device(accelerator))
    final = folder / f"{stage.name}.ckpt"
    trained = stage if isinstance(stage, TrainingModule) else None
    model: Any = trained.model if trained else stage
    hyper_parameters: dict[str, Any] = dict(trained.hparams) if trained else model.hyper_parameters
    if final.exists():
        log.info("%s: finished before, read from %s", stage.name, final)
        return load_model(final, accelerator, **hyper_parameters)
    facts: dict[str, float] = {}
    if trained:
        facts = _trained(trained, data, folder, loggers, patience, precision, accelerator, trainer)
    model.to(device(accelerator))  # Lightning leaves it on the CPU
    model.facts = {**model.facts, **facts, **stage.settle(data)}
    save_model(model, final, hyper_parameters)
    if trained:
        shutil.rmtree(folder / "fitting")
    return model.eval()


def _trained(
    stage: TrainingModule,
    data: Any,
    folder: Path,
    loggers: Sequence[Logger],
    patience: int | None,
    precision: str | None,
    accelerator: str,
    further: dict[str, Any],
) -> dict[str, float]:
    """Train, take the weights of the best epoch, and return which it was, and its score."""
    drafts = folder / "fitting" / stage.name
    last, keep = drafts / "last.ckpt", _keeping(stage, drafts, patience)
    runner = _trainer(stage, drafts, keep, loggers, accelerator, precision, further)
    resumed = last if last.exists() else None
    runner.fit(stage, stage.batches(data), data.val_dataloader(), ckpt_path=resumed, weights_only=True)
    return _chosen(stage, drafts / "best.ckpt" if keep else last, keep)


def _trainer(
    stage: TrainingModule,
    drafts: Path,
    keeping: Sequence[Callback],
    loggers: Sequence[Logger],
    accelerator: str,
    precision: str | None,
    further: dict[str, Any],
) -> pl.Trainer:
    """Lightning's Trainer outside any cluster environment: as a task of SLURM it would resume from an `hpc_ckpt` in
    the working directory, be it of another stage, and leave one there."""
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
    """Keep the last epoch; comes after what keeps the best one, whose state it saves."""
    return ModelCheckpoint(drafts, filename="last", enable_version_counter=False)


def _keeping(stage: TrainingModule, drafts: Path, patience: int | None) -> list[Callback]:
    """Callbacks that keep the best epoch and may end the fit early; none where no metric is monitored."""
    if stage.monitor is None:
        return []
    watched: dict[str, Any] = {"monitor": stage.monitor, "mode": "max"}
    best = Best(drafts, filename="best", enable_version_counter=False, **watched)
    return [best] if patience is None else [best, Patience(patience=patience, **watched)]


def _chosen(stage: TrainingModule, path: Path, keep: Sequence[Callback]) -> dict[str, float]:
    """Load the weights of a checkpoint (averaged ones, where they are); return the best epoch and its score."""
    chosen = torch.load(path, map_location="cpu", weights_only=True)
    stage.load_state_dict(chosen["state_dict"])
    scores = [each.best_model_score for each in keep if isinstance(each, Best)]
    return {name: value for score in scores for name, value in (
        (f"{stage.name}/best_epoch", int(chosen["epoch"]) + 1), (str(stage.monitor), float(score or 0)),
    )}  # fmt: skip


def _precision(accelerator: str) -> str:
    """Mixed precision where the device has it; older GPUs would emulate it, slowly."""
    gpu = device(accelerator).type == "cuda"
    return "bf16-mixed" if gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
