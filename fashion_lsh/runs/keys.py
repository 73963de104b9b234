"""Keys of runs and stages: hashes of the data, the components' versions and all settings that affect results."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fashion_lsh.io.files import checksum
from fashion_lsh.runs.component_versions import own_code, used_versions

IGNORED_KEYS = (  # settings without effect on results
    "name", "overwrite", "cache", "logger", "runs", "jobs", "rates", "sections", "sweep",
)  # fmt: skip
# data settings that depend on the machine: paths, number of loader processes; the data checksum holds the corrections
MACHINE_KEYS = ("root", "corrections", "workers")
DETECTOR_KEYS = ("detector", "scenes", "trainer", "callbacks", "seed")  # config keys that affect the detector
CLASSIFIER_KEYS = (*DETECTOR_KEYS, "data", "backbone", "classifier")
STAGE_KEYS = {
    "detector": DETECTOR_KEYS, "detections": DETECTOR_KEYS, "classifier": CLASSIFIER_KEYS,
    "hash_head": (*CLASSIFIER_KEYS, "hash"),
}  # fmt: skip
TRAINER_KEYS = (  # arguments of Lightning's Trainer that do not affect results; all others do
    "devices", "num_nodes", "strategy", "profiler", "log_every_n_steps", "enable_progress_bar", "enable_model_summary",
    "num_sanity_val_steps", "benchmark", "inference_mode",
)  # fmt: skip
INFERENCE_KEYS = ("flip_tta",)  # detector settings that do not affect training


def canonical_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that affect results, without settings of the machine; weights files are replaced by checksums."""
    canonical = {name: value for name, value in config.items() if name not in IGNORED_KEYS}
    canonical["data"] = {name: value for name, value in config["data"].items() if name not in MACHINE_KEYS}
    trainer = config.get("trainer", {})
    canonical["trainer"] = {name: value for name, value in trainer.items() if name not in TRAINER_KEYS}
    if canonical["scenes"]:
        canonical["scenes"] = {name: value for name, value in canonical["scenes"].items() if name not in MACHINE_KEYS}
    for name in ("backbone", "detector"):
        if config[name]:
            weights = config[name]["weights"]
            canonical[name] = {**config[name], "weights": _weights_checksum(weights) or weights}
    return canonical


def run_key(config: Mapping[str, Any], data: str) -> str:
    """Run key of 8 hex digits: hash of the canonical config, the data checksum and the components' versions."""
    return _digest(canonical_config(config), data)


def stage_keys(config: Mapping[str, Any], data: str) -> dict[str, str]:
    """Key of 8 hex digits for each stage and for the detections; equal for equal settings, data and components."""
    return {stage: _digest(settings, data) for stage, settings in _stage_settings(config).items()}


def stage_components(config: Mapping[str, Any], data: str) -> dict[str, dict[str, Any]]:
    """Version of each component of a stage, and the key of the stage without these versions (`settings`)."""
    return {
        stage: {"settings": _digest(settings, data, with_components=False), "components": used_versions(settings)}
        for stage, settings in _stage_settings(config).items()
    }


def _stage_settings(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Settings that affect a stage, by stage."""
    canonical = canonical_config(config)
    settings = {stage: {name: canonical[name] for name in names} for stage, names in STAGE_KEYS.items()}
    if not config["detector"]:
        return {stage: values for stage, values in settings.items() if stage not in ("detector", "detections")}
    fit_options = {name: value for name, value in canonical["detector"].items() if name not in INFERENCE_KEYS}
    return settings | {"detector": settings["detector"] | {"detector": fit_options}}


def _digest(config: Mapping[str, Any], data: str, with_components: bool = True) -> str:
    content = {**config, "checksum": data, "own code": own_code(config)}
    content |= {"components": used_versions(config)} if with_components else {}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def _weights_checksum(weights: str | None) -> str | None:
    """Return the checksum of a weights file, since the content may change; return None if `weights` is not a file."""
    file = Path(weights or "").expanduser()
    return f"sha256 {checksum(file)[:16]}" if weights and file.is_file() else None
