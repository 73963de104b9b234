"""Lightning callbacks, logger and checkpoint plugin."""

import logging
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, WeightAveraging
from pytorch_lightning.loggers import CSVLogger, Logger
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor

from fashion_lsh.io.targets import Spec, create, instantiate
from fashion_lsh.models.checkpoints import write_checkpoint

log = logging.getLogger(__name__)


def create_callbacks(nodes: Mapping[str, Spec]) -> list[Callback]:
    """Create Lightning callbacks; `nodes` maps names to `module.Class` or mappings with `_target_`.

    Raises:
        ComponentError: a class cannot be imported, is not a Callback, or has other arguments.
    """
    return [
        each if type(each).__module__.startswith("pytorch_lightning.") else guard(each, f"callbacks.{name}")
        for name, each in ((name, create(node, Callback, {}, f"callbacks.{name}")) for name, node in nodes.items())
    ]


def guard(callback: Callback, key: str) -> Callback:
    """Log the exceptions of a user's own callback instead of ending the training; the callback is then ignored.

    Args:
        callback: callback, changed in place.
        key: config key, for the message.
    """
    for name in _HOOKS:
        if getattr(type(callback), name) is not getattr(Callback, name):
            setattr(callback, name, _GuardedHook(callback, name, key))
    return callback


_HOOKS = (
    *(name for name in dir(Callback) if name.startswith("on_") and name != "on_exception"),
    "setup", "teardown", "state_dict", "load_state_dict",
)  # fmt: skip


@dataclass(frozen=True)
class _GuardedHook:
    """Hook of a callback that logs exceptions; a class, since pickle sends callbacks to other processes."""

    callback: Callback
    name: str
    key: str

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        try:
            return getattr(type(self.callback), self.name)(self.callback, *arguments, **options)
        except Exception as error:  # code of the user: any exception is possible
            log.error("%s.%s failed (%s: %s); the callback is not used any more", self.key, self.name,
                      type(error).__name__, error)  # fmt: skip
            log.debug("%s", self.key, exc_info=error)
            for other in _HOOKS:
                setattr(self.callback, other, _do_nothing)
            return {}


def _do_nothing(*_: Any, **__: Any) -> dict[str, Any]:
    return {}  # an empty state_dict; other results are ignored


def create_loggers(nodes: Mapping[str, Mapping[str, Any]], folder: Path, stage: str) -> list[Logger]:
    """Create Lightning loggers of a stage that write to `<folder>/<name>/<stage>`; see `create_callbacks`."""
    options = {
        name: {"save_dir": str(folder), "name": name, "version": stage} | dict(node) for name, node in nodes.items()
    }
    return [instantiate(node, Logger) for node in options.values()]  # type: ignore[type-abstract]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write Lightning checkpoints atomically."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        write_checkpoint(checkpoint, Path(path))


class AveragedWeights(WeightAveraging):
    """Exponential moving average of the weights, updated after each step; integers, such as counters, are not averaged.

    Lightning's EMAWeightAveraging truncates the averages of integers, for example of the position indices of Swin.

    Args:
        decay: weight of the previous average, 0..1.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(avg_fn=partial(exponential_average, decay=decay))


def exponential_average(averaged: Tensor, current: Tensor, _num_averaged: Tensor | int, decay: float) -> Tensor:
    """Average a tensor, decay * averaged + (1 - decay) * current; return `current` if it is not floating-point."""
    return decay * averaged + (1 - decay) * current if current.is_floating_point() else current


class BestCheckpoint(ModelCheckpoint):
    """ModelCheckpoint that keeps the latest of equally good epochs, and the best epoch after the run folder was moved.

    Lightning keeps the first of equally good epochs, and the first epoch if the metric is NaN; on few validation images
    this epoch may be hardly trained. Lightning also resets the best epoch if the path of the folder has changed.
    """

    def check_monitor_top_k(self, trainer: pl.Trainer, current: Tensor | None = None) -> bool:
        """Return True if the value of the epoch is at least as good as the best value, or all values are NaN."""
        if super().check_monitor_top_k(trainer, current) or current is None or self.best_model_score is None:
            return True
        has_value = bool(self.best_model_score.isfinite())
        return bool(current == self.best_model_score) or bool(current.isnan() and not has_value)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        best = str(Path(self.dirpath or "") / "best.ckpt")
        paths = {"dirpath": self.dirpath, "best_model_path": best, "kth_best_model_path": best}
        super().load_state_dict({**state_dict, **paths, "best_k_models": {best: state_dict["best_model_score"]}})


class RunCSVLogger(CSVLogger):
    """CSVLogger whose write errors name the folder."""

    def save(self) -> None:
        try:
            super().save()
        except OSError as error:
            reason = error.strerror or error
            raise OSError(f"{self.log_dir}: not writable ({reason}); free disk space, then resume") from error


class ResumableEarlyStopping(EarlyStopping):
    """EarlyStopping that does not continue a training that had stopped early before it was resumed."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = 0 < self.wait_count >= self.patience


class DefaultSigterm(Callback):
    """End this process at once on SIGTERM, and thereby all others.

    Lightning's handler sends a message to all processes, which blocks if one has died; torchrun then waits 30 s.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Lightning restores the handler after training


class EpochLogger(Callback):
    """Log the metrics and the duration in seconds of each epoch."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.start_time = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        values = {name.split("/", 1)[1]: float(value) for name, value in trainer.callback_metrics.items()}
        summary = ", ".join(f"{name} {value:.4f}" for name, value in sorted(values.items()))
        seconds = time.perf_counter() - self.start_time
        epoch, max_epochs = trainer.current_epoch + 1, trainer.max_epochs or 0
        log.info("%s: epoch %d/%d: %s, %.0f s", pl_module.name, epoch, max_epochs, summary, seconds)
