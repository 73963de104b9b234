"""Which settings decide a result: the names that runs and finished stages are found by."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fashion_lsh import __version__
from fashion_lsh.io.files import checksum

UNIMPORTANT = ("name", "fresh", "logger", "runs", "jobs", "rates")  # settings that change no result by themselves
OF_MACHINE = ("root", "workers")  # of the data: where its files lie, and how many processes load them
NEUTRAL: dict[str, dict[str, Any]] = {  # settings that came later, with the value that changes nothing, by their group
    "detector": {"ratios": [0.5, 1.0, 2.0], "mirrored": False}, "crop": {"corrupted": []},
    "hash": {"loss": "softmax", "bihalf": False, "item_weight": 0.0},
}  # fmt: skip
OF_DETECTOR = ("detector", "scenes", "trainer", "seed")  # settings that a stage depends on
OF_CLASSIFIER = (*OF_DETECTOR, "data", "backbone", "classifier")
OF_STAGE = {
    "detector": OF_DETECTOR, "boxes": OF_DETECTOR, "classifier": OF_CLASSIFIER, "hasher": (*OF_CLASSIFIER, "hash"),
}  # fmt: skip
OF_LOOKING = ("mirrored",)  # of the detector: how it is used, whatever it was fitted by


def portable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that matter, without paths of the machine: weights by what is in their file."""
    kept = {name: value for name, value in settings.items() if name not in UNIMPORTANT}
    kept["data"] = {name: value for name, value in settings["data"].items() if name not in OF_MACHINE}
    if kept["scenes"]:
        kept["scenes"] = {name: value for name, value in kept["scenes"].items() if name not in OF_MACHINE}
    for name in ("backbone", "detector"):
        if settings[name]:
            weights = settings[name]["weights"]
            kept[name] = {**settings[name], "weights": _content(weights) or weights}
    return kept


def comparable(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that decide a result: equal where the same result is meant."""
    return _told(portable(settings))


def run_key(settings: Mapping[str, Any], data: str) -> str:
    """8 hex digits of the settings that matter, the data's checksum and the package's version."""
    return _digest(portable(settings), data)


def stage_keys(settings: Mapping[str, Any], data: str) -> dict[str, str]:
    """For each stage, and for the boxes found, 8 hex digits: where they are equal, the same was made of the same
    pictures."""
    kept, boxed = portable(settings), ("detector", "boxes")
    told = {stage: kept for stage in OF_STAGE if stage not in boxed or settings["detector"]}
    if settings["detector"]:
        fitted = {name: value for name, value in kept["detector"].items() if name not in OF_LOOKING}
        told["detector"] = {**kept, "detector": fitted}
    return {stage: _digest({name: told[stage][name] for name in OF_STAGE[stage]}, data) for stage in told}


def _digest(settings: Mapping[str, Any], data: str) -> str:
    content = {**_told(settings), "checksum": data, "version": __version__}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def _told(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without those that came later and change nothing: what was made before them keeps its name."""
    told = dict(settings)
    for group, neutral in NEUTRAL.items():
        if told.get(group):
            told[group] = {
                name: value for name, value in told[group].items() if name not in neutral or value != neutral[name]
            }
    return told


def _content(weights: str | None) -> str | None:
    """What stands for a file of weights: another file of the same name is another start."""
    file = Path(weights or "").expanduser()
    return f"sha256 {checksum(file)[:16]}" if weights and file.is_file() else None
