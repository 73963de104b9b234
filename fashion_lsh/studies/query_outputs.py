"""What each query of a run got, small enough to be kept beside the run's job: by it two runs are compared."""

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

OUTPUTS = "query_outputs"  # folder beside jobs/


class QueryOutputs(NamedTuple):
    """Of Q queries.

    categories: (C,) str, their names.
    queries: (Q,) int, the rows of the garments that asked.
    true, predicted: (Q,) int, places in `categories`; a prediction of -1: nothing was seen.
    ap: (Q,) float32, category mAP@100, NaN where nothing is relevant.
    hits: (Q, k) int, k <= 10, rows of the garments that were found first; -1: fewer were.
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
    """A run: where it was read from, its name, settings and scores, and what each query got."""

    path: Path
    key: str
    job: Job
    outputs: QueryOutputs


def read_repeat(run: Run) -> RepeatedRun:
    """A finished run.

    Raises:
        FileNotFoundError: it is not finished, or was not made since its scores were read from a job's file.
        ValueError: a file of it is damaged.
    """
    run.check_finished()
    return RepeatedRun(
        run.path, run.path.name, parse_job(run.path / JOB, job_json(run)), collect_outputs(read_run_data(run))
    )


def read_saved(folder: Path) -> list[RepeatedRun]:
    """The runs whose query outputs an experiment's folder keeps; jobs without query outputs are named in the log.

    Raises:
        FileNotFoundError: a job of them is not there.
        ValueError: a file is damaged, or query outputs are not those of the job.
    """
    files = sorted((folder / OUTPUTS).glob("*.npz"))
    jobs = read_jobs(folder)[0] if files else {}
    if left_out := sorted(jobs.keys() - {file.stem for file in files}):
        log.warning(
            "left out, no query outputs are kept of them: %s; make them again with overwrite=true", join_names(left_out)
        )
    repeats = []
    for file in files:
        if file.stem not in jobs:
            raise FileNotFoundError(
                f"{folder / 'jobs' / file.stem}.json is missing: remove {file}, and give its run again"
            )
        repeat = RepeatedRun(file, file.stem, jobs[file.stem], read_outputs(file))
        if abs(np.nanmean(repeat.outputs.ap, dtype=np.float64) - repeat.job.metrics["query/category/map@100"]) > 1e-5:
            raise ValueError(f"{file} and jobs/{file.stem}.json are of different fits: remove both, and give their run")
        repeats.append(repeat)
    return repeats


def save_outputs(folder: Path, run: Run, outputs: QueryOutputs) -> None:
    """Keep the job and the query outputs of a finished run in an experiment's folder."""
    write_outputs(folder / OUTPUTS / f"{run.path.name}.npz", outputs)
    with atomic_write(folder / "jobs" / f"{run.path.name}.json") as temporary:
        temporary.write_text(job_json(run))


def collect_outputs(run_data: RunData) -> QueryOutputs:
    """The query outputs of a finished run.  Raises ValueError: a garment that was filed later is among its hits."""
    names = np.array(run_data.garments.categories)
    index = {name: number for number, name in enumerate(names)} | {"": -1}
    true, predicted = (np.array([index[name] for name in run_data.column(each)]) for each in ("category", "predicted"))
    hit_ids = run_data.queries["hits"].to_pylist()
    lengths = np.array([len(ids) for ids in hit_ids])
    hits = np.full((len(hit_ids), lengths.max()), -1)
    try:
        hits[np.arange(hits.shape[1]) < lengths[:, None]] = row_numbers(run_data.garments, np.concatenate(hit_ids))
    except KeyError as error:
        raise ValueError(
            f"{run_data.run.path} found {error}, which was filed later: give a run whose gallery is as it was made"
        ) from error
    codes = run_data.codes.query if run_data.codes else np.empty((len(hit_ids), 0), np.uint8)
    queries = row_numbers(run_data.garments, run_data.column("id"))
    return QueryOutputs(
        names, queries, true, predicted, run_data.column("category/map@100").astype(np.float32), hits, codes
    )


def write_outputs(path: Path, outputs: QueryOutputs) -> None:
    """Write them as arrays by name, compressed: 30 kB for 1,500 queries."""
    compact = {name: values.astype(np.int32) if values.dtype == np.int64 else values
             for name, values in outputs._asdict().items()}  # fmt: skip
    write_arrays(path, compact)


def read_outputs(path: Path) -> QueryOutputs:
    """What was written.  Raises ValueError: the file is damaged."""
    try:
        arrays = read_arrays(path)
        return QueryOutputs(**{name: arrays[name] for name in QueryOutputs._fields})
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): remove it, and give its run again") from error
