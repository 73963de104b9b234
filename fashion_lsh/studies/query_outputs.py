"""What each query of a run got, small enough to be kept beside the run's job: by it two runs are compared."""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fashion_lsh.io.arrays import read_arrays, write_arrays
from fashion_lsh.io.files import atomic_write
from fashion_lsh.report.phrases import listed
from fashion_lsh.report.run_data import Findings, read, row_numbers
from fashion_lsh.report.sweep.jobs import Job, job_of, read_jobs
from fashion_lsh.runs.job_file import JOB, job_json
from fashion_lsh.runs.run import Run

log = logging.getLogger(__name__)

ANSWERS = "answers"  # folder beside jobs/


class Answers(NamedTuple):
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


class Repeat(NamedTuple):
    """A run: where it was read from, its name, settings and scores, and what each query got."""

    path: Path
    key: str
    job: Job
    answers: Answers


def of_run(run: Run) -> Repeat:
    """A finished run.

    Raises:
        FileNotFoundError: it is not finished, or was not made since its scores were read from a job's file.
        ValueError: a file of it is damaged.
    """
    run.check_finished()
    return Repeat(run.path, run.path.name, job_of(run.path / JOB, job_json(run)), answers_of(read(run)))


def read_kept(folder: Path) -> list[Repeat]:
    """The runs whose answers an experiment's folder keeps; jobs without answers are named in the log.

    Raises:
        FileNotFoundError: a job of them is not there.
        ValueError: a file is damaged, or answers are not those of the job.
    """
    files = sorted((folder / ANSWERS).glob("*.npz"))
    jobs = read_jobs(folder)[0] if files else {}
    if left_out := sorted(jobs.keys() - {file.stem for file in files}):
        log.warning("left out, no answers are kept of them: %s; make them again with overwrite=true", listed(left_out))
    found = []
    for file in files:
        if file.stem not in jobs:
            raise FileNotFoundError(
                f"{folder / 'jobs' / file.stem}.json is missing: remove {file}, and give its run again"
            )
        repeat = Repeat(file, file.stem, jobs[file.stem], read_answers(file))
        if abs(np.nanmean(repeat.answers.ap, dtype=np.float64) - repeat.job.metrics["query/category/map@100"]) > 1e-5:
            raise ValueError(f"{file} and jobs/{file.stem}.json are of different fits: remove both, and give their run")
        found.append(repeat)
    return found


def keep(folder: Path, run: Run, answers: Answers) -> None:
    """Keep the job and the answers of a finished run in an experiment's folder."""
    write_answers(folder / ANSWERS / f"{run.path.name}.npz", answers)
    with atomic_write(folder / "jobs" / f"{run.path.name}.json") as temporary:
        temporary.write_text(job_json(run))


def answers_of(found: Findings) -> Answers:
    """The answers of a finished run.  Raises ValueError: a garment that was filed later is among its hits."""
    names = np.array(found.garments.categories)
    place = {name: number for number, name in enumerate(names)} | {"": -1}
    true, predicted = (np.array([place[name] for name in found.column(each)]) for each in ("category", "predicted"))
    lists = found.queries["hits"].to_pylist()
    lengths = np.array([len(ids) for ids in lists])
    hits = np.full((len(lists), lengths.max()), -1)
    try:
        hits[np.arange(hits.shape[1]) < lengths[:, None]] = row_numbers(found.garments, np.concatenate(lists))
    except KeyError as error:
        raise ValueError(
            f"{found.run.path} found {error}, which was filed later: give a run whose gallery is as it was made"
        ) from error
    codes = found.codes.query if found.codes else np.empty((len(lists), 0), np.uint8)
    queries = row_numbers(found.garments, found.column("id"))
    return Answers(names, queries, true, predicted, found.column("category/map@100").astype(np.float32), hits, codes)


def write_answers(path: Path, answers: Answers) -> None:
    """Write them as arrays by name, compressed: 30 kB for 1,500 queries."""
    small = {name: values.astype(np.int32) if values.dtype == np.int64 else values
             for name, values in answers._asdict().items()}  # fmt: skip
    write_arrays(path, small)


def read_answers(path: Path) -> Answers:
    """What was written.  Raises ValueError: the file is damaged."""
    try:
        kept = read_arrays(path)
        return Answers(**{name: kept[name] for name in Answers._fields})
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error!r}): remove it, and give its run again") from error
