"""Two runs with the same queries."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fashion_lsh.evaluation.query_table import QueryScores
from fashion_lsh.metrics.results import CLASSIFIER, SEARCH, WHOLE_GALLERY, Column, score_name
from fashion_lsh.report.phrases import join_names
from fashion_lsh.report.run_data import RunData, align_rows, read_run_data
from fashion_lsh.runs.config import flatten
from fashion_lsh.runs.result_file import QUERIES_FILE
from fashion_lsh.runs.run import Run

HINT = "compare runs with the same data and splits"


@dataclass(frozen=True)
class RunPair:
    """Two finished runs; their query tables have the shared queries in the same order, and no codes.

    Attributes:
        first, second: runs A and B.
        groups: (Q,) int64, equal for queries of the same item.
        num_queries: number of queries of A and of B, shared or not.
    """

    first: RunData
    second: RunData
    groups: np.ndarray
    num_queries: tuple[int, int]

    def scores(self, column: Column) -> tuple[np.ndarray, np.ndarray] | None:
        """Scores of the single queries of A and of B, (Q,) float64 each; None if one of them has none."""
        first, second = (_scores(side, column) for side in (self.first, self.second))
        if first is None or second is None or np.isnan(first - second).all():
            return None
        return first, second

    def different_settings(self) -> list[tuple[str, str, str]]:
        """Name and both values of each setting in which the runs differ, "–" for a setting that a run lacks."""
        first, second = (dict(flatten(side.run.result_file.settings)) for side in (self.first, self.second))
        return _differences(first, second)


def read_pair(first: Run, second: Run) -> RunPair:
    """Read two finished runs.

    Raises:
        FileNotFoundError: a run is not finished, or one of its files is missing.
        ValueError: a file is damaged, both are the same run, or the runs cannot be compared: different galleries, no
            shared query, or another category or item of a shared query.
    """
    if first.path.resolve() == second.path.resolve():
        raise ValueError(f"{first.path} and {second.path} are the same run; pass two runs")
    sides = read_run_data(first), read_run_data(second)
    _check_galleries(*sides)
    first_ids, second_ids = (side.queries["id"].to_pylist() for side in sides)
    second_set = set(second_ids)
    is_shared = np.array([name in second_set for name in first_ids])
    if not is_shared.any():
        raise ValueError(_message(*sides, f"none of {len(first_ids):,} and {len(second_ids):,} queries is shared"))
    shared_ids = sides[0].queries["id"].filter(is_shared)
    aligned = [
        replace(
            side,
            queries=align_rows(side.queries, shared_ids),
            other_queries={key: align_rows(table, shared_ids) for key, table in side.other_queries.items()},
            codes=None,
        )
        for side in sides
    ]
    for name in ("category", "item"):
        different = np.flatnonzero(aligned[0].column(name) != aligned[1].column(name))
        if len(different):
            query = shared_ids[int(different[0])].as_py()
            raise ValueError(
                _message(*sides, f"the {name} of {len(different):,} queries differs, for example of {query}")
            )
    scores = QueryScores(first.path / QUERIES_FILE, sides[0].results.search)
    return RunPair(aligned[0], aligned[1], scores.groups[is_shared], (len(first_ids), len(second_ids)))


def _check_galleries(first: RunData, second: RunData) -> None:
    ids = [
        set(side.garments.take(side.garments.rows(side.config["data"]["gallery"])).column("id"))
        for side in (first, second)
    ]
    if ids[0] != ids[1]:
        sizes = f"{len(ids[0]):,} and {len(ids[1]):,} garments, of which {len(ids[0] & ids[1]):,} are shared"
        raise ValueError(_message(first, second, f"the galleries have {sizes}"))


def _message(first: RunData, second: RunData, difference: str) -> str:
    """Error message with the difference and the data settings in which the runs differ."""
    settings = _differences(*(dict(flatten(side.config["data"])) for side in (first, second)))
    named = [f"data.{name} ({base}; {other})" for name, base, other in settings]
    differ = f"; different settings: {join_names(named)}" if named else ""
    return f"{first.run.path} and {second.run.path} cannot be compared: {difference}{differ}; {HINT}"


def _differences(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[str, str, str]]:
    names = dict.fromkeys([*first, *second])
    values = [(name, *(str(side.get(name, "–")) for side in (first, second))) for name in names]
    return [(name, base, other) for name, base, other in values if base != other]


def _scores(side: RunData, column: Column) -> np.ndarray | None:
    if column.method == CLASSIFIER:
        if not side.has_known_categories:
            return None
        return (side.column("category") == side.column("predicted")).astype(np.float64)
    is_own = column.method == SEARCH
    table = side.queries if is_own else side.other_queries.get((column.method, WHOLE_GALLERY))
    name = score_name(column.relevance, column.metric, column.k)
    if table is None or name not in table.column_names:
        return None
    return np.asarray(table[name].to_numpy(), dtype=np.float64)
