"""Interface of experiment trackers."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from fashion_lsh.evaluation.protocol import EncodedSplit
from fashion_lsh.metrics.results import ResultTable


@runtime_checkable
class Tracker(Protocol):
    """Experiment tracker of one run."""

    def loggers(self) -> Sequence[Any]:
        """Lightning loggers for the training of a stage."""
        ...

    def log(self, row: Mapping[str, Any]) -> None:
        """Log a row of the training log of a reused stage: metrics, `epoch` and `trainer/global_step`."""
        ...

    def publish(
        self,
        results: ResultTable,
        query: EncodedSplit,
        categories: Sequence[str],
        sheet: Sequence[Any],
        scenes: Sequence[Any] = (),
    ) -> None:
        """Publish the results of the run.

        Args:
            results: all results of the run.
            query: encoded queries.
            categories: category names, in the order of the probabilities.
            sheet: contact sheet as rows of tiles.
            scenes: tiles of images with annotated and detected boxes.
        """
        ...
