"""Hardware and library versions, recorded with the metrics of a run."""

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from fashion_lsh import __version__

LIBRARIES = ("torch", "torchvision", "pytorch-lightning", "faiss-cpu", "numpy", "pillow")


def environment(gpu: bool = True) -> dict[str, Any]:
    """Versions, processor, cores, threads and GPU, by name.

    Args:
        gpu: whether the run uses a GPU if one is available.
    """
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
    """Name of the processor, from /proc/cpuinfo on Linux, otherwise from `platform`."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
