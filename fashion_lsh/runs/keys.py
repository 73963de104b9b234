"""Keys of runs and stages: hashes of the data, the package version and all settings that affect results."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fashion_lsh import __version__
from fashion_lsh.io.files import checksum

IGNORED_KEYS = ("name", "overwrite", "logger", "runs", "jobs", "rates")  # settings without effect on results
MACHINE_KEYS = ("root", "workers")  # data settings that depend on the machine: path, number of loader processes
DETECTOR_KEYS = ("detector", "scenes", "trainer", "seed")  # config keys that affect the detector
CLASSIFIER_KEYS = (*DETECTOR_KEYS, "data", "backbone", "classifier")
STAGE_KEYS = {
    "detector": DETECTOR_KEYS, "detections": DETECTOR_KEYS, "classifier": CLASSIFIER_KEYS,
    "hash_head": (*CLASSIFIER_KEYS, "hash"),
}  # fmt: skip
INFERENCE_KEYS = ("flip_tta",)  # detector settings that do not affect training


def canonical_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that affect results, without settings of the machine; weights files are replaced by checksums."""
    canonical = {name: value for name, value in config.items() if name not in IGNORED_KEYS}
    canonical["data"] = {name: value for name, value in config["data"].items() if name not in MACHINE_KEYS}
    if canonical["scenes"]:
        canonical["scenes"] = {name: value for name, value in canonical["scenes"].items() if name not in MACHINE_KEYS}
    for name in ("backbone", "detector"):
        if config[name]:
            weights = config[name]["weights"]
            canonical[name] = {**config[name], "weights": _weights_checksum(weights) or weights}
    return canonical


def run_key(config: Mapping[str, Any], data: str) -> str:
    """Run key of 8 hex digits: hash of the canonical config, the data checksum and the package version."""
    return _digest(canonical_config(config), data)


def stage_keys(config: Mapping[str, Any], data: str) -> dict[str, str]:
    """Key of 8 hex digits for each stage and for the detections; equal for equal settings, data and version."""
    canonical = canonical_config(config)
    keys = {stage: _digest({name: canonical[name] for name in STAGE_KEYS[stage]}, data) for stage in STAGE_KEYS}
    if not config["detector"]:
        return {stage: key for stage, key in keys.items() if stage not in ("detector", "detections")}
    fit_options = {name: value for name, value in canonical["detector"].items() if name not in INFERENCE_KEYS}
    detector_config = {**canonical, "detector": fit_options}
    return keys | {"detector": _digest({name: detector_config[name] for name in DETECTOR_KEYS}, data)}


def _digest(config: Mapping[str, Any], data: str) -> str:
    content = {**config, "checksum": data, "version": __version__}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def _weights_checksum(weights: str | None) -> str | None:
    """Return the checksum of a weights file, since the content may change; return None if `weights` is not a file."""
    file = Path(weights or "").expanduser()
    return f"sha256 {checksum(file)[:16]}" if weights and file.is_file() else None
