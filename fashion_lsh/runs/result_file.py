"""Results of a run as a Parquet file: one long table, with the record of the run in the metadata of the file."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from fashion_lsh.io.files import atomic_write
from fashion_lsh.metrics.results import Result, ResultTable

RESULTS_FILE = "results.parquet"  # name in a run folder; in a folder of job files, the name is <run key>.parquet
QUERIES_FILE = "queries.parquet"  # table with a row per query and method
METADATA_KEY = b"fashion_lsh"
TEXT = ("method", "split", "scope", "condition", "relevance", "category", "metric")
SCHEMA = pa.schema(
    [
        ("method", pa.string()), ("bits", pa.int32()), ("split", pa.string()), ("scope", pa.string()),
        ("condition", pa.string()), ("relevance", pa.string()), ("category", pa.string()), ("metric", pa.string()),
        ("k", pa.int32()), ("value", pa.float64()), ("low", pa.float64()), ("high", pa.float64()), ("n", pa.int32()),
        ("seed", pa.int64()), ("code_version", pa.string()),
    ]
)  # fmt: skip


class ResultFile(NamedTuple):
    """Content of a results file.

    Attributes:
        results: results of the run.
        settings: config of the run without settings that do not change the results.
        components: versions of the components that the run used.
        data: first 8 digits of the checksum of the data.
        environment: code version, machine and library versions.
        gallery: hash of the ids in the evaluated gallery, see SearchEvaluation.
        protocol: published protocol that scored the run; "" for none.
        partial: True if this protocol was allowed to use an incomplete copy of the data.
    """

    results: ResultTable
    settings: dict[str, Any]
    components: dict[str, int]
    data: str
    environment: dict[str, Any]
    gallery: str = ""
    protocol: str = ""
    partial: bool = False


def write_results_file(path: Path, content: ResultFile) -> None:
    """Write a results file.  Fields that do not apply to a result are null."""
    rows = result_rows(content.results, content.settings.get("seed"), content.environment.get("code_version"))
    record = {name: value for name, value in content._asdict().items() if name != "results"}
    record["search"] = content.results.search
    table = pa.Table.from_pylist(rows, SCHEMA).replace_schema_metadata({METADATA_KEY: json.dumps(record)})
    with atomic_write(path) as temporary:
        pq.write_table(table, temporary)


def result_rows(results: ResultTable, seed: int | None, code_version: str | None) -> list[dict[str, Any]]:
    """Rows of the Parquet file as mappings of columns."""
    columns = {"seed": seed, "code_version": code_version}
    return [{name: _null_if_empty(name, value) for name, value in row._asdict().items()} | columns for row in results]


def result_schema(further_columns: Sequence[tuple[str, pa.DataType]] = ()) -> pa.Schema:
    """Columns of a results file, after `further_columns`."""
    return pa.schema([*further_columns, *SCHEMA])


def read_results_file(path: Path) -> ResultFile:
    """Read a results file.

    Raises:
        FileNotFoundError, PermissionError: the file is missing or not readable.
        ValueError: the file is damaged.
    """
    try:
        table = pq.read_table(path)
        record = json.loads((table.schema.metadata or {})[METADATA_KEY])
        method, scope = record.pop("search")
        if not (isinstance(record["settings"], dict) and isinstance(record["environment"], dict)):
            raise TypeError("settings or environment is not a mapping")
        rows = [Result(**{name: _value(name, row[name]) for name in Result._fields}) for row in table.to_pylist()]
        return ResultFile(
            ResultTable(rows, (method, scope)),
            **{name: record[name] for name in ResultFile._fields[1:] if name in record},
        )
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is missing; remove metrics.json, and run the train command again") from error
    except PermissionError:
        raise
    except (pa.ArrowException, OSError, KeyError, IndexError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged ({error!r}); remove it (in a run folder also metrics.json), and run its train command "
            "again"
        ) from error


def _null_if_empty(name: str, value: Any) -> Any:
    """Null for fields of Result that do not apply: "", NaN, and 0 as code length, cutoff rank or number of queries."""
    is_empty = value == "" or (name in ("bits", "k", "n") and value == 0)
    return None if is_empty or (isinstance(value, float) and math.isnan(value)) else value


def _value(name: str, value: Any) -> Any:
    if value is None:
        return "" if name in TEXT else math.nan if name in ("value", "low", "high") else 0
    return value
