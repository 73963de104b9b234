"""Which settings decide a result: the names that runs and finished stages are found by."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fashion_lsh import __version__
from fashion_lsh.files import checksum

UNIMPORTANT = ("name", "fresh", "logger", "runs")  # settings that change no result
OF_CLASSIFIER = ("data", "backbone", "classifier", "trainer", "seed")  # settings that a stage depends on
OF_STAGE = {"classifier": OF_CLASSIFIER, "hasher": (*OF_CLASSIFIER, "hash")}


def run_key(settings: Mapping[str, Any], split: str) -> str:
    """8 hex digits of the settings that matter, the checksum of the splits and the package's version."""
    return _digest({name: value for name, value in settings.items() if name not in UNIMPORTANT}, split)


def stage_keys(settings: Mapping[str, Any], split: str) -> dict[str, str]:
    """For each stage 8 hex digits: where they are equal, the same was fitted on the same pictures."""
    return {stage: _digest({name: settings[name] for name in names}, split) for stage, names in OF_STAGE.items()}


def _digest(settings: Mapping[str, Any], split: str) -> str:
    content = {**settings, "split": split, "version": __version__}
    # how many processes load the pictures changes no result
    content["data"] = {name: value for name, value in settings["data"].items() if name != "workers"}
    content["weights"] = _content(settings["backbone"]["weights"])
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def _content(weights: str | None) -> str | None:
    """What is in a file of weights: another file of the same name is another start."""
    file = Path(weights or "").expanduser()
    return checksum(file) if weights and file.is_file() else None
