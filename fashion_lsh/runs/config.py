"""Settings in plain values, checked against the constructors they are for."""

import inspect
import typing
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, TypeAdapter, ValidationError

HASHER = "fashion_lsh.training.hash_head.Hasher"  # whose settings an experiment may have
Batches = PositiveInt | Annotated[float, Field(gt=0, le=1)]  # a number of them, or a share


def meant(settings: Mapping[str, Any]) -> dict[str, Any]:
    """An experiment may say how a hash layer learns: it says nothing of hash=none, nor of one that never learns."""
    layer = settings["hash"]
    if not layer or "_target_" not in layer:
        return {**settings, "hash": None}
    known = inspect.signature(resolve(layer["_target_"])).parameters
    learning = inspect.signature(resolve(HASHER)).parameters
    return {**settings, "hash": {name: value for name, value in layer.items() if name in known or name not in learning}}


PLAIN: dict[str, Any] = {  # settings that go to no constructor of ours
    "name": str, "seed": NonNegativeInt, "fresh": bool, "runs": str, "jobs": str | None,
    "backbone.weights": str | None, "backbone.frozen": bool, "backbone.lr_factor": PositiveFloat,
    "crop.tested": list[Literal["whole", "annotated", "detected", "detected_or_whole"]],
    "crop.corrupted": list[Literal["blur", "jpeg", "noise", "occlusion"]],
    "logger.project": Annotated[str, Field(pattern=r"^[^/\\#?%:]{1,128}$")] | None, "logger.tags": list[str],
    "trainer.accelerator": Literal["auto", "cpu", "gpu"], "trainer.devices": Literal[1],
    "trainer.precision": Literal["32-true", "16-mixed", "bf16-mixed"] | None,
    "trainer.patience": NonNegativeInt | None, "trainer.gradient_clip_val": NonNegativeFloat | None,
    "trainer.limit_train_batches": Batches, "trainer.limit_val_batches": Batches,
}  # fmt: skip


COPIED = {  # checked by the constructors they are copied to
    "backbone": {"name"},
    "crop": {"mode", "margin", "which", "score", "smallest", "fallback", "box_selector"},
}


def check(settings: Mapping[str, Any], unresolved: Mapping[str, Any] | None = None) -> None:
    """Hold every value that goes to a constructor (a mapping with `_target_`) against its annotation, others to PLAIN.

    Args:
        settings: with all references resolved.
        unresolved: the same with references (`${crop.margin}`) as they are written: errors then name the key they lead
            to, which is the one that is typed.

    Raises:
        ValueError: names the key, the value, and what is wanted.
    """
    try:
        _check(settings)
    except ValueError as error:
        key, sign, rest = str(error).partition("=")
        raise ValueError(f"{_typed(key, unresolved or {})}{sign}{rest}") from error.__cause__


def _typed(key: str, unresolved: Mapping[str, Any]) -> str:
    """The key that another refers to: `optim.lr` of `classifier.optim.lr`, where classifier.optim is `${optim}`."""
    node: Any = unresolved
    parts = key.split(".")
    for number, part in enumerate(parts, start=1):
        node = node.get(part) if isinstance(node, Mapping) else None
        if isinstance(node, str) and node.startswith("${") and node.endswith("}"):
            return _typed(".".join([node[2:-1], *parts[number:]]), unresolved)
    return key


def _check(settings: Mapping[str, Any]) -> None:
    _check_devices(settings)
    for key, hint in PLAIN.items():
        group, _, name = key.rpartition(".")
        held = settings.get(group, {}) if group else settings
        if name in held:
            _check_value(key, held[name], hint)
    _check_known(settings)
    _check_crops(settings)
    for path, node in targets(settings):
        constructor = resolve(node["_target_"])
        function = constructor.__init__ if inspect.isclass(constructor) else constructor
        hints = typing.get_type_hints(function, include_extras=True)  # with the bounds: lr > 0
        known = set(inspect.signature(constructor).parameters)
        for name, value in node.items():
            if name.startswith("_"):
                continue
            key = f"{path}.{name}" if path else name
            if name not in known:
                raise ValueError(f"{key}={value!r}: {constructor.__name__} takes no {name!r}; it takes {sorted(known)}")
            if name in hints and not (isinstance(value, Mapping) and "_target_" in value):  # that has a turn of its own
                _check_value(key, value, hints[name])


def _check_devices(settings: Mapping[str, Any]) -> None:
    """Refuse what would spread a run over several devices."""
    for name in ("devices", "num_nodes", "strategy"):
        value = settings.get("trainer", {}).get(name, 1)
        if value != 1:
            raise ValueError(
                f"trainer.{name}={value!r}: a run takes one device: type the command once for each GPU, with its share "
                "of the runs (CUDA_VISIBLE_DEVICES=1 before it, seed=1 behind), or sweep on one (-m seed=0,1)"
            )


def _check_crops(settings: Mapping[str, Any]) -> None:
    """Refuse found crops where nothing finds any, before anything is fitted."""
    crop, detector = settings.get("crop", {}), settings.get("detector")
    for key, value in (("mode", crop.get("mode")), ("tested", crop.get("tested"))):
        wanted = value if isinstance(value, list) else [value]
        if detector is None and any(str(each).startswith("detected") for each in wanted):
            raise ValueError(f"crop.{key}={value!r}: no detector finds garments: give detector=small, or lite, say")


def _check_known(settings: Mapping[str, Any]) -> None:
    """Refuse keys of the groups that go to no constructor of ours that nothing reads."""
    groups = {key.partition(".")[0] for key in PLAIN if "." in key}
    for group in sorted(groups & settings.keys()):
        known = {key.partition(".")[2] for key in PLAIN if key.startswith(f"{group}.")} | COPIED.get(group, set())
        for name in sorted(settings[group].keys() - known):
            raise ValueError(f"{group}.{name}={settings[group][name]!r}: {group} takes {sorted(known)}")


def targets(settings: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All mappings with a `_target_`, with their dotted paths."""
    if isinstance(settings, Mapping):
        if "_target_" in settings:
            yield path, settings
        for name, value in settings.items():
            yield from targets(value, f"{path}.{name}" if path else str(name))


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings as they are typed, `hash.bits`, and their values."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def resolve(target: str) -> Any:
    """The class or function that a `_target_` names.

    Raises:
        ValueError: there is none.
    """
    module, _, name = target.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"_target_={target!r}: {error}; give a class or function by its full name") from error


def _check_value(key: str, value: Any, hint: Any) -> None:
    try:
        TypeAdapter(hint).validate_python(value, strict=True)
    except ValidationError as error:
        errors = error.errors()
        inner, wrong = errors[0]["loc"] if isinstance(value, Mapping) else (), errors[0]["input"]
        wanted = " or ".join(dict.fromkeys(each["msg"] for each in errors if each["input"] is wrong))
        raise ValueError(f"{'.'.join(map(str, (key, *inner)))}={wrong!r}: {wanted}") from error
