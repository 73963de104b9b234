"""Resolve the config, and validate all values against constructor annotations."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, TypeAdapter, ValidationError

from fashion_lsh.io.targets import Spec, accepts_any, constructor_parameters, import_target
from fashion_lsh.metrics.results import CropMode

# Experiments may set parameters of this class for every `hash=`, see `resolve_config`.
HASH_HEAD_TARGET = "fashion_lsh.training.hash_head.HashHead"
BatchLimit = PositiveInt | Annotated[float, Field(gt=0, le=1)]  # number of batches, or fraction of an epoch


def resolve_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Write the backbone as classifier and hash head receive it, and remove settings without effect.

    The training settings of an untrained hash layer are removed, since experiments set these keys for every `hash=`.
    """
    config = {**config, **_resolve_backbone(config)}
    hash_config = config["hash"]
    if not hash_config or "_target_" not in hash_config:
        return {**config, "hash": None}
    parameters = constructor_parameters(import_target(hash_config["_target_"]))
    hash_head_parameters = constructor_parameters(import_target(HASH_HEAD_TARGET))
    return {
        **config,
        "hash": {
            name: value for name, value in hash_config.items() if name in parameters or name not in hash_head_parameters
        },
    }


def _resolve_backbone(config: Mapping[str, Any]) -> dict[str, Any]:
    """Groups that depend on the backbone, which is `library/name`, or a mapping of its class and arguments.

    data.image_size=null is replaced by the size with which the weights of the backbone were trained.
    """
    if "backbone" not in config:
        return {}
    backbone = config["backbone"]
    name = spec = backbone["name"]
    if library := backbone.get("library"):
        spec = f"{library}/{name}"
    if target := backbone.get("_target_"):
        known = {key.partition(".")[2] for key in SCHEMA if key.startswith("backbone.")} | {"name"}
        name = spec = {"_target_": target} | {
            key: value for key, value in backbone.items() if key not in known and key != "_target_"
        }
        backbone = {key: value for key, value in backbone.items() if key in known}
    stages = {stage: config[stage] for stage in ("classifier", "hash") if "backbone" in (config[stage] or {})}
    resolved = {"backbone": {**backbone, "name": name}}
    resolved |= {stage: {**node, "backbone": spec} for stage, node in stages.items()}
    if config["data"].get("image_size", 0) is None:
        from fashion_lsh.models.backbones.create import default_image_size  # imports torch

        size = {"image_size": default_image_size(spec)}
        resolved |= {stage: {**resolved[stage], **size} for stage in stages} | {"data": {**config["data"], **size}}
    return resolved


SCHEMA: dict[str, Any] = {  # settings that no constructor of this package receives
    "name": str, "seed": NonNegativeInt, "overwrite": bool, "runs": str, "jobs": str | None,
    "cache": Literal["version", "any"],
    "backbone.library": Literal["timm", "torchvision"],
    "backbone.weights": str | None, "backbone.frozen": bool, "backbone.frozen_blocks": NonNegativeInt,
    "backbone.lr_factor": PositiveFloat, "backbone.layer_decay": Annotated[float, Field(gt=0, le=1)],
    "backbone.cached_views": Literal["auto"] | NonNegativeInt,
    "crop.eval_modes": list[CropMode],
    "crop.eval_corruptions": list[Literal["blur", "jpeg", "noise", "occlusion"]],
    "gallery.embeddings": bool,
    "evaluation.k": list[PositiveInt | Literal["all"]] | None,
    "evaluation.protocol": str | None, "evaluation.partial": bool | None,
    "logger.project": Annotated[str, Field(pattern=r"^[^/\\#?%:]{1,128}$")] | None, "logger.tags": list[str],
    "logger.lightning": dict[str, dict[str, Any]], "logger.trackers": dict[str, Spec],
    "callbacks": dict[str, Spec], "evaluators": dict[str, Spec], "sections": dict[str, Spec],
    "sweep.metric": str | None,
    "trainer.accelerator": Literal["auto", "cpu", "gpu", "mps"], "trainer.devices": PositiveInt | Literal["auto"],
    "trainer.num_nodes": PositiveInt, "trainer.strategy": str,
    "trainer.monitor": str | None, "trainer.mode": Literal["max", "min"],
    "trainer.lr_grid": Annotated[list[PositiveFloat], Field(min_length=1)] | None,
    "trainer.patience": NonNegativeInt | None, "trainer.gradient_clip_val": NonNegativeFloat | None,
    "trainer.limit_train_batches": BatchLimit, "trainer.limit_val_batches": BatchLimit,
}  # fmt: skip


