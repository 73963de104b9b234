"""Train a network: resume interrupted training, keep the best epoch, calibrate."""

import difflib
import inspect
import logging
import shutil
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback, ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers import Logger

from fashion_lsh.models.baselines import Baseline
from fashion_lsh.models.checkpoints import inference_device, load_model, save_model
from fashion_lsh.training.callbacks import AtomicCheckpointIO, BestCheckpoint, EpochLogger, ResumableEarlyStopping
from fashion_lsh.training.module import TrainingModule
from fashion_lsh.training.rate_search import choose_rate, set_rate

log = logging.getLogger(__name__)

# Lightning's warnings concern its internals, and users cannot act on the warnings.
warnings.filterwarnings("ignore", module="pytorch_lightning")


# Arguments of Lightning's Trainer that the framework sets, and what to set instead.
SET_BY_FRAMEWORK = {
    "max_epochs": "classifier.epochs, hash.epochs or detector.epochs", "max_steps": "classifier.epochs",
    "min_epochs": "trainer.patience", "min_steps": "trainer.patience", "max_time": "trainer.patience",
    "callbacks": "callbacks.NAME._target_", "logger": "logger", "default_root_dir": "runs",
    "enable_checkpointing": "overwrite=true to start again", "plugins": "callbacks.NAME._target_",
    "fast_dev_run": "trainer=smoke", "barebones": "trainer=smoke",
}  # fmt: skip
DEFAULT_OPTIONS = {"enable_model_summary": False, "log_every_n_steps": 10, "num_sanity_val_steps": 0}
FIT_OPTIONS = ("monitor", "mode", "patience", "lr_grid")  # settings of the group `trainer` for `fit` itself


def check_trainer_options(options: Mapping[str, Any]) -> None:
    """Check the config group `trainer` before training, by building a Trainer.

    Raises:
        ValueError: the framework sets the option, or Lightning does not know it or rejects its value.
    """
    options = {name: value for name, value in options.items() if name not in FIT_OPTIONS}
    known = inspect.signature(pl.Trainer).parameters
    for name, value in options.items():
        if name in SET_BY_FRAMEWORK:
            raise ValueError(f"trainer.{name}={value!r}: set by fashion_lsh; set {SET_BY_FRAMEWORK[name]} instead")
        if name not in known:
            similar = ", ".join(difflib.get_close_matches(name, known)) or "an argument of pytorch_lightning.Trainer"
            raise ValueError(f"trainer.{name}={value!r}: not an argument of Lightning's Trainer; set {similar}")
    precision = options.get("precision") or "32-true"
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    try:
        pl.Trainer(**DEFAULT_OPTIONS | options | quiet | {"precision": precision})
    except (MisconfigurationException, ValueError, TypeError) as error:
        raise ValueError(f"trainer: {error}") from error


