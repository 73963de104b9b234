"""Files of weights: read state dicts, look them up in the caches of torch.hub and Hugging Face, and download them."""

from collections.abc import Mapping, Sequence
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor

from fashion_lsh.io.downloads import socket_timeout

TIMEOUT_S = 5.0  # limit per address and read, so that a machine without network fails soon


def read_state_dict(file: Path) -> Mapping[str, Tensor]:
    """Read a state dict written by torch.save, or a `.safetensors` file.

    Raises:
        ValueError: the file is damaged, or has other content.
    """
    try:
        state = _read_safetensors(file) if file.suffix == ".safetensors" else _read_pickle(file)
    except Exception as error:  # both libraries raise many exception types for invalid files
        raise ValueError(
            f"{file}: not readable ({error}); pass a state dict written by torch.save, or a .safetensors file"
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items()
    ):
        raise ValueError(f"{file}: not a plain state dict; pass a file with only `network.state_dict()`")
    return state


def _read_safetensors(file: Path) -> object:
    from safetensors.torch import load_file

    return load_file(file)


def _read_pickle(file: Path) -> object:
    return torch.load(file, map_location="cpu", weights_only=True)


def hub_folder() -> Path:
    """Folder of the files that torch.hub downloads."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def hub_weights(url: str) -> tuple[Path, Mapping[str, Tensor]]:
    """Path and state dict of a file of torch.hub's folder; the file is downloaded once.

    Raises:
        FileNotFoundError: the file is missing and cannot be downloaded.
    """
    file = hub_folder() / url.rsplit("/", 1)[1]
    if file.is_file():
        return file, read_state_dict(file)
    try:
        with socket_timeout(TIMEOUT_S):
            return file, torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
    except (OSError, HTTPException, RuntimeError) as error:  # no network, an invalid response, or a hash mismatch
        raise FileNotFoundError(
            f"{file}: download failed ({error}); put the file there, or set backbone.weights=null for random weights"
        ) from error


def hugging_face_folder() -> Path:
    """Folder of the files that Hugging Face's hub downloads."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def hugging_face_weights(repository: str, names: Sequence[str]) -> tuple[Path, Mapping[str, Tensor]]:
    """Path and state dict of the first existing file of a repository; a cached file needs no network.

    Args:
        repository: `owner/name`, or `owner/name@revision`.
        names: file names in order of preference.

    Raises:
        FileNotFoundError: the file is missing and cannot be downloaded.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    repository, _, revision = repository.partition("@")
    cache = hugging_face_folder()
    for name in names:
        cached = try_to_load_from_cache(repository, name, cache_dir=cache, revision=revision or None)
        if isinstance(cached, str):
            return Path(cached), read_state_dict(Path(cached))
    reason: Exception = FileNotFoundError("no such file in the repository")
    for name in names:
        try:
            file = hf_hub_download(repository, name, revision=revision or None, cache_dir=cache, etag_timeout=TIMEOUT_S)
            return Path(file), read_state_dict(Path(file))
        except LocalEntryNotFoundError as error:  # no network, or HF_HUB_OFFLINE=1
            reason = error
            break
        except EntryNotFoundError as error:  # the repository has the weights in another format
            reason = error
        except (OSError, RuntimeError) as error:  # the repository is private, or the disk is full
            reason = error
            break
    folder = cache / f"models--{repository.replace('/', '--')}"
    text = " ".join(str(reason).split())[:200]
    raise FileNotFoundError(
        f"{folder}/snapshots/REVISION/{names[0]}: download failed ({text}); put the file of {repository} there and the "
        f"name of the folder REVISION into {folder}/refs/{revision or 'main'} (docs/backbones.md), or set "
        "backbone.weights to the path of the file, or to null for random weights"
    )
