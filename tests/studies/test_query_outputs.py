"""Query outputs, saved next to the job files of an experiment."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fashion_lsh.report.run_data import read_run_data
from fashion_lsh.studies.query_outputs import collect_outputs, read_outputs, read_repeat, write_outputs
from tests.studies.factories import MakeRun


def test_a_run_with_a_changed_gallery_is_rejected(make_run: MakeRun) -> None:
    run = make_run()
    path = run.path / "queries.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[0]["hits"][0] = "new one"
    pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(ValueError, match="new one"):
        read_repeat(run)


def test_query_outputs_of_a_run_are_unchanged_after_writing_and_reading(make_run: MakeRun, tmp_path: Path) -> None:
    run_data = read_run_data(make_run())
    outputs = collect_outputs(run_data)
    write_outputs(tmp_path / "outputs.npz", outputs)
    read_back, ids = read_outputs(tmp_path / "outputs.npz"), run_data.garments.column("id")
    assert all(np.array_equal(one, other) for one, other in zip(outputs, read_back, strict=True))
    for row, query in enumerate(run_data.queries.to_pylist()):
        assert ids[read_back.queries[row]] == query["id"]
        assert read_back.categories[read_back.true[row]] == query["category"]
        assert read_back.categories[read_back.predicted[row]] == query["predicted"]
        assert [ids[hit] for hit in read_back.hits[row] if hit >= 0] == query["hits"]
        assert read_back.ap[row] == pytest.approx(query["category/map@100"])


def test_an_undetected_query_has_no_prediction_and_no_hits(make_run: MakeRun) -> None:
    run = make_run()
    path = run.path / "queries.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[1] |= {"predicted": "", "hits": []}
    pq.write_table(pa.Table.from_pylist(rows), path)
    outputs = collect_outputs(read_run_data(run))
    assert outputs.predicted[1] == -1
    assert (outputs.hits[1] == -1).all()
    assert (outputs.hits[0] >= 0).all()
