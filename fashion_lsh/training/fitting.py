"""Train a network: resume interrupted training, keep the best epoch, calibrate."""

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
from fashion_lsh.models.checkpoints import inference_device, load_model, save_model
from fashion_lsh.training.callbacks import AtomicCheckpointIO, BestCheckpoint, EpochLogger, ResumableEarlyStopping
from fashion_lsh.training.module import TrainingModule

log = logging.getLogger(__name__)

# Lightning's warnings concern its internals, and users cannot act on the warnings.
warnings.filterwarnings("ignore", module="pytorch_lightning")


def fit(
    stage: TrainingModule | Baseline,
    data: Any,
    folder: Path,
    loggers: Sequence[Logger] = (),
    patience: int | None = None,
    precision: str | None = None,
    accelerator: str = "auto",
    **trainer_options: Any,
) -> Any:
    """Train a network and save it as `<folder>/<name>.ckpt`, or load this file if it exists.

    Args:
        stage: LightningModule to train, or baseline to fit without gradient training.
        data: data module: GarmentData, or DetectionData for a detector.
        folder: run folder; interrupted training resumes after the last complete epoch.
        loggers: Lightning loggers.
        patience: number of epochs without a higher `val` accuracy after which training stops; None for no limit.
        precision: `precision` of Lightning's Trainer; None for bfloat16 mixed precision if the device supports it.
        accelerator: `accelerator` of Lightning's Trainer; also selects the device of the returned network.
        trainer_options: further arguments of Lightning's Trainer.

    Returns:
        The calibrated network in evaluation mode, with the weights of the best epoch on `val` (see
        TrainingModule.monitor).
    """
    data = data.pinned_for(inference_device(accelerator))
    checkpoint_path = folder / f"{stage.name}.ckpt"
    module = stage if isinstance(stage, TrainingModule) else None
    model: Any = module.model if module else stage
    hyper_parameters: dict[str, Any] = dict(module.hparams) if module else model.hyper_parameters
    if checkpoint_path.exists():
        log.info("Loading the trained %s from %s", stage.name, checkpoint_path)
        return load_model(checkpoint_path, accelerator, **hyper_parameters)
    fit_metrics: dict[str, float] = {}
    if module:
        fit_metrics = _train(module, data, folder, loggers, patience, precision, accelerator, trainer_options)
    model.to(inference_device(accelerator))  # Lightning moves the network to the CPU after training
    model.fit_metrics = {**model.fit_metrics, **fit_metrics, **stage.post_fit(data)}
    save_model(model, checkpoint_path, hyper_parameters)
    if module:
        shutil.rmtree(folder / "checkpoints")
    return model.eval()


def _train(
    stage: TrainingModule,
    data: Any,
    folder: Path,
    loggers: Sequence[Logger],
    patience: int | None,
    precision: str | None,
    accelerator: str,
    trainer_options: dict[str, Any],
) -> dict[str, float]:
    """Train, load the weights of the best epoch, and return the number and score of this epoch."""
    checkpoint_dir = folder / "checkpoints" / stage.name
    last, checkpoint_callbacks = checkpoint_dir / "last.ckpt", _best_epoch_callbacks(stage, checkpoint_dir, patience)
    trainer = _trainer(stage, checkpoint_dir, checkpoint_callbacks, loggers, accelerator, precision, trainer_options)
    resume_path = last if last.exists() else None
    trainer.fit(stage, stage.train_batches(data), data.val_dataloader(), ckpt_path=resume_path, weights_only=True)
    return _load_checkpoint(stage, checkpoint_dir / "best.ckpt" if checkpoint_callbacks else last, checkpoint_callbacks)


def _trainer(
    stage: TrainingModule,
    checkpoint_dir: Path,
    checkpoint_callbacks: Sequence[Callback],
    loggers: Sequence[Logger],
    accelerator: str,
    precision: str | None,
    trainer_options: dict[str, Any],
) -> pl.Trainer:
    """Build Lightning's Trainer without SLURM support.

    SLURM support saves an `hpc_ckpt` in the working directory, and resumes from any `hpc_ckpt`, even of another stage.
    """
    return pl.Trainer(
        default_root_dir=checkpoint_dir,
        max_epochs=stage.hparams["epochs"],
        callbacks=[
            *stage.callbacks(),
            *checkpoint_callbacks,
            _last_epoch_callback(checkpoint_dir),
            EpochLogger(),
            RichProgressBar(refresh_rate=10),
        ],
        logger=list(loggers),
        plugins=[AtomicCheckpointIO(), LightningEnvironment()],
        enable_model_summary=False,
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        accelerator=accelerator,
        precision=precision or _default_precision(accelerator),  # type: ignore[arg-type]
        **trainer_options,
    )


def _last_epoch_callback(checkpoint_dir: Path) -> ModelCheckpoint:
    """Callback that saves the last epoch; it must follow BestCheckpoint, whose state it saves."""
    return ModelCheckpoint(checkpoint_dir, filename="last", enable_version_counter=False)


def _best_epoch_callbacks(stage: TrainingModule, checkpoint_dir: Path, patience: int | None) -> list[Callback]:
    """BestCheckpoint and early stopping; empty without a monitored metric."""
    if stage.monitor is None:
        return []
    monitor_options: dict[str, Any] = {"monitor": stage.monitor, "mode": "max"}
    best = BestCheckpoint(checkpoint_dir, filename="best", enable_version_counter=False, **monitor_options)
    return [best] if patience is None else [best, ResumableEarlyStopping(patience=patience, **monitor_options)]


def _load_checkpoint(stage: TrainingModule, path: Path, checkpoint_callbacks: Sequence[Callback]) -> dict[str, float]:
    """Load the (averaged) weights of a checkpoint; return number and score of the best epoch if one is monitored."""
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    stage.load_state_dict(checkpoint["state_dict"])
    scores = [each.best_model_score for each in checkpoint_callbacks if isinstance(each, BestCheckpoint)]
    return {name: value for score in scores for name, value in (
        (f"{stage.name}/best_epoch", int(checkpoint["epoch"]) + 1), (str(stage.monitor), float(score or 0)),
    )}  # fmt: skip


def _default_precision(accelerator: str) -> str:
    """Select bfloat16 mixed precision if the GPU supports it natively, since emulation is slow."""
    gpu = inference_device(accelerator).type == "cuda"
    return "bf16-mixed" if gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
