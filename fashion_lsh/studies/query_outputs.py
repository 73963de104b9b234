"""Outputs of runs for the single queries, read from the query tables of their job files, to compare runs."""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fashion_lsh.metrics.results import score_name
from fashion_lsh.report.phrases import join_names
from fashion_lsh.report.sweep.jobs import Job, read_jobs

log = logging.getLogger(__name__)

COLUMNS = ("id", "category", "predicted", "hits", "code", score_name("category", "map", 100))


class QueryOutputs(NamedTuple):
    """Outputs for Q queries.

    Attributes:
        queries: (Q,) str, ids of the queries.
        true: (Q,) str, true categories.
        predicted: (Q,) str, predicted categories; "" without a detection.
        ap: (Q,) float, category average precision at 100, NaN without relevant gallery rows.
        hits: ids of the first hits of each query, at most 10.
        codes: (Q, W) uint8, packed; (Q, 0) without a hash layer.
    """

    queries: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    ap: np.ndarray
    hits: list[list[str]]
    codes: np.ndarray


class RepeatedRun(NamedTuple):
    """One of several runs that differ in seed or split.

    Attributes:
        key: name of the job.
        job: settings and results.
        outputs: outputs for the queries.
    """

    key: str
    job: Job
    outputs: QueryOutputs


def read_repeats(folder: Path) -> list[RepeatedRun]:
    """Read the jobs of an experiment folder, or the runs of a folder of runs; skip jobs without a query table.

    Raises:
        FileNotFoundError: there are no jobs.
        ValueError: a file is damaged.
    """
    jobs = read_jobs(folder)[0]
    if skipped := [key for key, job in jobs.items() if job.queries is None]:
        log.warning("Skipped jobs without a query table: %s; run them again with overwrite=true", join_names(skipped))
    return [RepeatedRun(key, job, read_outputs(job)) for key, job in jobs.items() if job.queries]


def read_outputs(job: Job) -> QueryOutputs:
    """Read the outputs of the run's own search.  Raises ValueError: the file is damaged."""
    assert job.queries is not None
    path, (method, scope) = job.queries.path, job.results.search
    try:
        table = pq.read_table(path, columns=list(COLUMNS), filters=[("method", "=", method), ("scope", "=", scope)])
        id_, category, predicted, hits, code, ap = (table[name] for name in COLUMNS)
    except (OSError, KeyError, pa.ArrowException) as error:
        raise ValueError(f"{path} is damaged ({error!r}); remove it and run its job again") from error
    codes = [np.frombuffer(value or b"", np.uint8) for value in code.to_pylist()]
    ids, true, named = (np.asarray(column.to_pylist(), dtype=str) for column in (id_, category, predicted))
    return QueryOutputs(ids, true, named, ap.to_numpy(), hits.to_pylist(), np.stack(codes))
