"""Checkpoints of trained networks: written atomically, loaded with weights_only=True."""

import io
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fashion_lsh.io.files import atomic_write
from fashion_lsh.io.targets import ComponentError, constructor_parameters
from fashion_lsh.models.memory_format import use_inference_format

# Module of each network, imported on demand: a model of crops must not import torchvision's detectors.
NETWORKS = {
    "ClassifierModel": "classifier", "HashHeadModel": "hash_head", "DetectorModel": "detector",
    "LSH": "baselines", "PCA": "baselines", "ITQ": "baselines", "PredictedCategory": "baselines",
    "ItemCodeModel": "item_codes", "ItemLDA": "item_codes",
}  # fmt: skip
PREFIX = "model."  # prefix of the keys in state dicts of the LightningModules, whose attribute `model` is the network


def save_model(model: nn.Module, path: Path, hyper_parameters: Mapping[str, Any]) -> None:
    """Save weights, hyper-parameters and fit metrics (see CropModel) atomically.

    The file is also a Lightning checkpoint, which `load_from_checkpoint` of the LightningModule can load.

    Args:
        model: one of NETWORKS.
        path: path of the checkpoint.
        hyper_parameters: hyper-parameters of the LightningModule that trained the network; for a baseline, the
            arguments of its constructor.
    """
    content = {
        "network": type(model).__name__,
        "state_dict": {f"{PREFIX}{name}": value.cpu() for name, value in model.state_dict().items()},
        "hyper_parameters": dict(hyper_parameters),
        "pytorch-lightning_version": version("pytorch-lightning"),
        "fit_metrics": dict(model.fit_metrics),  # type: ignore[arg-type]
    }
    write_checkpoint(content, path)


def read_hyper_parameters(path: Path) -> dict[str, Any]:
    """Read the hyper-parameters of a checkpoint written by `save_model`, such as the specification of its backbone."""
    return dict(torch.load(path, map_location="cpu", weights_only=True)["hyper_parameters"])


def load_model(path: Path, accelerator: str = "auto", **overrides: Any) -> Any:
    """Load a trained network in evaluation mode; only plain values and tensors are unpickled.

    Args:
        path: a file written by `save_model`.
        accelerator: `auto`, `cpu`, `gpu` or `mps`.
        overrides: constructor arguments that replace the saved values; unknown arguments are ignored.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is damaged or was written by another version, or the GPU is out of memory.
        ComponentError: backbone or loss cannot be created: a package or the user's own module is missing, the class
            has changed, or may not be used (see `restricted`).
    """
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: checkpoint not found; delete metrics.json, if present, and repeat the run's train command "
            "(with overwrite=true, if its scores are read from a job's file)"
        )
    try:
        model = _build_model(torch.load(path, map_location="cpu", weights_only=True), overrides)
    except ComponentError as error:
        raise ComponentError(f"{path}: {error}") from error
    except Exception as error:  # invalid files and arguments of other versions raise many exception types
        raise ValueError(
            f"{path}: damaged, or written by another version ({type(error).__name__}); delete it and metrics.json, "
            "and repeat the run's train command"
        ) from error
    try:
        model.to(inference_device(accelerator))
    except torch.OutOfMemoryError as error:
        raise ValueError(
            f"{path}: GPU out of memory; free GPU memory, or run on the CPU (CUDA_VISIBLE_DEVICES= before the command)"
        ) from error
    use_inference_format(model)
    return model.eval()


def _build_model(content: Mapping[str, Any], overrides: Mapping[str, Any]) -> nn.Module:
    module = import_module(f"fashion_lsh.models.{NETWORKS[content['network']]}")
    stage_class = getattr(module, content["network"])
    parameters = constructor_parameters(stage_class)
    arguments = {**content["hyper_parameters"], **overrides}
    model = stage_class(**{name: value for name, value in arguments.items() if name in parameters})
    weights = {name.removeprefix(PREFIX): value for name, value in content["state_dict"].items()}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:  # another version of this package, or of a user's own class
        raise ComponentError(
            f"the weights do not fit {content['network']}; restore the code that trained it, or train it again"
        ) from error
    model.fit_metrics = dict(content["fit_metrics"])
    return model


def equal_weights(one: nn.Module, other: nn.Module) -> bool:
    """Return whether two networks have the same weights, bit for bit."""
    states = one.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(value, states[1][name].to(value.device)) for name, value in states[0].items()
    )


def min_checkpoint_bytes(models: Sequence[nn.Module]) -> int:
    """Minimum disk space of checkpoints in bytes.

    Sum of the weights of all networks, plus best epoch, last epoch and optimizer state of the largest network.
    """
    sizes = [sum(value.nbytes for value in model.state_dict().values()) for model in models]
    return sum(sizes) + 3 * max(sizes)


def check_accelerator(accelerator: str) -> None:
    """Check that the requested device is available.

    Raises:
        ValueError: a GPU is requested, but none is available.
    """
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise ValueError("trainer=gpu: no GPU available; set trainer=auto or trainer=cpu")
    if accelerator == "mps" and not torch.backends.mps.is_available():
        raise ValueError("trainer.accelerator=mps: no Apple GPU available; set trainer=auto or trainer=cpu")


def inference_device(accelerator: str) -> torch.device:
    """Device for training and inference: with `auto`, an NVIDIA GPU or an Apple GPU (MPS) if one is available."""
    if accelerator in ("auto", "gpu") and torch.cuda.is_available():
        return torch.device("cuda")
    is_mps = accelerator in ("auto", "mps") and torch.backends.mps.is_available()
    return torch.device("mps" if is_mps else "cpu")


def default_precision(accelerator: str) -> str:
    """Precision of training: bfloat16 mixed precision if the GPU supports it natively, since emulation is slow."""
    gpu = inference_device(accelerator).type == "cuda"
    return "bf16-mixed" if gpu and torch.cuda.is_bf16_supported(including_emulation=False) else "32-true"


def write_checkpoint(content: Mapping[str, Any], path: Path) -> None:
    """Save a checkpoint atomically.

    The content is serialised in memory first: on a full disk, the error of torch.save to a file hides the reason.
    """
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)
    with atomic_write(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())
