"""Checkpoints of finished networks: written atomically, opened without running anything in them."""

import inspect
import io
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fashion_lsh.io.files import atomic_write
from fashion_lsh.models.baselines import ITQ, LSH, PredictedCategory
from fashion_lsh.models.classifier import ClassifierModel
from fashion_lsh.models.detector import DetectorModel
from fashion_lsh.models.efficientnet_lite import MissingPackageError
from fashion_lsh.models.hash_head import HashHeadModel

NETWORKS: dict[str, type[nn.Module]] = {
    stage_class.__name__: stage_class
    for stage_class in (ClassifierModel, HashHeadModel, DetectorModel, LSH, ITQ, PredictedCategory)
}
PREFIX = "model."  # of the network's weights in the state dict of its LightningModule


def save_model(model: nn.Module, path: Path, hyper_parameters: Mapping[str, Any]) -> None:
    """Write weights, hyper-parameters and fit metrics atomically.

    The file is a Lightning checkpoint, too: the LightningModule with these hyper-parameters opens it by
    `load_from_checkpoint`.

    Args:
        model: one of NETWORKS.
        path: of the file.
        hyper_parameters: of the LightningModule that trained it, or the network's own arguments.
    """
    content = {
        "network": type(model).__name__,
        "state_dict": {f"{PREFIX}{name}": value.cpu() for name, value in model.state_dict().items()},
        "hyper_parameters": dict(hyper_parameters),
        "pytorch-lightning_version": version("pytorch-lightning"),
        "fit_metrics": dict(model.fit_metrics),  # type: ignore[arg-type]
    }
    write_checkpoint(content, path)


def load_model(path: Path, accelerator: str = "auto", **overrides: Any) -> Any:
    """Open a finished network in evaluation mode on this accelerator; only plain values and tensors are unpickled.

    Args:
        path: a file that `save_model` wrote.
        accelerator: `auto`, `cpu` or `gpu`.
        overrides: arguments that replace those it was trained with; what its constructor does not take is ignored.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or of another version; or the GPU is out of memory.
        MissingPackageError: its backbone needs a package that is not installed.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"no checkpoint at {path}: remove metrics.json, if it is there, and type the run's train.py command again "
            "(with overwrite=true, if its scores are read from a job's file)"
        )
    try:
        model = _build_model(torch.load(path, map_location="cpu", weights_only=True), overrides)
    except MissingPackageError:
        raise
    except Exception as error:  # reading bytes that are no checkpoint, or one of other arguments, may fail in any way
        raise ValueError(
            f"{path} is damaged, or was made by another version ({type(error).__name__}): remove it and metrics.json, "
            "and type the run's train.py command again"
        ) from error
    try:
        return model.to(inference_device(accelerator)).eval()
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f"the GPU has no room for {path}: free some, or leave it alone (CUDA_VISIBLE_DEVICES= before the command)"
        ) from error


def _build_model(content: Mapping[str, Any], overrides: Mapping[str, Any]) -> nn.Module:
    stage_class = NETWORKS[content["network"]]
    known = inspect.signature(stage_class).parameters
    arguments = {**content["hyper_parameters"], **overrides}
    model = stage_class(**{name: value for name, value in arguments.items() if name in known})
    model.load_state_dict({name.removeprefix(PREFIX): value for name, value in content["state_dict"].items()})
    model.fit_metrics = dict(content["fit_metrics"])  # type: ignore[assignment]
    return model


def min_bytes(models: Sequence[nn.Module]) -> int:
    """Least disk space of their checkpoints: the weights of each, and while one is trained its best epoch and last
    state with the optimizer's."""
    sizes = [sum(value.nbytes for value in model.state_dict().values()) for model in models]
    return sum(sizes) + 3 * max(sizes)


def check_accelerator(accelerator: str) -> None:
    """Refuse a device that is not there.

    Raises:
        ValueError: a GPU is requested, and there is none.
    """
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise ValueError("trainer=gpu: no GPU is seen here; give trainer=auto or trainer=cpu")


def inference_device(accelerator: str) -> torch.device:
    """Device of finished networks: the GPU, if there is one and `accelerator` is not `cpu`."""
    return torch.device("cuda" if accelerator != "cpu" and torch.cuda.is_available() else "cpu")


def write_checkpoint(content: Mapping[str, Any], path: Path) -> None:
    """torch.save by way of memory: on a full disk its own writer raises another error and hides the reason."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    with atomic_write(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
