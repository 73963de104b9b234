"""A user's own evaluators, which add results to those of a run."""

import logging
from collections.abc import Iterable, Mapping
from operator import index
from typing import Protocol, runtime_checkable

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.evaluation.protocol import EncodedSplit
from fashion_lsh.io.targets import Spec, check_call, create
from fashion_lsh.metrics.results import Result, ResultTable
from fashion_lsh.search.searcher import Searcher

log = logging.getLogger(__name__)


@runtime_checkable
class Evaluator(Protocol):
    """Measures a fitted run."""

    def __call__(
        self, searcher: Searcher, data: GarmentData, query: EncodedSplit, gallery: EncodedSplit
    ) -> Iterable[Result]:
        """Return results.

        Args:
            searcher: model, gallery and search policy of the run.
            data: data of the run.
            query: encoded queries.
            gallery: encoded gallery.
        """
        ...


def create_evaluators(nodes: Mapping[str, Spec]) -> dict[str, Evaluator]:
    """Create evaluators; `nodes` maps names to `module.Class` or mappings with `_target_`.

    Raises:
        ComponentError: a class cannot be imported, has other arguments, or is not called with four arguments.
    """
    evaluators = {name: create(node, Evaluator, {}, f"evaluators.{name}") for name, node in nodes.items()}
    for name, evaluator in evaluators.items():
        check_call(evaluator, f"evaluators.{name}", "searcher", "data", "query", "gallery")
    return evaluators


def _checked(row: Result, name: str) -> Result:
    """Return a result with checked types, and the name of the evaluator as method if it has none."""
    if not isinstance(row, Result):
        raise TypeError(f"returned {row!r}, not a Result")
    value, low, high = (float(number) for number in (row.value, row.low, row.high))
    k, bits, n = (index(number) for number in (row.k, row.bits, row.n))
    texts = (row.metric, row.method, row.scope, row.relevance, row.category, row.split, row.condition)
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise TypeError(f"returned a Result with {wrong[0]!r} instead of a text")
    return row._replace(value=value, low=low, high=high, k=k, bits=bits, n=n, method=row.method or name)


def add_results(
    results: ResultTable,
    evaluators: Mapping[str, Evaluator],
    searcher: Searcher,
    data: GarmentData,
    query: EncodedSplit,
    gallery: EncodedSplit,
) -> ResultTable:
    """Add the results of evaluators; an evaluator that fails is logged, and the others go on.

    The name of the evaluator is the method of results without a method.
    """
    for name, evaluator in evaluators.items():
        try:
            rows = [_checked(row, name) for row in evaluator(searcher, data, query, gallery)]
            results = ResultTable([*results, *rows], results.search)
        except Exception as error:  # code of the user: any exception is possible
            log.error("evaluators.%s failed (%s: %s); its results are missing", name, type(error).__name__, error)
            log.debug("evaluators.%s", name, exc_info=error)
    return results
