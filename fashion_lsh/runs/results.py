"""Write results into a run folder: codes, metrics and rows per query."""

import logging

import pyarrow as pa

from fashion_lsh.evaluation.protocol import EncodedSplit, Results
from fashion_lsh.evaluation.query_scores import search_scores
from fashion_lsh.evaluation.results import write_queries
from fashion_lsh.evaluation.run_evaluation import RunEvaluation
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.io.arrays import write_arrays
from fashion_lsh.io.files import folder_lock
from fashion_lsh.runs.run import Run

log = logging.getLogger(__name__)

QUERIES_FILE = "queries.parquet"  # table with a row per query and search policy


def write_results(run: Run, query: EncodedSplit, gallery: Gallery, evaluation: RunEvaluation) -> None:
    """Write codes, per-query scores and query rows. metrics.json is written last, since it marks the run as finished.

    Args:
        run: unfinished run.
        query: encoded queries.
        gallery: gallery of the run.
        evaluation: results of the evaluation.
    """
    results = evaluation.results
    encoded = query.encoded
    arrays = {"query_ids": query.catalogue.column("id"), "gallery_ids": gallery.catalogue.column("id")}
    if encoded.codes is not None and gallery.codes is not None:
        arrays |= {"query_codes": encoded.codes, "gallery_codes": gallery.codes}
    write_arrays(run.path / "codes.npz", arrays)
    query_scores = {name: values for name, values in search_scores(results.queries).items() if name in results.metrics}
    write_arrays(run.path / "query_scores.npz", query_scores | evaluation.baseline_scores)
    (run.path / QUERIES_FILE).unlink(missing_ok=True)  # may contain rows of an earlier model and of evaluate.py
    write_queries(run.path / QUERIES_FILE, results.queries)
    run.write_json("metrics.json", evaluation.metrics)


def own_metrics(run: Run, results: Results) -> dict[str, float]:
    """Return the metrics of the run without the end-to-end time; warn if the gallery has changed since evaluation."""
    metrics = {name: value for name, value in run.metrics.items() if name != "speed/end_to_end_ms"}
    if metrics["query/gallery_rows"] != results.metrics["query/gallery_rows"]:
        log.warning(
            "The gallery has changed: %d garments in this search, %d in the scores of the other methods",
            results.metrics["query/gallery_rows"], metrics["query/gallery_rows"],
        )  # fmt: skip
    return metrics


def add_search(run: Run, label: str, results: Results) -> bool:
    """Add the results of a search policy to the run: means as method `label`, and query rows.

    The policy of the run itself is added as `<label>@<gallery rows>` if the size of the gallery has changed; otherwise
    nothing is written.

    Returns:
        Whether results were written.

    Raises:
        FileNotFoundError: the run is not finished.
    """
    run.check_finished()
    gallery_rows, queries = results.metrics["query/gallery_rows"], results.queries
    if label == run.policy.label:
        if gallery_rows == run.metrics["query/gallery_rows"]:
            return False
        label = f"{label}@{gallery_rows:.0f}"
        column = queries.column_names.index("search")
        queries = queries.set_column(column, "search", pa.array([label] * len(queries)))
    method_metrics = {f"baselines/{label}/{name.split('/', 1)[1]}": value for name, value in results.metrics.items()}
    with folder_lock(run.path):
        write_queries(run.path / QUERIES_FILE, queries)
        run.write_json("metrics.json", run.metrics | method_metrics)
    return True
