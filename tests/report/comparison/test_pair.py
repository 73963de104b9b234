"""Two runs are compared on their shared queries, and only on the same gallery."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.metrics.results import CLASSIFIER, SEARCH, Column
from fashion_lsh.report.comparison.pair import read_pair
from fashion_lsh.runs.run import Run
from tests.report.factories import MakeRun, read_queries

MAP = Column(SEARCH, "map", 100, "category")


def change_queries(run: Run, **columns: list[object]) -> None:
    """Replace columns of the query table by the same values for each method."""
    path = run.path / "queries.parquet"
    table = pq.read_table(path)
    for name, values in columns.items():
        repeated = values * (len(table) // len(values))
        table = table.set_column(table.column_names.index(name), name, pa.array(repeated, table[name].type))
    pq.write_table(table, path)


def test_queries_are_matched_by_id(make_run: MakeRun) -> None:
    first, second = make_run(key="a"), make_run(key="b")
    table = pq.read_table(second.path / "queries.parquet")
    pq.write_table(table.take(np.arange(len(table))[::-1]), second.path / "queries.parquet")
    pair = read_pair(first, second)
    for column in (MAP, Column(CLASSIFIER, "accuracy"), Column("code", "recall", 10, "item")):
        scores = pair.scores(column)
        assert scores is not None
        np.testing.assert_array_equal(*scores)
    assert pair.num_queries == (len(pair.groups), len(pair.groups))
    assert pair.scores(Column("lsh", "map", 100, "category")) is None


def test_only_shared_queries_are_compared(make_run: MakeRun) -> None:
    first, second = make_run(key="a"), make_run(key="b")
    ids = read_queries(second)["id"].to_pylist()
    table = pq.read_table(second.path / "queries.parquet")
    is_kept = np.isin(np.array(table["id"].to_pylist()), ids[2:])
    pq.write_table(table.filter(is_kept), second.path / "queries.parquet")
    pair = read_pair(first, second)
    assert pair.first.column("id").tolist() == pair.second.column("id").tolist() == ids[2:]
    assert pair.num_queries == (len(ids), len(ids) - 2)
    assert len(pair.groups) == len(ids) - 2


def test_groups_are_the_items(make_run: MakeRun) -> None:
    runs = make_run(key="a"), make_run(key="b")
    items = ["1", "1", "2", "", "", *map(str, range(3, 10))]
    for run in runs:
        change_queries(run, item=[*items])
    groups = read_pair(*runs).groups
    assert groups[0] == groups[1]
    assert len(set(groups.tolist())) == len(items) - 1


def test_a_run_is_not_compared_with_itself(make_run: MakeRun) -> None:
    run = make_run()
    (run.path.parent / "latest").symlink_to(run.path.name)
    with pytest.raises(ValueError, match=rf"{run.path}.*same run"):
        read_pair(run, Run(run.path.parent / "latest"))


def test_different_galleries_are_rejected_with_the_different_settings(make_run: MakeRun) -> None:
    first, second = make_run(key="a"), make_run(key="b", split_seed=1)
    garments = Catalogue.open(second.path / "catalogue.parquet")
    ids = garments.column("id").tolist()
    row = ids.index("0-gallery-0")
    garments.take(np.arange(len(ids)), [*ids[:row], "other", *ids[row + 1 :]]).save(second.path / "catalogue.parquet")
    with pytest.raises(ValueError, match=r"15 and 15 garments, of which 14 are shared.*split_seed \(0; 1\)"):
        read_pair(first, second)


def test_runs_without_shared_queries_are_rejected(make_run: MakeRun) -> None:
    first, second = make_run(key="a"), make_run(key="b")
    garments = Catalogue.open(second.path / "catalogue.parquet")
    other_ids = garments.column("id")[garments.column("split") != "query"]
    change_queries(second, id=other_ids[:12].tolist())
    with pytest.raises(ValueError, match=rf"{first.path} and {second.path}.*none of 12"):
        read_pair(first, second)


@pytest.mark.parametrize("column", ["category", "item"])
def test_other_labels_of_a_shared_query_are_rejected(column: str, make_run: MakeRun) -> None:
    first, second = make_run(key="a"), make_run(key="b")
    labels = read_queries(second)[column].to_pylist()
    change_queries(second, **{column: [*labels[:-1], "bag"]})
    with pytest.raises(ValueError, match=rf"{column} of 1 .*2-query-3"):
        read_pair(first, second)


def test_settings_that_differ_are_listed(make_run: MakeRun) -> None:
    pair = read_pair(make_run(key="a"), make_run(key="b", bits=16))
    assert pair.different_settings() == [("hash.bits", "12", "16")]


def test_runs_with_unseen_categories_have_no_accuracy(make_run: MakeRun) -> None:
    pair = read_pair(make_run(key="a"), make_run(key="b", unseen=["coat"]))
    assert pair.scores(Column(CLASSIFIER, "accuracy")) is None
