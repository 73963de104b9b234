"""Import classes named in a config, and create objects from them: `module.Class`, or a mapping with `_target_`.

A config typed by the user may name any class. A config that was received from somebody else may name only classes of
this package (see `restricted`): importing a module executes its code.
"""

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

Spec = str | dict[str, Any]  # name of a built-in class, `module.Class`, or a mapping of `_target_` and arguments
PACKAGE = __name__.partition(".")[0]
T = TypeVar("T")


class ComponentError(ValueError):
    """A class that a config or checkpoint names cannot be imported, may not be used, or does not fit."""


class Restriction:
    """Restriction of the classes that may be imported.

    Attributes:
        origin: file or folder that names the classes, for error messages.
        allowed: targets outside this package that may be imported.
    """

    def __init__(self, origin: Path, allowed: Iterable[str] = ()) -> None:
        self.origin, self.allowed = origin, frozenset(allowed)


_restriction: ContextVar[Restriction | None] = ContextVar("restriction", default=None)


@contextmanager
def restricted(restriction: Restriction | None) -> Iterator[None]:
    """Apply a restriction to all imports of `import_target` in the `with` block; None lifts the restriction."""
    token = _restriction.set(restriction)
    try:
        yield
    finally:
        _restriction.reset(token)


def import_target(target: str, interface: type | None = None) -> Any:
    """Import the class or function of a `_target_`.

    Modules outside this package are also searched in the working directory, after all other folders of `sys.path`.

    Args:
        target: `module.Class`.
        interface: base class or protocol that the class must implement; None: no check.

    Raises:
        ComponentError: the target does not exist, may not be imported, or does not implement the interface.
    """
    module, _, name = target.rpartition(".")
    restriction = _restriction.get()
    if restriction and module.partition(".")[0] != PACKAGE and target not in restriction.allowed:
        raise ComponentError(
            f"{restriction.origin}: names {target!r}, which is not a class of {PACKAGE}, and was not written on this "
            "machine; if you trust its author, pass trust=true (--trust for a command)"
        )
    folder = str(Path.cwd())
    if module.partition(".")[0] != PACKAGE and folder not in sys.path:
        sys.path.append(folder)
    try:
        found = getattr(import_module(module), name)
    except Exception as error:  # importing a module executes it, so any exception is possible
        origin = f"{restriction.origin} needs it; " if restriction else ""
        raise ComponentError(
            f"_target_={target!r}: {type(error).__name__}: {error}; {origin}set the full name of a class or function, "
            f"in a module that is installed or in {folder}"
        ) from error
    if restriction and target not in restriction.allowed and getattr(found, "__module__", "").split(".")[0] != PACKAGE:
        # A module of the package also has names that it imports: `fashion_lsh.io.files.os`.
        raise ComponentError(f"{restriction.origin}: names {target!r}, which is not defined in {PACKAGE}")
    if interface is not None and not (inspect.isclass(found) and issubclass(found, interface)):
        raise ComponentError(
            f"_target_={target!r}: not a subclass of {interface.__module__}.{interface.__qualname__}; derive the class "
            "from it"
        )
    return found


def constructor_parameters(constructor: Any) -> dict[str, inspect.Parameter]:
    """Parameters of a constructor or function by name, with resolved annotations.

    The `**` argument of a constructor is replaced by the parameters to which it is passed: those of the class in the
    attribute `network_class`, if the class of the constructor declares this attribute, otherwise those of the next
    constructor of its base classes, if that is a class of this package. Parameters in the attribute `fixed_arguments`
    of the class are omitted.
    """
    if not inspect.isclass(constructor):
        return _own_parameters(constructor)
    fixed = getattr(constructor, "fixed_arguments", ())
    return {name: each for name, each in _class_parameters(constructor).items() if name not in fixed}


def _class_parameters(constructor: type) -> dict[str, inspect.Parameter]:
    parameters: dict[str, inspect.Parameter] = {}
    bases = [base for base in constructor.__mro__ if "__init__" in vars(base) and base is not object]
    for base, next_base in pairwise([*bases, object]):
        own = _own_parameters(vars(base)["__init__"])
        passes_on = [name for name, each in own.items() if each.kind is each.VAR_KEYWORD]
        parameters = parameters | {name: own[name] for name in own if name not in (*parameters, *passes_on, "self")}
        if not passes_on:
            break
        has_network = "network_class" in inspect.get_annotations(base)
        if not has_network and next_base.__module__.partition(".")[0] != PACKAGE:
            return parameters | {name: own[name] for name in passes_on}
        if has_network:
            network = constructor_parameters(constructor.network_class)  # type: ignore[attr-defined]
            return parameters | {name: network[name] for name in network if name not in parameters}
    return parameters


def _own_parameters(function: Any) -> dict[str, inspect.Parameter]:
    hints = get_type_hints(function, include_extras=True)  # extras are bounds such as lr > 0
    parameters = inspect.signature(function).parameters.items()
    return {name: each.replace(annotation=hints.get(name, each.annotation)) for name, each in parameters}


