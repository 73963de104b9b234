"""Files of a finished run, read and validated for its report."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.metrics.results import SEARCH, Column, ResultTable, metric_name, score_name
from fashion_lsh.report.phrases import one_line
from fashion_lsh.runs.result_file import QUERIES_FILE, RESULTS_FILE
from fashion_lsh.runs.run import Run

REQUIRED = (
    Column("data", "garments"),
    Column("data", "garments", split="gallery"),
    Column(SEARCH, "map", 100, "category"),
    Column(SEARCH, "latency_ms"),
    Column(SEARCH, "end_to_end_ms"),
)
REQUIRED_OF_CLASSIFIER = (  # only if the query categories are in the training data
    Column("classifier", "accuracy"),
    Column("classifier", "accuracy", 5),
    Column("classifier", "macro_f1"),
)
READ_ERRORS = (ValueError, OSError, EOFError, KeyError, TypeError, AttributeError, pa.ArrowException,
           csv.Error)  # fmt: skip

Log = list[dict[str, float]]
R = TypeVar("R")


class Codes(NamedTuple):
    """Packed codes of queries and gallery.

    Attributes:
        query: (Q, W) uint8.
        gallery: (N, W) uint8, of the evaluated garments that are still in the gallery.
        query_garments: Q catalogue rows.
        gallery_garments: N catalogue rows.
    """

    query: np.ndarray
    gallery: np.ndarray
    query_garments: Catalogue
    gallery_garments: Catalogue


@dataclass(frozen=True)
class RunData:
    """A finished run.

    Attributes:
        run: run folder.
        config: resolved config.
        results: all results.
        environment: machine and library versions.
        queries: query table of the run's search policy, one row per query.
        other_queries: query tables of the other methods, by method and scope, with the rows of `queries`.
        garments: catalogue of all garments, with splits.
        codes: codes of queries and gallery; None without a hash layer.
        logs: CSV logs, one per training session, earliest first; each is a list of rows, values by column.
        skipped: number of skipped garments.
    """

    run: Run
    config: dict[str, Any]
    results: ResultTable
    environment: dict[str, Any]
    queries: pa.Table
    other_queries: dict[tuple[str, str], pa.Table]
    garments: Catalogue
    codes: Codes | None
    logs: list[Log]
    skipped: int

    @property
    def has_known_categories(self) -> bool:
        """True if the query categories are in the training data, so that the model can predict these categories."""
        return not self.config["data"].get("unseen")  # set only by split=unseen_categories

    @property
    def bits(self) -> int:
        """Code length; 0 without codes.  If `hash.bits` is not set (hash=predicted_category), 8 bits per code byte."""
        return int((self.config["hash"] or {}).get("bits") or (8 * self.codes.gallery.shape[1] if self.codes else 0))

    def column(self, name: str) -> np.ndarray:
        """Column of the query table, (Q,)."""
        return np.asarray(self.queries[name].to_numpy())

    def has(self, column: str) -> bool:
        """True if the query table has this column without nulls."""
        return column in self.queries.column_names and self.queries[column].null_count == 0


def read_run_data(run: Run) -> RunData:
    """Read a finished run.

    Raises:
        FileNotFoundError: the run is not finished, or one of its files is missing.
        ValueError: a file is damaged.
    """
    path = run.path
    if not (path / "metrics.json").is_file():
        run.check_finished()
    config = run.config
    garments = _read_checked(path / "catalogue.parquet", Catalogue.open)
    results = run.result_file.results
    _check_results(path / RESULTS_FILE, results, bool(config["data"].get("unseen")))
    queries, other_queries = _read_checked(
        path / QUERIES_FILE, lambda file: _queries(file, results.search, garments, bool(config["hash"]))
    )
    return RunData(
        run=run,
        config=config,
        results=results,
        environment=_read_checked(path / "environment.json", lambda file: dict(json.loads(file.read_text()))),
        queries=queries,
        other_queries=other_queries,
        garments=garments,
        codes=_codes(queries, garments, run) if config["hash"] else None,
        logs=[_read_checked(file, _log) for file in sorted(path.glob("logs/version_*/metrics.csv"), key=_log_version)],
        skipped=len(run.skipped),
    )


def row_numbers(garments: Catalogue, ids: np.ndarray) -> np.ndarray:
    """Return the catalogue rows of n ids, (n,) int64.  Raises KeyError for an unknown id."""
    row_by_id = {name: row for row, name in enumerate(garments.column("id"))}
    return np.array([row_by_id[str(name)] for name in ids], dtype=np.int64)


def _read_checked(path: Path, reader: Callable[[Path], R]) -> R:
    try:
        return reader(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is missing; {_hint(path)}") from error
    except PermissionError as error:
        raise PermissionError(f"{path} cannot be read ({error.strerror}); change its permissions") from error
    except READ_ERRORS as error:
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}: {one_line(str(error))}); {_hint(path)}"
        ) from error


def _hint(path: Path) -> str:
    if path.suffix == ".csv":
        return "remove the file to write the report without learning curves of this log"
    names = " and ".join(dict.fromkeys([path.name, "metrics.json"]))
    return f"remove {names}, then run the train command of the run again"


def _check_results(path: Path, results: ResultTable, unseen: bool) -> None:
    for column in (*REQUIRED, *(() if unseen else REQUIRED_OF_CLASSIFIER)):
        if results.find(column) is None:
            missing = f"{column.method} {metric_name(column.metric, column.k)}"
            raise ValueError(f"{path} is damaged (no result {missing}); {_hint(path)}")


def align_rows(table: pa.Table, ids: pa.ChunkedArray) -> pa.Table:
    """Rows of a query table in the order of Q ids; a row of nulls for an id that the table lacks."""
    return table.take(pc.index_in(ids, value_set=table["id"].combine_chunks()))


def relevant_garments(run_data: RunData) -> dict[str, str]:
    """Id of a gallery garment of the same item by id of a query; queries without one are left out."""
    gallery = run_data.garments.take(run_data.garments.rows(run_data.config["data"]["gallery"]))
    id_by_item = dict(zip(gallery.column("item"), gallery.column("id"), strict=True))
    queries = zip(run_data.column("id"), run_data.column("item"), strict=True)
    return {name: id_by_item[item] for name, item in queries if item and item in id_by_item}


def _queries(
    path: Path, search: tuple[str, str], garments: Catalogue, has_codes: bool
) -> tuple[pa.Table, dict[tuple[str, str], pa.Table]]:
    """Query table of the run's own search, and those of the other methods."""
    table = pq.read_table(path)
    methods = sorted({*zip(table["method"].to_pylist(), table["scope"].to_pylist(), strict=True)})
    tables = {key: table.filter((pc.field("method") == key[0]) & (pc.field("scope") == key[1])) for key in methods}
    rows = tables.pop(search, table.slice(0, 0))
    if not len(rows):
        raise ValueError(f"no rows of the run's own search, {', '.join(search)}")
    row_numbers(garments, rows["id"].to_numpy())
    unknown_names = {*rows["category"].to_pylist(), *rows["predicted"].to_pylist()} - {""} - set(garments.categories)
    if unknown_names:
        raise ValueError(f"category {sorted(unknown_names)[0]!r} is not in catalogue.parquet")
    rows[score_name("category", "map", 100)]  # KeyError if the column is missing
    if has_codes and rows["code"].null_count:
        raise ValueError(f"{rows['code'].null_count} queries without a code")
    return rows, {key: align_rows(other, rows["id"]) for key, other in tables.items()}


def _codes(queries: pa.Table, garments: Catalogue, run: Run) -> Codes:
    gallery = run.gallery(None)
    is_evaluated = np.isin(gallery.catalogue.column("id").astype(str), garments.column("id").astype(str))
    rows = np.flatnonzero(is_evaluated)
    assert gallery.codes is not None  # a run with a hash layer
    return Codes(
        np.stack([np.frombuffer(code, np.uint8) for code in queries["code"].to_pylist()]),
        gallery.codes[rows],
        garments.take(row_numbers(garments, queries["id"].to_numpy())),
        gallery.catalogue.take(rows),
    )


def _log(path: Path) -> Log:
    with path.open(newline="") as file:
        return [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]


def _log_version(path: Path) -> int:
    version = path.parent.name.rpartition("_")[2]
    return int(version) if version.isdecimal() else -1
