"""Query outputs of a run, saved in a compact form next to the job file, to compare runs."""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fashion_lsh.io.arrays import read_arrays, write_arrays
from fashion_lsh.io.files import atomic_write
from fashion_lsh.report.phrases import join_names
from fashion_lsh.report.run_data import RunData, read_run_data, row_numbers
from fashion_lsh.report.sweep.jobs import Job, parse_job, read_jobs
from fashion_lsh.runs.job_file import JOB, job_json
from fashion_lsh.runs.run import Run

log = logging.getLogger(__name__)

OUTPUTS = "query_outputs"  # folder next to jobs/


class QueryOutputs(NamedTuple):
    """Outputs for Q queries.

    Attributes:
        categories: (C,) str, category names.
        queries: (Q,) int, catalogue rows of the queries.
        true: (Q,) int, true categories as indices into `categories`.
        predicted: (Q,) int, predicted categories as indices into `categories`; -1 without a detection.
        ap: (Q,) float32, category average precision at 100, NaN without relevant gallery rows.
        hits: (Q, k) int, k <= 10, catalogue rows of the first hits, -1 padded.
        codes: (Q, W) uint8, packed; (Q, 0) without a hash layer.
    """

    categories: np.ndarray
    queries: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    ap: np.ndarray
    hits: np.ndarray
    codes: np.ndarray


class RepeatedRun(NamedTuple):
    """One of several runs that differ in seed or split.

    Attributes:
        path: Run folder, or file of the saved query outputs.
        key: Name of the run folder.
        job: Settings and scores.
        outputs: Query outputs.
    """

    path: Path
    key: str
    job: Job
    outputs: QueryOutputs


def read_repeat(run: Run) -> RepeatedRun:
    """Read a finished run.

    Raises:
        FileNotFoundError: the run is not finished, or its scores were read from a job file.
        ValueError: a file of the run is damaged.
    """
    run.check_finished()
    return RepeatedRun(
        run.path, run.path.name, parse_job(run.path / JOB, job_json(run)), collect_outputs(read_run_data(run))
    )


def read_saved_runs(folder: Path) -> list[RepeatedRun]:
    """Read the runs with query outputs in an experiment folder; log a warning for jobs without query outputs.

    Raises:
        FileNotFoundError: the job file of query outputs is missing.
        ValueError: a file is damaged, or query outputs and job are from different trainings.
    """
    files = sorted((folder / OUTPUTS).glob("*.npz"))
    jobs = read_jobs(folder)[0] if files else {}
    if skipped := sorted(jobs.keys() - {file.stem for file in files}):
        log.warning(
            "Skipped jobs without query outputs: %s; run these jobs again with overwrite=true", join_names(skipped)
        )
    repeats = []
    for file in files:
        if file.stem not in jobs:
            raise FileNotFoundError(
                f"{folder / 'jobs' / file.stem}.json: missing; delete {file} and pass the run again with --repeats"
            )
        repeat = RepeatedRun(file, file.stem, jobs[file.stem], read_outputs(file))
        if abs(np.nanmean(repeat.outputs.ap, dtype=np.float64) - repeat.job.metrics["query/category/map@100"]) > 1e-5:
            raise ValueError(
                f"{file} and jobs/{file.stem}.json are from different trainings; delete both and pass "
                "the run with --repeats"
            )
        repeats.append(repeat)
    return repeats


def save_outputs(folder: Path, run: Run, outputs: QueryOutputs) -> None:
    """Save the job and the query outputs of a finished run in an experiment folder."""
    write_outputs(folder / OUTPUTS / f"{run.path.name}.npz", outputs)
    with atomic_write(folder / "jobs" / f"{run.path.name}.json") as temporary:
        temporary.write_text(job_json(run))


def collect_outputs(run_data: RunData) -> QueryOutputs:
    """Collect the query outputs of a finished run.

    Raises:
        ValueError: a hit was added to the gallery after the run.
    """
    names = np.array(run_data.garments.categories)
    index_by_name = {name: index for index, name in enumerate(names)} | {"": -1}
    true, predicted = (
        np.array([index_by_name[name] for name in run_data.column(column)]) for column in ("category", "predicted")
    )
    hit_ids = run_data.queries["hits"].to_pylist()
    lengths = np.array([len(ids) for ids in hit_ids])
    hits = np.full((len(hit_ids), lengths.max()), -1)
    try:
        hits[np.arange(hits.shape[1]) < lengths[:, None]] = row_numbers(run_data.garments, np.concatenate(hit_ids))
    except KeyError as error:
        raise ValueError(
            f"{run_data.run.path}: hit {error} was added to the gallery after training; pass a run with "
            "its original gallery"
        ) from error
    codes = run_data.codes.query if run_data.codes else np.empty((len(hit_ids), 0), np.uint8)
    queries = row_numbers(run_data.garments, run_data.column("id"))
    return QueryOutputs(
        names, queries, true, predicted, run_data.column("category/map@100").astype(np.float32), hits, codes
    )


def write_outputs(path: Path, outputs: QueryOutputs) -> None:
    """Write the outputs as named arrays, compressed: 30 kB for 1,500 queries."""
    compact = {name: values.astype(np.int32) if values.dtype == np.int64 else values
             for name, values in outputs._asdict().items()}  # fmt: skip
    write_arrays(path, compact)


def read_outputs(path: Path) -> QueryOutputs:
    """Read the outputs written by `write_outputs`.  Raises ValueError: the file is damaged."""
    try:
        arrays = read_arrays(path)
        return QueryOutputs(**{name: arrays[name] for name in QueryOutputs._fields})
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path}: damaged ({error!r}); delete it and pass the run again with --repeats") from error
