"""Hardware and library versions, recorded with the metrics of a run."""

import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from fashion_lsh import __version__
from fashion_lsh.runs.component_versions import code_version, own_code

LIBRARIES = ("torch", "torchvision", "timm", "pytorch-lightning", "faiss-cpu", "numpy", "pillow")


def environment(gpu: bool = True, config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Versions of code and libraries, processor, cores, threads and GPU, by name.

    Args:
        gpu: whether the run uses a GPU if one is available.
        config: config of the run; the files of the user's own classes that it names are hashed.
    """
    return {
        "fashion-lsh": __version__,
        "code_version": code_version(),
        "own_code": " ".join(f"{module}:{code}" for module, code in own_code(config or {}).items()) or None,
        "commit": _commit(),
        "python": platform.python_version(),
        **{name: _version(name) for name in LIBRARIES},
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if gpu and torch.cuda.is_available() else None,
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@cache
def _commit() -> str | None:
    """Commit of the checkout, with "(modified)" if a tracked file has changed; None outside a git checkout."""
    folder = Path(__file__).parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return f"{commit} (modified)" if _git(folder, "status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.SubprocessError):  # git is not installed, or the folder belongs to another user
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _processor() -> str:
    """Name of the processor, from /proc/cpuinfo on Linux, otherwise from `platform`."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
