"""Settings in plain values, checked against the constructors they are for."""

import inspect
import typing
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from pydantic import TypeAdapter, ValidationError


def check(settings: Mapping[str, Any]) -> None:
    """Hold every value that goes to a constructor (a mapping with `_target_`) against its annotation.

    Raises:
        ValueError: names the key as it is typed on the command line, the value, and what is wanted.
    """
    for path, node in targets(settings):
        constructor = resolve(node["_target_"])
        hints = typing.get_type_hints(constructor.__init__ if inspect.isclass(constructor) else constructor)
        known = set(inspect.signature(constructor).parameters)
        for name, value in node.items():
            if name.startswith("_"):
                continue
            key = f"{path}.{name}" if path else name
            if name not in known:
                raise ValueError(f"{key}={value!r}: {constructor.__name__} takes no {name!r}; it takes {sorted(known)}")
            if name in hints:
                _check_value(key, value, hints[name])


def targets(settings: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """All mappings with a `_target_`, with their dotted paths."""
    if isinstance(settings, Mapping):
        if "_target_" in settings:
            yield path, settings
        for name, value in settings.items():
            yield from targets(value, f"{path}.{name}" if path else str(name))


def resolve(target: str) -> Any:
    """The class or function that a `_target_` names."""
    module, _, name = target.rpartition(".")
    return getattr(import_module(module), name)


def _check_value(key: str, value: Any, hint: Any) -> None:
    try:
        TypeAdapter(hint).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        inner = ".".join(str(part) for part in first["loc"] if isinstance(value, Mapping))
        raise ValueError(f"{key}{'.' + inner if inner else ''}={first['input']!r}: {first['msg']}") from error