def with_defaults(constructor: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of all parameters: those given, otherwise the defaults."""
    defaults = {name: each.default for name, each in constructor_parameters(constructor).items()}
    return {name: arguments.get(name, default) for name, default in defaults.items()}


def accepts_any(parameters: Mapping[str, inspect.Parameter]) -> bool:
    """Return whether there is a `**` argument that is not passed on to a known constructor."""
    return any(each.kind is each.VAR_KEYWORD for each in parameters.values())


def bind(constructor: Any, arguments: Mapping[str, Any], key: str) -> None:
    """Check the names of keyword arguments.

    Raises:
        ComponentError: an argument is unknown, or a required argument is missing.
    """
    parameters = constructor_parameters(constructor)
    unknown = [] if accepts_any(parameters) else [name for name in arguments if name not in parameters]
    required = [
        name for name, each in parameters.items()
        if each.default is each.empty and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    ]  # fmt: skip
    missing = [name for name in required if name not in arguments]
    if unknown or missing:
        problem = f"{unknown[0]!r} is not an argument" if unknown else f"argument {missing[0]!r} is missing"
        raise ComponentError(f"{key}: {problem}; the arguments are {', '.join(parameters)}")


def check_call(component: Any, key: str, *arguments: str) -> None:
    """Check that an object can be called with positional arguments.

    Raises:
        ComponentError: it takes other arguments.
    """
    signature = inspect.signature(component)
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise ComponentError(
            f"{key}: {type(component).__name__}.__call__{signature}: {error}; it is called with {', '.join(arguments)}"
        ) from error


def create(spec: Spec, interface: type, built_in: Mapping[str, Any], key: str, **arguments: Any) -> Any:
    """Create an object from a specification; arguments and errors as for `resolve` and `construct`."""
    return construct(*resolve(spec, interface, built_in, key, **arguments), key)


def construct(constructor: Any, arguments: Mapping[str, Any], key: str) -> Any:
    """Call a constructor that `resolve` returned.

    Raises:
        ComponentError: the constructor of a class outside this package raised an exception.
    """
    if constructor.__module__.partition(".")[0] == PACKAGE:
        return constructor(**arguments)
    try:
        return constructor(**arguments)
    except ComponentError:
        raise
    except Exception as error:  # a user's constructor may raise any exception
        raise ComponentError(
            f"{key}: {constructor.__module__}.{constructor.__qualname__}() raised {type(error).__name__}: {error}; "
            "correct class or arguments"
        ) from error


def resolve(
    spec: Spec, interface: type, built_in: Mapping[str, Any], key: str, **arguments: Any
) -> tuple[Any, dict[str, Any]]:
    """Return the constructor and the checked arguments of a specification.

    Args:
        spec: name in `built_in`, `module.Class`, or a mapping of `_target_` and arguments.
        interface: base class or protocol of classes that are not built in.
        built_in: class or function by name.
        key: config key, for error messages.
        arguments: further arguments; of a class that is not built in, only those in its signature are passed.

    Raises:
        ComponentError: the name is unknown, or the class cannot be imported or does not accept the arguments.
    """
    if isinstance(spec, str) and spec in built_in:
        return built_in[spec], arguments
    target = spec if isinstance(spec, str) else str(spec.get("_target_", ""))
    if "." not in target:
        names = f"choose one of {', '.join(built_in)}, or " if built_in else ""
        raise ComponentError(f"{key}={target!r}: unknown; {names}set your own class as module.Class")
    own_class = import_target(target, interface)
    parameters = constructor_parameters(own_class)
    arguments = {name: value for name, value in arguments.items() if accepts_any(parameters) or name in parameters}
    if not isinstance(spec, str):
        arguments |= {name: value for name, value in spec.items() if name != "_target_"}
    bind(own_class, arguments, f"{key}={target}")
    return own_class, arguments


def instantiate(node: Mapping[str, Any], interface: type[T], **arguments: Any) -> T:
    """Create the object of a mapping with `_target_`; `arguments` are added to those of the mapping.

    Raises:
        ComponentError: the class cannot be imported, is not a subclass of `interface`, or has other arguments.
    """
    settings = {name: value for name, value in node.items() if name != "_target_"} | arguments
    constructor = import_target(node["_target_"], interface)
    bind(constructor, settings, node["_target_"])
    created: T = construct(constructor, settings, node["_target_"])
    return created


def target_names(config: Any) -> Iterator[str]:
    """Yield all texts of a config that may name a class of a module: `_target_`s and values with a dot."""
    if isinstance(config, Mapping):
        for value in config.values():
            yield from target_names(value)
    elif isinstance(config, list):
        for value in config:
            yield from target_names(value)
    elif isinstance(config, str) and "." in config:
        yield config