GROUPS = {  # top-level keys that are not in SCHEMA
    "backbone", "classifier", "crop", "data", "detector", "evaluation", "experiment", "gallery", "hash", "logger",
    "optim", "page", "rates", "run", "scenes", "search", "split", "study", "sweep", "trainer", "trust",
}  # fmt: skip
INTERPOLATED = {  # keys of these groups that other groups interpolate, and whose constructors validate them
    "backbone": {"name"},
    "crop": {"mode", "margin", "select", "min_score", "min_size", "fallback", "box_selector"},
}


def check(config: Mapping[str, Any], unresolved: Mapping[str, Any] | None = None) -> None:
    """Validate the values of each `_target_` against its constructor's annotations, and other values against SCHEMA.

    Args:
        config: config with all interpolations resolved.
        unresolved: the same config with unresolved interpolations (`${crop.margin}`). Errors then name the key that a
            user sets, here crop.margin.

    Raises:
        ValueError: a value is invalid. The message contains the key, the value and the expected type or range.
    """
    try:
        _check(config)
    except ValueError as error:
        key, sign, rest = str(error).partition("=")
        raise ValueError(f"{_source_key(key, unresolved or {})}{sign}{rest}") from error.__cause__


def _source_key(key: str, unresolved: Mapping[str, Any]) -> str:
    """Key to which an interpolation refers: `optim.lr` for `classifier.optim.lr` if classifier.optim is `${optim}`."""
    node: Any = unresolved
    parts = key.split(".")
    for depth, part in enumerate(parts, start=1):
        node = node.get(part) if isinstance(node, Mapping) else None
        if isinstance(node, str) and node.startswith("${") and node.endswith("}"):
            return _source_key(".".join([node[2:-1], *parts[depth:]]), unresolved)
    return key


def _check(config: Mapping[str, Any]) -> None:
    for key, hint in SCHEMA.items():
        group, _, name = key.rpartition(".")
        group_config = config.get(group, {}) if group else config
        if name in group_config:
            _check_value(key, group_config[name], hint)
    _check_unknown_keys(config)
    _check_crops(config)
    for path, node in targets(config):
        constructor = import_target(node["_target_"])
        parameters = constructor_parameters(constructor)
        for name, value in node.items():
            if name.startswith("_"):
                continue
            key = f"{path}.{name}" if path else name
            if name not in parameters and accepts_any(parameters):
                continue
            if name not in parameters:
                raise ValueError(
                    f"{key}={value!r}: not a parameter of {constructor.__name__}; choose from {sorted(parameters)}"
                )
            hint = parameters[name].annotation
            if hint is not inspect.Parameter.empty and not (isinstance(value, Mapping) and "_target_" in value):
                _check_value(key, value, hint)


def _check_crops(config: Mapping[str, Any]) -> None:
    """Reject detected crops without a detector, before training starts."""
    crop, detector = config.get("crop", {}), config.get("detector")
    for key, value in (("mode", crop.get("mode")), ("eval_modes", crop.get("eval_modes"))):
        modes = value if isinstance(value, list) else [value]
        if detector is None and any(str(each).startswith("detected") for each in modes):
            raise ValueError(f"crop.{key}={value!r}: no detector; set detector=small or detector=lite")


def _check_unknown_keys(config: Mapping[str, Any]) -> None:
    """Reject unknown keys at the top level and in the groups of SCHEMA."""
    top_level = GROUPS | {key for key in SCHEMA if "." not in key}
    for name in sorted(config.keys() - top_level) if "_target_" not in config else ():
        raise ValueError(f"{name}={config[name]!r}: unknown key; choose from {sorted(top_level)}")
    groups = {key.partition(".")[0] for key in SCHEMA if "." in key}
    groups -= {"trainer"}  # has any argument of Lightning's Trainer
    for group in sorted(groups & config.keys()):
        known_keys = {key.partition(".")[2] for key in SCHEMA if key.startswith(f"{group}.")}
        known_keys |= INTERPOLATED.get(group, set())
        for name in sorted(config[group].keys() - known_keys):
            raise ValueError(f"{group}.{name}={config[group][name]!r}: unknown key; choose from {sorted(known_keys)}")


def targets(config: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the dotted path and the mapping of every node with a `_target_`."""
    if isinstance(config, Mapping):
        if "_target_" in config:
            yield path, config
        for name, value in config.items():
            yield from targets(value, f"{path}.{name}" if path else str(name))


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key, such as `hash.bits`, and the value of every setting."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _check_value(key: str, value: Any, hint: Any) -> None:
    try:
        TypeAdapter(hint).validate_python(value, strict=True)
    except ValidationError as error:
        errors = error.errors()
        location, invalid = errors[0]["loc"] if isinstance(value, Mapping) else (), errors[0]["input"]
        expected = " or ".join(dict.fromkeys(each["msg"] for each in errors if each["input"] is invalid))
        raise ValueError(f"{'.'.join(map(str, (key, *location)))}={invalid!r}: {expected}") from error
