"""Fit one stage: go on where it stopped, keep the best epoch, make its masses mean something."""

import io
import logging
import shutil
import time
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar
from pytorch_lightning.loggers import CSVLogger, Logger
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch.utils.data import DataLoader

from fashion_lsh.files import written
from fashion_lsh.stages.learner import Learner

log = logging.getLogger(__name__)

warnings.filterwarnings("ignore", module="pytorch_lightning")  # on its own internals; nothing a user can act on

S = TypeVar("S", bound=Learner)


class Data(Protocol):
    """What a stage learns from."""

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
        The stage with the weights of its best epoch on `val` (see Learner.monitor), settled, in evaluation mode.
    """
    final = folder / f"{stage.name}.ckpt"
    if final.exists():
        log.info("%s: finished before, read from %s", stage.name, final)
        return load(type(stage), final, accelerator)
    drafts, last = folder / "fitting" / stage.name, folder / "fitting" / stage.name / "last.ckpt"
    keep = _keeping(stage, drafts, patience)
    every = ModelCheckpoint(drafts, filename="last", enable_version_counter=False)  # after `keep`: knows what it kept
    runner = pl.Trainer(
        max_epochs=stage.hparams["epochs"],
        callbacks=[*stage.callbacks(), *keep, every, EpochLog(), RichProgressBar(refresh_rate=10)],
        logger=list(loggers),
        plugins=[WholeCheckpoints()],
        enable_model_summary=False,
        log_every_n_steps=10,
        num_sanity_val_steps=0,
        accelerator=accelerator,
        precision=precision or _precision(accelerator),  # type: ignore[arg-type]
        **trainer,
    )
    runner.fit(
        stage,
        data.train_dataloader(),
        data.val_dataloader(),
        ckpt_path=last if last.exists() else None,
        weights_only=True,
    )
    facts = _chosen(stage, drafts / "best.ckpt" if keep else last, keep)
    stage.to(device(accelerator))  # Lightning leaves it on the CPU
    stage.facts = facts | stage.settle(data)
    save(stage, final)
    shutil.rmtree(drafts.parent)
    return stage.eval()


def _keeping(stage: Learner, drafts: Path, patience: int | None) -> list[Callback]:
    """What keeps a stage's best epoch, and may end its fit early; nothing where no metric tells which is best."""
    if stage.monitor is None:
        return []
    watched: dict[str, Any] = {"monitor": stage.monitor, "mode": "max"}
    best = Best(drafts, filename="best", enable_version_counter=False, **watched)
    return [best] if patience is None else [best, Patience(patience=patience, **watched)]


def _chosen(stage: Learner, path: Path, keep: Sequence[Callback]) -> dict[str, float]:
    """Take the weights of a checkpoint (averaged ones, where they are); of the best epoch tell which it was, and its
    score."""
    chosen = torch.load(path, map_location="cpu", weights_only=True)
    stage.load_state_dict(chosen["state_dict"])
    scores = [each.best_model_score for each in keep if isinstance(each, Best)]
    return {name: value for score in scores for name, value in (
        (f"{stage.name}/best_epoch", int(chosen["epoch"]) + 1), (str(stage.monitor), float(score or 0)),
    )}  # fmt: skip


def save(stage: Learner, path: Path) -> None:
    """Write weights, hyper-parameters and facts, whole or not at all."""
    content = {
        "state_dict": {name: value.cpu() for name, value in stage.state_dict().items()},  # opens without a GPU
        "hyper_parameters": dict(stage.hparams),
        "pytorch-lightning_version": version("pytorch-lightning"),
        "facts": dict(stage.facts),
    }
    _write(content, path)


def load(kind: type[S], path: Path, accelerator: str = "auto") -> S:
    """Open a finished stage, to answer on this accelerator; nothing but plain values and tensors is unpickled.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or of another version.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"no checkpoint at {path}: remove metrics.json, if it is there, and type the run's train.py command again "
            "(with fresh=true, if its scores are read from a job's file)"
        )
    try:
        return kind.load_from_checkpoint(path, map_location=device(accelerator), weights_only=True).eval()
    except Exception as error:  # reading bytes that are no checkpoint, or one of other arguments, may fail in any way
        raise ValueError(
            f"{path} is damaged, or was made by another version ({type(error).__name__}): remove it and metrics.json, "
            "and type the run's train.py command again"
        ) from error


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoints, whole or not at all."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        _write(checkpoint, Path(path))


class CsvLog(CSVLogger):
    """Lightning's CSV log, that names its file where it cannot be written."""

    def save(self) -> None:
        try:
            super().save()
        except OSError as error:
            reason = error.strerror or error
            raise OSError(f"{self.log_dir} could not be written to ({reason}): free some space, then go on") from error


class Best(ModelCheckpoint):
    """Knows its best epoch also where the run's folder was moved: Lightning forgets it with the path."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        best = str(Path(self.dirpath or "") / "best.ckpt")
        moved = {"dirpath": self.dirpath, "best_model_path": best, "kth_best_model_path": best}
        super().load_state_dict({**state_dict, **moved, "best_k_models": {best: state_dict["best_model_score"]}})


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


def check_accelerator(accelerator: str) -> None:
    """Refuse a device that is not there.

    Raises:
        ValueError: a GPU is asked for, and there is none.
    """
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise ValueError("trainer=gpu: no GPU is seen here; give trainer=auto or trainer=cpu")


def device(accelerator: str) -> torch.device:
    """Where finished stages answer: on the GPU, if there is one and it is not to be left alone (`cpu`)."""
    return torch.device("cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu")


def _write(content: dict[str, Any], path: Path) -> None:
    """torch.save by way of memory: on a full disk its own writer dies of something else and hides why."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with written(path) as draft:
        draft.write_bytes(buffer.getbuffer())


def _precision(accelerator: str) -> str:
    """Mixed precision where the device has it."""
    gpu = device(accelerator).type == "cuda"
    return "bf16-mixed" if gpu and torch.cuda.is_bf16_supported() else "32-true"
