"""Queries found by one method only."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fashion_lsh.report.blocks import Figure, Table, Text
from fashion_lsh.report.example_images import ExampleImages
from fashion_lsh.report.overlap import FOUND
from fashion_lsh.report.run_data import read_run_data
from fashion_lsh.report.sections.found import found
from fashion_lsh.runs.run import Run
from tests.report.factories import MakeRun


def shift_scores(run: Run, method: str) -> None:
    """Assign the scores of a method to other queries."""
    path = run.path / "queries.parquet"
    table = pq.read_table(path)
    rows = np.flatnonzero(np.array(table["method"].to_pylist()) == method)
    for name in ("item/recall@10", "item/map@100", "category/recall@1"):
        values = table[name].to_numpy().copy()
        values[rows] = np.roll(values[rows], 5)
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    pq.write_table(table, path)


def test_counts_agree_with_the_query_table(make_run: MakeRun) -> None:
    run = make_run()
    shift_scores(run, "hamming")
    run_data = read_run_data(run)
    blocks = found(run_data, ExampleImages(run_data))
    tables = [block for block in blocks if isinstance(block, Table)]
    assert [table.columns[0].partition(":")[0] for table in tables] == ["item recall@10", "category recall@1"]
    for table, column in zip(tables, ("item/recall@10", "category/recall@1"), strict=True):
        assert sorted(row[0].partition(" (")[0] for row in table.rows) == ["code", "hamming"]  # without random
        for row in table.rows:
            [other] = [each for key, each in run_data.other_queries.items() if row[0].startswith(key[0])]
            own, base = run_data.column(column) >= FOUND, other[column].to_numpy() >= FOUND
            expected = [(own & base).sum(), (own & ~base).sum(), (~own & base).sum(), (~own & ~base).sum()]
            assert [int(cell.partition(" ")[0]) for cell in row[1:]] == expected
    captions = [block.caption for block in blocks if isinstance(block, Figure)]
    assert len(captions) == 2
    assert all("hamming (whole gallery)" in caption for caption in captions)  # the other methods find the same


def test_methods_that_find_the_same_queries_have_no_examples(make_run: MakeRun) -> None:
    run_data = read_run_data(make_run(items=False))
    blocks = found(run_data, ExampleImages(run_data))
    assert [block.kind for block in blocks] == ["text", "table"]


def test_a_run_without_other_methods_has_a_note(make_run: MakeRun) -> None:
    run = make_run()
    table = pq.read_table(run.path / "queries.parquet", filters=[("method", "=", run.policy.method)])
    pq.write_table(table, run.path / "queries.parquet")
    run_data = read_run_data(run)
    [note] = found(run_data, ExampleImages(run_data))
    assert isinstance(note, Text)
    assert note.note
