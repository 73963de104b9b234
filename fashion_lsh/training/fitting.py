"""Train a network: resume interrupted training, keep the best epoch, calibrate."""

import difflib
import inspect
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from fashion_lsh.models.baselines import Baseline
from fashion_lsh.models.checkpoints import default_precision, inference_device, load_model, save_model
from fashion_lsh.models.memory_format import use_inference_format, use_training_format
from fashion_lsh.training.job import DEFAULT_OPTIONS, TrainingJob, train, train_in_processes
from fashion_lsh.training.module import TrainingModule
from fashion_lsh.training.processes import open_processes
from fashion_lsh.training.rate_search import choose_rate, set_rate
from fashion_lsh.training.world import Devices, World, resolve_world

log = logging.getLogger(__name__)

# Arguments of Lightning's Trainer that the framework sets, and what to set instead.
SET_BY_FRAMEWORK = {
    "max_epochs": "classifier.epochs, hash.epochs or detector.epochs", "max_steps": "classifier.epochs",
    "min_epochs": "trainer.patience", "min_steps": "trainer.patience", "max_time": "trainer.patience",
    "callbacks": "callbacks.NAME._target_", "logger": "logger", "default_root_dir": "runs",
    "enable_checkpointing": "overwrite=true to start again", "plugins": "callbacks.NAME._target_",
    "use_distributed_sampler": "trainer.devices", "fast_dev_run": "trainer=smoke", "barebones": "trainer=smoke",
}  # fmt: skip
FIT_OPTIONS = ("monitor", "mode", "patience", "lr_grid")  # settings of the group `trainer` for `fit` itself
DEVICE_OPTIONS = ("accelerator", "devices", "num_nodes")  # arguments of `resolve_world`
DDP_UNUSED = "ddp_find_unused_parameters_true"
# Names of Lightning for DistributedDataParallel; they differ in how processes are started, which `processes` does here.
STRATEGIES = ("auto", "ddp", "ddp_spawn", "ddp_fork", "ddp_notebook", DDP_UNUSED)


def check_trainer_options(options: Mapping[str, Any]) -> None:
    """Check the config group `trainer` before training, by building a Trainer.

    Raises:
        ValueError: the framework sets the option, Lightning does not know it or rejects its value, or the machine has
            fewer devices.
    """
    _check_devices(options)
    own_options = (*FIT_OPTIONS, "devices", "num_nodes", "strategy")
    options = {name: value for name, value in options.items() if name not in own_options}
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


def _check_devices(options: Mapping[str, Any]) -> None:
    world, strategy = resolve_world(**device_options(options)), options.get("strategy", "auto")
    if strategy not in STRATEGIES:
        raise ValueError(f"trainer.strategy={strategy!r}: not supported; choose from {', '.join(STRATEGIES)}")
    if options.get("sync_batchnorm") and inference_device(options.get("accelerator", "auto")).type != "cuda":
        raise ValueError("trainer.sync_batchnorm=true: needs GPUs; set trainer.sync_batchnorm=false")
    if strategy not in ("auto", DDP_UNUSED) and world.size > 1:
        log.info("trainer.strategy=%s: %d processes use DistributedDataParallel, and do not execute the command again",
                 strategy, world.size)  # fmt: skip


def device_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of `resolve_world` and `open_processes` among the settings of the config group `trainer`."""
    return {name: options[name] for name in DEVICE_OPTIONS if name in options}


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
    devices: Devices = 1,
    num_nodes: int = 1,
    strategy: str = "auto",
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
        devices, num_nodes: number of processes that train together, see `resolve_world`; only one process trains on
            batches of features, whose epochs take about a second.
        strategy: `auto`, or `ddp_find_unused_parameters_true` if the loss does not depend on some of the weights.
        trainer_options: further arguments of Lightning's Trainer, but those in SET_BY_FRAMEWORK.

    Returns:
        The calibrated network in evaluation mode, with the weights of the best epoch on `val` (see
        TrainingModule.monitor).

    Raises:
        ValueError: Lightning rejects an argument, or `monitor` is not logged.
    """
    device = inference_device(accelerator)
    data = data.pinned_for(device)
    checkpoint_path = folder / f"{stage.name}.ckpt"
    module = stage if isinstance(stage, TrainingModule) else None
    model: Any = module.model if module else stage
    if checkpoint_path.exists():
        log.info("Loading the trained %s from %s", stage.name, checkpoint_path)
        return load_model(checkpoint_path, accelerator, **(module.hparams if module else model.hyper_parameters))
    fit_metrics: dict[str, float] = {}
    if module:
        use_training_format(model)
        if monitor and module.validates:
            module.monitor, module.monitor_mode = f"{module.name}/{monitor}", mode
        module.prepare(data)
        options = trainer_options | {"accelerator": accelerator}
        options["precision"] = precision or default_precision(accelerator)
        job = TrainingJob(module, data, folder, callbacks, patience, options, strategy == DDP_UNUSED)
        if resumes := job.last.exists():
            log.info("%s: resumed from %s", stage.name, job.last)
        try:
            fit_metrics = _train(replace(job, resumes=resumes), loggers, lr_grid, devices, num_nodes)
        except MisconfigurationException as error:
            raise ValueError(f"trainer{f'.monitor={monitor}' if monitor else ''}: {error}") from error
    model.to(device)  # Lightning moves the network to the CPU after training
    use_inference_format(model)
    model.fit_metrics = {**model.fit_metrics, stage.name: {**stage.post_fit(data), **fit_metrics}}
    save_model(model, checkpoint_path, module.hparams if module else model.hyper_parameters)
    if module:
        shutil.rmtree(folder / "checkpoints")
    return model.eval()


def _train(
    job: TrainingJob, loggers: Sequence[Logger], lr_grid: Sequence[float] | None, devices: Devices, num_nodes: int
) -> dict[str, float]:
    """Choose the learning rate, and train: in one process on batches of features, otherwise in all processes."""
    accelerator, has_features = job.options["accelerator"], getattr(job.data, "features", None) is not None
    if not has_features:
        with open_processes(accelerator, devices, num_nodes) as processes:
            return train_in_processes(job, loggers, processes)
    if resolve_world(accelerator, devices, num_nodes).size > 1:
        log.info("%s: one process trains on cached features, not several (trainer.devices)", job.stage.name)
    if lr_grid and job.stage.monitor:
        one_device = DEFAULT_OPTIONS | job.options | {"devices": 1}
        set_rate(job.stage, choose_rate(job.stage, job.data, lr_grid, job.patience, one_device))
    return train(World(), job, loggers)
