"""Checkpoints of stages: whole or not there, and opened without running anything in them."""

import io
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from fashion_lsh.io.files import written
from fashion_lsh.models.efficientnet_lite import MissingPackageError
from fashion_lsh.training.module import Stage

S = TypeVar("S", bound=Stage)


def save(stage: Stage, path: Path) -> None:
    """Write weights, hyper-parameters and facts, whole or not at all."""
    content = {
        "state_dict": {name: value.cpu() for name, value in stage.state_dict().items()},  # opens without a GPU
        "hyper_parameters": dict(stage.hparams),
        "pytorch-lightning_version": version("pytorch-lightning"),
        "facts": dict(stage.facts),
    }
    _write(content, path)


def load(kind: type[S], path: Path, accelerator: str = "auto", **changed: Any) -> S:
    """Open a finished stage, to answer on this accelerator; nothing but plain values and tensors is unpickled.

    `changed` are hyper-parameters that it shall have instead of those it was fitted with.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or of another version; or the GPU has no room for it.
        MissingPackageError: its network wants a package that is not there.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"no checkpoint at {path}: remove metrics.json, if it is there, and type the run's train.py command again "
            "(with fresh=true, if its scores are read from a job's file)"
        )
    try:
        stage = kind.load_from_checkpoint(path, map_location="cpu", weights_only=True, **changed)
    except MissingPackageError:
        raise
    except Exception as error:  # reading bytes that are no checkpoint, or one of other arguments, may fail in any way
        raise ValueError(
            f"{path} is damaged, or was made by another version ({type(error).__name__}): remove it and metrics.json, "
            "and type the run's train.py command again"
        ) from error
    try:
        return stage.to(device(accelerator)).eval()
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f"the GPU has no room for {path}: free some, or leave it alone (CUDA_VISIBLE_DEVICES= before the command)"
        ) from error


def least_bytes(stages: Sequence[Stage]) -> int:
    """What their files take on the disk at least: each its weights, and while it is fitted its best epoch and last
    state, the optimizer's with it."""
    sizes = [sum(value.nbytes for value in stage.state_dict().values()) for stage in stages]
    return sum(sizes) + 3 * max(sizes)


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoints, whole or not at all."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        _write(checkpoint, Path(path))


class Best(ModelCheckpoint):
    """Knows its best epoch also where the run's folder was moved: Lightning forgets it with the path."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        best = str(Path(self.dirpath or "") / "best.ckpt")
        moved = {"dirpath": self.dirpath, "best_model_path": best, "kth_best_model_path": best}
        super().load_state_dict({**state_dict, **moved, "best_k_models": {best: state_dict["best_model_score"]}})


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
