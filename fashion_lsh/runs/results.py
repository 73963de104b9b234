"""Write results into a run folder: one long table, and one row per query and method."""

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pyarrow as pa

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.evaluation.protocol import SearchEvaluation
from fashion_lsh.evaluation.query_table import write_queries
from fashion_lsh.evaluation.run_evaluation import RunEvaluation
from fashion_lsh.io.files import folder_lock
from fashion_lsh.metrics.results import ResultTable, column_of
from fashion_lsh.runs.component_versions import used_versions
from fashion_lsh.runs.folder import RunFolder
from fashion_lsh.runs.keys import canonical_config
from fashion_lsh.runs.result_file import QUERIES_FILE, RESULTS_FILE, ResultFile, write_results_file
from fashion_lsh.runs.run import Run

log = logging.getLogger(__name__)

HEADLINE_METRICS = (
    "accuracy", "macro_f1", "map", "recall", "precision", "latency_ms", "end_to_end_ms", "garment_bytes", "garments",
)  # fmt: skip


def write_results(run: RunFolder, evaluation: RunEvaluation) -> None:
    """Write results.parquet and queries.parquet. metrics.json is written last, since it marks the run as finished."""
    (run.path / QUERIES_FILE).unlink(missing_ok=True)  # may contain rows of an earlier model
    write_queries(run.path / QUERIES_FILE, evaluation.queries)
    settings = canonical_config(run.config)
    data = Catalogue.open(run.existing_file("catalogue.parquet")).checksum[:8]
    environment = run.read_json("environment.json")
    protocol = _protocol(run.config.get("evaluation", {}))
    versions = used_versions(settings)
    content = ResultFile(evaluation.results, settings, versions, data, environment, evaluation.gallery, **protocol)
    write_results_file(run.path / RESULTS_FILE, content)
    run.write_json("metrics.json", headline(evaluation.results))


def _protocol(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of ResultFile for a published protocol in the group `evaluation`; empty without one."""
    name = evaluation.get("protocol")
    return {"protocol": name, "partial": bool(evaluation.get("partial"))} if name else {}


def headline(results: ResultTable) -> dict[str, float]:
    """Values of metrics.json by flat name: the run's own search, the classifier, and the numbers of garments."""
    methods = (results.search[0], "classifier", "data")
    rows = [
        row
        for row in results
        if row.method in methods and row.metric in HEADLINE_METRICS and not row.condition and row.split != "val"
        and row.scope in ("", results.search[1])
    ]  # fmt: skip
    return ResultTable(rows, results.search).flat()


def add_search(
    run: Run, evaluation: SearchEvaluation, settings: Mapping[str, Any] = MappingProxyType({})
) -> ResultTable | None:
    """Add the results of another search to results.parquet and queries.parquet.

    If the gallery has changed since the run was evaluated, its size and hash are part of the scope.

    Args:
        run: finished run.
        evaluation: results of the search.
        settings: group `evaluation` of the config, of which the published protocol is recorded.

    Returns:
        The results of the run, with the added search as its own; None if the run has these results already. Of the
        run's own search, only results that the run does not have are added.

    Raises:
        FileNotFoundError: the run is not finished, or queries.parquet is missing.
    """
    run.check_finished()
    results, queries = evaluation.results, evaluation.queries
    search = (queries["method"][0].as_py(), queries["scope"][0].as_py())
    size = next(int(row.value) for row in results if row.method == "data" and row.split == "gallery")
    with folder_lock(run.path):
        run.existing_file(QUERIES_FILE)  # otherwise only the added rows would be written
        file = run.result_file
        if evaluation.gallery != file.gallery:
            log.warning(
                "The gallery has changed: %d garments in this search, %d in the scores of the other methods",
                size, file.results.value("data", "garments", split="gallery") or 0,
            )  # fmt: skip
            search = (search[0], f"{search[1]}, {size} garments ({evaluation.gallery})")
            queries = queries.set_column(1, "scope", pa.array([search[1]] * len(queries)))
        added = [row._replace(scope=search[1]) for row in results if row.method == search[0]]
        if search == file.results.search:  # other cutoff ranks or scores of a protocol; the scores of the run are kept
            added = [row for row in added if file.results.find(column_of(row)) is None]
            if not added and file._replace(**_protocol(settings)) == file:
                return None
        else:
            write_queries(run.path / QUERIES_FILE, queries)
        combined = file.results.replace(added)
        write_results_file(run.path / RESULTS_FILE, file._replace(results=combined, **_protocol(settings)))
    return ResultTable(combined.rows, search)
