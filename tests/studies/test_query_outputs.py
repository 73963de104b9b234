"""Results of each query, saved beside the jobs of an experiment."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fashion_lsh.report.run_data import read
from fashion_lsh.studies.query_outputs import answers_of, of_run, read_answers, write_answers
from tests.studies.factories import MakeRun


def test_a_run_whose_gallery_has_grown_is_refused(make_run: MakeRun) -> None:
    run = make_run()
    path = run.path / "queries.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[0]["hits"][0] = "new one"
    pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(ValueError, match=r"found 'new one', which was filed later: give a run whose gallery"):
        of_run(run)


def test_answers_are_those_of_the_runs_files_and_come_back(make_run: MakeRun, tmp_path: Path) -> None:
    found = read(make_run())
    answers = answers_of(found)
    write_answers(tmp_path / "kept.npz", answers)
    back, ids = read_answers(tmp_path / "kept.npz"), found.garments.column("id")
    assert all(np.array_equal(one, other) for one, other in zip(answers, back, strict=True))
    for row, asked in enumerate(found.queries.to_pylist()):
        assert ids[back.queries[row]] == asked["id"]
        assert back.categories[back.true[row]] == asked["category"]
        assert back.categories[back.predicted[row]] == asked["predicted"]
        assert [ids[hit] for hit in back.hits[row] if hit >= 0] == asked["hits"]
        assert back.ap[row] == pytest.approx(asked["category/map@100"])


def test_a_query_that_was_not_seen_has_no_prediction_and_finds_nothing(make_run: MakeRun) -> None:
    run = make_run()
    path = run.path / "queries.parquet"
    rows = pq.read_table(path).to_pylist()
    rows[1] |= {"predicted": "", "hits": []}
    pq.write_table(pa.Table.from_pylist(rows), path)
    answers = answers_of(read(run))
    assert answers.predicted[1] == -1
    assert (answers.hits[1] == -1).all()
    assert (answers.hits[0] >= 0).all()
