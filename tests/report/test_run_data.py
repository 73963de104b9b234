"""Files of a run: damaged, missing, or with rows of another search policy."""

import re

import pyarrow.parquet as pq
import pytest
from fashion_lsh.evaluation.results import write_queries

from fashion_lsh.report.page import write_report
from fashion_lsh.report.run_data import CLASSIFIER_METRICS
from tests.report.factories import MakeRun
from tests.report.pages import read_page


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", b'{"query/accuracy": 0.5, "query'),
        ("metrics.json", b"[]"),
        ("metrics.json", b"{}"),
        ("queries.parquet", b"PAR1 and then nothing"),
        ("queries.parquet", b""),
        ("codes.npz", b"PK\x03\x04"),
        ("catalogue.parquet", b"PAR1"),
        ("config.yaml", b"data: [1, 2"),
        ("config.yaml", b"data: {}"),
        ("environment.json", b""),
        ("logs/version_0/metrics.csv", b"classifier/train/loss,epoch,step\nmuch,0,9\n"),
    ],
)
def test_a_damaged_file_raises_with_the_path(name: str, content: bytes, make_run: MakeRun) -> None:
    run = make_run()
    (run.path / name).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(run.path / name))):
        write_report(run)
    assert not (run.path / "report").exists()


@pytest.mark.parametrize("name", ["queries.parquet", "codes.npz", "catalogue.parquet", "environment.json"])
def test_a_missing_file_raises_with_the_path(name: str, make_run: MakeRun) -> None:
    run = make_run()
    (run.path / name).unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(str(run.path / name))):
        write_report(run)


def test_an_unfinished_run_is_rejected(make_run: MakeRun) -> None:
    run = make_run()
    (run.path / "metrics.json").unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(str(run.path))):
        write_report(run)


def test_rows_of_another_search_policy_are_ignored(make_run: MakeRun) -> None:
    run = make_run()
    own = read_page(run).texts_in("td")
    table = pq.read_table(run.path / "queries.parquet")
    column = table.column_names.index("search")
    other = table.set_column(column, "search", [["hamming_all"] * len(table)])
    changed = other.set_column(other.column_names.index("predicted"), "predicted", [["hat"] * len(table)])
    write_queries(run.path / "queries.parquet", changed)
    assert read_page(run).texts_in("td") == own
    pq.write_table(other, run.path / "queries.parquet")
    with pytest.raises(ValueError, match=r"queries\.parquet.*rerank200_1"):
        write_report(run)


def test_metrics_without_accuracy_are_rejected_if_all_categories_are_known(make_run: MakeRun) -> None:
    run = make_run()
    run.write_json(
        "metrics.json", {name: value for name, value in run.metrics.items() if name not in CLASSIFIER_METRICS}
    )
    with pytest.raises(ValueError, match=r"metrics\.json.*query/accuracy"):
        write_report(run)