def fit(
    stage: TrainingModule | Baseline,
    data: Any,
    folder: Path,
    loggers: Sequence[Logger] = (),
    callbacks: Sequence[Callback] = (),
    monitor: str | None = None,
    mode: Literal["max", "min"] = "max",
    patience: int | None = None,
    lr_grid: Sequence[float] | None = None,
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
        callbacks: further Lightning callbacks.
        monitor: metric that selects the best epoch, without the name of the stage, such as `val/loss`; None for
            `stage.monitor`. A detector keeps its last epoch.
        mode: whether the best value of `monitor` is the maximum or the minimum.
        patience: number of epochs without a better value after which training stops; None for no limit.
        lr_grid: multiples of `optim.lr` in order of preference, of which one is chosen on val (see `choose_rate`); None
            for 1. Only for batches of features, whose epochs take about a second.
        precision: `precision` of Lightning's Trainer; None for bfloat16 mixed precision if the device supports it.
        accelerator: `accelerator` of Lightning's Trainer; also selects the device of the returned network.
        trainer_options: further arguments of Lightning's Trainer, but those in SET_BY_FRAMEWORK.

    Returns:
        The calibrated network in evaluation mode, with the weights of the best epoch on `val` (see
        TrainingModule.monitor).

    Raises:
        ValueError: Lightning rejects an argument, or `monitor` is not logged.
    """
    data = data.pinned_for(inference_device(accelerator))
    checkpoint_path = folder / f"{stage.name}.ckpt"
    module = stage if isinstance(stage, TrainingModule) else None
    model: Any = module.model if module else stage
    if checkpoint_path.exists():
        log.info("Loading the trained %s from %s", stage.name, checkpoint_path)
        return load_model(checkpoint_path, accelerator, **(module.hparams if module else model.hyper_parameters))
    fit_metrics: dict[str, float] = {}
    if module:
        if monitor and module.validates:
            module.monitor, module.monitor_mode = f"{module.name}/{monitor}", mode
        best_epoch = _best_epoch_callbacks(module, folder, patience)
        precision = precision or _default_precision(accelerator)
        options = trainer_options | {"accelerator": accelerator, "precision": precision, "logger": list(loggers)}
        try:
            if lr_grid and module.monitor and getattr(data, "features", None) is not None:
                set_rate(module, choose_rate(module, data, lr_grid, patience, DEFAULT_OPTIONS | options))
            fit_metrics = _train(module, data, folder, best_epoch, callbacks, options)
        except MisconfigurationException as error:
            raise ValueError(f"trainer{f'.monitor={monitor}' if monitor else ''}: {error}") from error
    model.to(inference_device(accelerator))  # Lightning moves the network to the CPU after training
    model.fit_metrics = {**model.fit_metrics, stage.name: {**stage.post_fit(data), **fit_metrics}}
    save_model(model, checkpoint_path, module.hparams if module else model.hyper_parameters)
    if module:
        shutil.rmtree(folder / "checkpoints")
    return model.eval()


def _train(
    stage: TrainingModule,
    data: Any,
    folder: Path,
    best_epoch: Sequence[Callback],
    callbacks: Sequence[Callback],
    trainer_options: dict[str, Any],
) -> dict[str, float]:
    """Train, load the weights of the best epoch, and return the number and score of this epoch.

    SLURM support of Lightning is disabled: it saves an `hpc_ckpt` in the working directory, and resumes from any
    `hpc_ckpt`, even of another stage.
    """
    checkpoint_dir = _checkpoint_dir(stage, folder)
    # in a log file, EpochLogger writes a line per epoch instead
    shows_progress = trainer_options.pop("enable_progress_bar", sys.stdout.isatty())
    progress_bar = [RichProgressBar(refresh_rate=10)] if shows_progress else []
    trainer = pl.Trainer(
        default_root_dir=checkpoint_dir,
        max_epochs=stage.hparams["epochs"],
        # the callback that saves the last epoch must follow BestCheckpoint, whose state it saves
        callbacks=[*stage.callbacks(), *callbacks, *best_epoch, _last_epoch_callback(checkpoint_dir), EpochLogger(),
                   *progress_bar],
        plugins=[AtomicCheckpointIO(), LightningEnvironment()],
        enable_progress_bar=shows_progress,
        **DEFAULT_OPTIONS | trainer_options,
    )  # fmt: skip
    last = checkpoint_dir / "last.ckpt"
    resume_path = last if last.exists() else None
    trainer.fit(stage, stage.train_batches(data), data.val_dataloader(), ckpt_path=resume_path, weights_only=True)
    return _load_checkpoint(stage, checkpoint_dir / "best.ckpt" if best_epoch else last, best_epoch)


def _checkpoint_dir(stage: TrainingModule, folder: Path) -> Path:
    return folder / "checkpoints" / stage.name


def _last_epoch_callback(checkpoint_dir: Path) -> ModelCheckpoint:
    """Callback that saves the last epoch."""
    return ModelCheckpoint(checkpoint_dir, filename="last", enable_version_counter=False)


def _best_epoch_callbacks(stage: TrainingModule, folder: Path, patience: int | None) -> list[Callback]:
    """BestCheckpoint and early stopping; empty without a monitored metric."""
    if stage.monitor is None:
        return []
    monitor_options: dict[str, Any] = {"monitor": stage.monitor, "mode": stage.monitor_mode}
    best = BestCheckpoint(
        _checkpoint_dir(stage, folder), filename="best", enable_version_counter=False, **monitor_options
    )
    if patience is None:
        return [best]
    return [best, ResumableEarlyStopping(patience=patience, check_finite=False, **monitor_options)]


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


def _default_precision(accelerator: str) -> str:
    """Select bfloat16 mixed precision if the GPU supports it natively, since emulation is slow."""
    gpu = inference_device(accelerator).type == "cuda"
    return "bf16-mixed" if gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"
