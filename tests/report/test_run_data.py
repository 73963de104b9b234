"""Files of a run: damaged, missing, or with rows of another search policy."""

import re
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fashion_lsh.evaluation.query_table import write_queries
from fashion_lsh.index.codes import pack
from fashion_lsh.metrics.results import WHOLE_GALLERY, Column, column_of
from fashion_lsh.report.page import write_report
from fashion_lsh.report.run_data import REQUIRED, REQUIRED_OF_CLASSIFIER, read_run_data
from tests.report.factories import MakeRun, change_results, read_queries


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("results.parquet", b"PAR1 and then nothing"),
        ("results.parquet", b""),
        ("queries.parquet", b"PAR1 and then nothing"),
        ("queries.parquet", b""),
        ("catalogue.parquet", b"PAR1"),
        ("config.yaml", b"data: [1, 2"),
        ("config.yaml", b"data: {}"),
        ("environment.json", b""),
        ("gallery/manifest.json", b"{"),
        ("logs/version_0/metrics.csv", b"classifier/train/loss,epoch,step\nmuch,0,9\n"),
    ],
)
def test_a_damaged_file_raises_with_the_path(name: str, content: bytes, make_run: MakeRun) -> None:
    run = make_run()
    (run.path / name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(run.path / name))):
        write_report(run)
    assert not (run.path / "report").exists()


@pytest.mark.parametrize(
    "name", ["results.parquet", "queries.parquet", "catalogue.parquet", "environment.json", "gallery"]
)
def test_a_missing_file_raises_with_the_path(name: str, make_run: MakeRun) -> None:
    run = make_run()
    path = run.path / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(str(path))):
        write_report(run)


def test_an_unfinished_run_is_rejected(make_run: MakeRun) -> None:
    run = make_run()
    (run.path / "metrics.json").unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(str(run.path))):
        write_report(run)


@pytest.mark.parametrize(("method", "scope"), [("hamming", "1 list"), ("rerank 1000", "2 lists")])
def test_rows_of_another_search_policy_are_ignored(method: str, scope: str, make_run: MakeRun) -> None:
    run = make_run()
    own, table = read_run_data(run), read_queries(run)
    for name, value in (("method", method), ("scope", scope), ("predicted", "hat")):
        table = table.set_column(table.column_names.index(name), name, [[value] * len(table)])
    write_queries(run.path / "queries.parquet", table)
    changed = read_run_data(run)
    assert changed.queries == own.queries
    assert changed.other_queries[method, scope]["predicted"].to_pylist() == ["hat"] * len(table)
    assert changed.other_queries.keys() == own.other_queries.keys() | {(method, scope)}
    pq.write_table(table, run.path / "queries.parquet")
    with pytest.raises(ValueError, match=r"queries\.parquet.*rerank 1000, 1 list"):
        write_report(run)


def test_other_methods_have_the_rows_of_the_own_search(make_run: MakeRun) -> None:
    run = make_run()
    table = pq.read_table(run.path / "queries.parquet")
    is_random = np.array(table["method"].to_pylist()) == "random"
    random_rows, others = np.flatnonzero(is_random), np.flatnonzero(~is_random)
    reversed_rows = random_rows[::-1][:-1]  # without the first query
    pq.write_table(table.take(np.concatenate([reversed_rows, others])), run.path / "queries.parquet")
    run_data = read_run_data(run)
    aligned = run_data.other_queries["random", WHOLE_GALLERY]
    assert aligned["id"].to_pylist() == [None, *run_data.queries["id"].to_pylist()[1:]]
    expected = table.take(random_rows)["item/map@100"].to_numpy()[1:]
    np.testing.assert_array_equal(aligned["item/map@100"].to_numpy(), [np.nan, *expected])


@pytest.mark.parametrize("column", [*REQUIRED, *REQUIRED_OF_CLASSIFIER])
def test_a_missing_result_is_rejected(column: Column, make_run: MakeRun) -> None:
    run = make_run()
    removed = run.result_file.results.find(column)
    assert removed is not None
    change_results(run, lambda rows: [row for row in rows if column_of(row) != column_of(removed)])
    with pytest.raises(ValueError, match=rf"results\.parquet.*{column.method} {column.metric}"):
        write_report(run)


@pytest.mark.parametrize("column", ["category/map@100", "code", "predicted"])
def test_a_missing_column_of_the_query_table_is_rejected(column: str, make_run: MakeRun) -> None:
    run = make_run()
    pq.write_table(read_queries(run).drop_columns([column]), run.path / "queries.parquet")
    with pytest.raises(ValueError, match=rf"queries\.parquet.*{column}"):
        write_report(run)


def test_queries_without_codes_are_rejected_if_there_is_a_hash_layer(make_run: MakeRun) -> None:
    run = make_run()
    table = read_queries(run)
    codes = pa.array([None, *table["code"].to_pylist()[1:]], pa.binary())
    pq.write_table(table.set_column(table.column_names.index("code"), "code", codes), run.path / "queries.parquet")
    with pytest.raises(ValueError, match=r"queries\.parquet.*code"):
        write_report(run)


def test_codes_are_those_of_the_query_table_and_of_the_evaluated_gallery(make_run: MakeRun) -> None:
    run = make_run()
    gallery = run.gallery(None)
    codes, ids = gallery.codes, gallery.catalogue.column("id")
    new = gallery.catalogue.take(np.array([0])).with_columns(id=["new one"])
    gallery.index.add(pack(np.ones((1, 12))), np.zeros(1, dtype=np.int64), np.array([len(gallery.embeddings)]))
    embeddings = gallery.embeddings.concatenate(gallery.embeddings)
    grown = type(gallery)(gallery.index, embeddings, gallery.catalogue.concatenate(new), gallery.fingerprint)
    grown.remove(ids[:2])
    grown.save(run.gallery_folder)
    read = read_run_data(run).codes
    assert read is not None
    assert codes is not None
    assert np.array_equal(read.gallery, codes[2:])  # without garments that were removed or added after training
    assert read.gallery_garments.column("id").tolist() == ids[2:].tolist()
    table = read_queries(run)
    assert [code.tobytes() for code in read.query] == table["code"].to_pylist()
    assert read.query_garments.column("id").tolist() == table["id"].to_pylist()


def test_a_run_without_hash_layer_has_no_codes(make_run: MakeRun) -> None:
    run_data = read_run_data(make_run(bits=None))
    assert (run_data.codes, run_data.bits) == (None, 0)
