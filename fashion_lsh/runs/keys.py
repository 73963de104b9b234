"""Keys of runs and finished stages: hashes of the settings that decide a result, of the data and of the version."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fashion_lsh import __version__
from fashion_lsh.io.files import checksum

UNIMPORTANT = ("name", "fresh", "logger", "runs", "jobs", "rates")  # settings that change no result by themselves
OF_MACHINE = ("root", "workers")  # of the data: where its files lie, and how many processes load them
OF_DETECTOR = ("detector", "scenes", "trainer", "seed")  # settings that a stage depends on
OF_CLASSIFIER = (*OF_DETECTOR, "data", "backbone", "classifier")
OF_STAGE = {
    "detector": OF_DETECTOR, "boxes": OF_DETECTOR, "classifier": OF_CLASSIFIER, "hasher": (*OF_CLASSIFIER, "hash"),
}  # fmt: skip
OF_LOOKING = ("mirrored",)  # settings of the detector that its fit does not depend on


def portable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that decide a result, without paths of the machine: weights by the checksum of their file."""
    kept = {name: value for name, value in settings.items() if name not in UNIMPORTANT}
    kept["data"] = {name: value for name, value in settings["data"].items() if name not in OF_MACHINE}
    if kept["scenes"]:
        kept["scenes"] = {name: value for name, value in kept["scenes"].items() if name not in OF_MACHINE}
    for name in ("backbone", "detector"):
        if settings[name]:
            weights = settings[name]["weights"]
            kept[name] = {**settings[name], "weights": _content(weights) or weights}
    return kept


def run_key(settings: Mapping[str, Any], data: str) -> str:
    """8 hex digits of the settings that matter, the data's checksum and the package's version."""
    return _digest(portable(settings), data)


def stage_keys(settings: Mapping[str, Any], data: str) -> dict[str, str]:
    """8 hex digits for each stage, and for the detected boxes; equal where the same is made of the same images."""
    kept = portable(settings)
    keys = {stage: _digest({name: kept[name] for name in OF_STAGE[stage]}, data) for stage in OF_STAGE}
    if not settings["detector"]:
        return {stage: key for stage, key in keys.items() if stage not in ("detector", "boxes")}
    fitted = {name: value for name, value in kept["detector"].items() if name not in OF_LOOKING}
    own = {**kept, "detector": fitted}
    return keys | {"detector": _digest({name: own[name] for name in OF_DETECTOR}, data)}


def _digest(settings: Mapping[str, Any], data: str) -> str:
    content = {**settings, "checksum": data, "version": __version__}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def _content(weights: str | None) -> str | None:
    """Checksum of a file of weights: another file of the same name is another start."""
    file = Path(weights or "").expanduser()
    return f"sha256 {checksum(file)[:16]}" if weights and file.is_file() else None
