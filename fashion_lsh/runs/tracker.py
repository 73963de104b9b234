"""Interface of the experiment trackers that a run can use."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from fashion_lsh.evaluation.protocol import EncodedSplit


class Tracker(Protocol):
    """Experiment tracker of one run."""

    def loggers(self) -> Sequence[Any]:
        """Lightning loggers of a fit."""
        ...

    def log(self, row: Mapping[str, Any]) -> None:
        """Log one row of a fit: its metrics, `epoch` and `trainer/global_step`."""
        ...

    def publish(
        self,
        metrics: Mapping[str, float],
        query: EncodedSplit,
        categories: Sequence[str],
        sheet: Sequence[Any],
        scenes: Sequence[Any] = (),
    ) -> None:
        """Publish the results of the run.

        Args:
            metrics: all metrics of the run, by name.
            query: encoded queries.
            categories: category names, in the order of the probabilities.
            sheet: rows of tiles of the contact sheet.
            scenes: tiles of images with true and detected boxes.
        """
        ...


class NoTracker:
    """Tracker that logs nothing."""

    def loggers(self) -> Sequence[Any]:
        return []

    def log(self, row: Mapping[str, Any]) -> None:
        """Do nothing."""

    def publish(self, *_results: Any) -> None:
        """Do nothing."""
