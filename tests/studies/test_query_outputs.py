"""Outputs of runs for the single queries."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fashion_lsh.report.sweep.jobs import read_job
from fashion_lsh.runs.result_file import QUERIES_FILE, RESULTS_FILE
from fashion_lsh.studies.query_outputs import read_outputs
from tests.report.factories import read_queries
from tests.studies.factories import MakeRun


@pytest.mark.parametrize("bits", [12, None])
def test_outputs_are_those_of_the_own_search(make_run: MakeRun, bits: int | None) -> None:
    run = make_run(bits=bits)
    outputs, rows = read_outputs(read_job(run.path / RESULTS_FILE)), read_queries(run).to_pylist()
    assert outputs.queries.tolist() == [row["id"] for row in rows]
    assert outputs.true.tolist() == [row["category"] for row in rows]
    assert outputs.predicted.tolist() == [row["predicted"] for row in rows]
    assert outputs.hits == [row["hits"] for row in rows]
    assert outputs.ap == pytest.approx([row["category/map@100"] for row in rows])
    assert outputs.codes.shape == (len(rows), 2 if bits else 0)
    assert [code.tobytes() for code in outputs.codes] == [row["code"] or b"" for row in rows]
    assert outputs.codes.dtype == np.uint8


def test_a_query_table_without_codes_column_is_damaged(make_run: MakeRun) -> None:
    run = make_run()
    path = run.path / QUERIES_FILE
    pq.write_table(pq.read_table(path).drop_columns(["code"]), path)
    with pytest.raises(ValueError, match=r"queries\.parquet is damaged"):
        read_outputs(read_job(run.path / RESULTS_FILE))


def test_an_undetected_query_has_no_prediction_and_no_hits(make_run: MakeRun) -> None:
    run = make_run()
    path = run.path / QUERIES_FILE
    rows = pq.read_table(path).to_pylist()
    rows[1] |= {"predicted": "", "hits": []}
    pq.write_table(pa.Table.from_pylist(rows), path)
    outputs = read_outputs(read_job(run.path / RESULTS_FILE))
    assert outputs.predicted[1] == ""
    assert outputs.hits[1] == []
    assert outputs.hits[0]
