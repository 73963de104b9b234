"""Several experiment trackers of one run, among them a user's own."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fashion_lsh.io.targets import construct, resolve
from fashion_lsh.runs.tracker import Tracker

log = logging.getLogger(__name__)


class Trackers:
    """Passes everything on to several trackers; one that fails is logged and ignored from then on.

    Args:
        trackers: trackers by config key, for messages.
    """

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        self.trackers = dict(trackers)

    def loggers(self) -> Sequence[Any]:
        """Lightning loggers of all trackers."""
        found: list[Any] = []
        self._each(lambda tracker: found.extend(_checked_loggers(tracker)))
        return found

    def log(self, row: Mapping[str, Any]) -> None:
        """Log a row of a training log."""
        self._each(lambda tracker: tracker.log(row))

    def publish(self, *results: Any) -> None:
        """Publish the results of the run, see Tracker."""
        self._each(lambda tracker: tracker.publish(*results))

    def _each(self, call: Callable[[Tracker], object]) -> None:
        for name, tracker in list(self.trackers.items()):
            try:
                call(tracker)
            except Exception as error:  # code of the user: any exception is possible
                log.error("%s failed (%s: %s); it is not used any more", name, type(error).__name__, error)
                log.debug("%s", name, exc_info=error)
                del self.trackers[name]


def _checked_loggers(tracker: Tracker) -> list[Any]:
    loggers = list(tracker.loggers())
    if wrong := [each for each in loggers if not hasattr(each, "log_metrics")]:
        raise TypeError(f"loggers() returned {wrong[0]!r}, not a Lightning logger")
    return loggers


def create_trackers(nodes: Mapping[str, Any], folder: Path, config: Mapping[str, Any]) -> dict[str, Tracker]:
    """Create a user's own trackers, by config key (`logger.trackers.NAME`).

    Args:
        nodes: tracker classes by name, each `module.Class` or a mapping with `_target_`.
        folder: run folder, passed if the constructor has the argument `folder`.
        config: config of the run, passed if the constructor has the argument `config`.

    Raises:
        ComponentError: a class cannot be imported, is not a Tracker, or has other arguments.
    """
    constructors = resolve_trackers(nodes, folder, config)
    return {key: construct(constructor, arguments, key) for key, (constructor, arguments) in constructors.items()}


def resolve_trackers(
    nodes: Mapping[str, Any], folder: Path, config: Mapping[str, Any]
) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Return constructor and checked arguments of each tracker; arguments and errors as for `create_trackers`."""
    keys = {f"logger.trackers.{name}": node for name, node in nodes.items()}
    return {key: resolve(node, Tracker, {}, key, folder=folder, config=config) for key, node in keys.items()}
