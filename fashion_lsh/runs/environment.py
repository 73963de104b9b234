"""The machine and the libraries, for beside the figures."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from fashion_lsh import __version__

LIBRARIES = ("torch", "torchvision", "pytorch-lightning", "faiss-cpu", "numpy", "pillow")


def environment(gpu: bool = True) -> dict[str, Any]:
    """Versions, processor, cores, threads and GPU, by name; `gpu`: whether one computes, where there is one."""
    return {
        "fashion-lsh": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if gpu and torch.cuda.is_available() else None,
    }


def _processor() -> str:
    """The processor's name as Linux tells it, elsewhere as Python does."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
