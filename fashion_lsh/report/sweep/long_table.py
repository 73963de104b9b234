"""Long table of a sweep: the results of all jobs, with the settings in which the jobs differ."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fashion_lsh.io.files import atomic_write
from fashion_lsh.report.sweep.jobs import Job
from fashion_lsh.report.sweep.rows import SweepRow
from fashion_lsh.runs.result_file import result_rows, result_schema


def write_long_table(path: Path, rows: Sequence[SweepRow], jobs: Mapping[str, Job]) -> None:
    """Write results.parquet of a sweep: the columns of a run's results.parquet, `job`, and a column per setting.

    Args:
        path: file to write.
        rows: rows of the sweep, which have the settings in which the jobs differ.
        jobs: jobs by name.
    """
    names = [name for name in rows[0].settings if name not in ("seed", "tested on")]
    lines = [
        {"job": key} | {name: _text(job.settings.get(name)) for name in names} | row
        for key, job in jobs.items()
        for row in result_rows(job.results, job.settings.get("seed"), job.environment.get("code_version"))
    ]
    schema = result_schema([("job", pa.string()), *((name, pa.string()) for name in names)])
    with atomic_write(path) as temporary:
        pq.write_table(pa.Table.from_pylist(lines, schema), temporary)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
