"""Scores by category agree with the query table."""

import csv
import io

import numpy as np
import pytest

from fashion_lsh.metrics.statistics import item_interval
from fashion_lsh.report.blocks import Download, Figure, Table, Text
from fashion_lsh.report.run_data import read_run_data
from fashion_lsh.report.sections.categories import (
    MAX_PLOTTED,
    categories,
    category_blocks,
    category_scores,
    query_scores,
)
from tests.report.factories import MakeRun


def test_scores_are_means_over_the_queries_of_a_category_with_item_intervals() -> None:
    names, items = np.array(["a", "a", "a", "b", "b", "c"]), np.array(["1", "1", "2", "3", "3", ""])
    values = np.array([1.0, 0.0, 0.5, 0.25, 0.75, np.nan])
    scores = {name: each["AP"] for name, each in category_scores(names, items, {"AP": values}).items()}
    assert scores["a"] == (0.5, *item_interval(values[:3], items[:3]), 3)
    assert scores["b"][::3] == (0.5, 2)
    assert np.isnan(scores["b"][1:3]).all()  # one item
    assert np.isnan(scores["c"][:3]).all()
    assert scores["c"].n == 0


def test_all_categories_are_in_the_table_and_the_csv_and_the_worst_in_the_figure(make_run: MakeRun) -> None:
    names = [f"category {number}" for number in range(MAX_PLOTTED + 3)]
    run_data = read_run_data(make_run(names))
    figure, table, download = categories(run_data)
    assert isinstance(figure, Figure)
    assert isinstance(table, Table)
    assert isinstance(download, Download)
    shown = [row[0] for row in table.rows]
    assert sorted(shown) == sorted(names)
    accuracy = [float(row[1].split()[0]) for row in table.rows]
    assert accuracy == sorted(accuracy)
    rows = list(csv.DictReader(io.StringIO(download.content.decode())))
    assert [row["category"] for row in rows] == shown
    true, predicted = run_data.column("category"), run_data.column("predicted")
    expected = {name: (predicted[true == name] == name).mean() for name in names}
    assert {row["category"]: float(row["top-1 accuracy"]) for row in rows} == pytest.approx(expected)
    drawn = figure.content.decode()
    assert all((f">{name}<" in drawn) == (name in shown[:MAX_PLOTTED]) for name in names)
    assert " 3 categories" in figure.caption


def test_unknown_scores_are_left_out(make_run: MakeRun) -> None:
    assert list(query_scores(read_run_data(make_run(items=False, key="a")))) == ["top-1 accuracy", "category AP@100"]
    unseen = read_run_data(make_run(unseen=["coat"], key="b"))
    assert list(query_scores(unseen)) == ["category AP@100", "item recall@10"]
    nan = np.full(len(unseen.queries), np.nan, np.float32)
    queries = unseen.queries
    for name in ("category/map@100", "item/recall@10"):
        queries = queries.set_column(queries.column_names.index(name), name, [nan])
    object.__setattr__(unseen, "queries", queries)
    [note] = categories(unseen)
    assert isinstance(note, Text)


def test_the_largest_absolute_difference_is_first() -> None:
    names, differences = np.array(["a", "b", "c"]), np.array([0.1, -0.5, 0.3])
    blocks = category_blocks(names, np.array(["", "", ""]), {"AP": differences}, "B - A.", lambda value: -abs(value))
    table = next(block for block in blocks if isinstance(block, Table))
    assert [row[0] for row in table.rows] == ["b", "c", "a"]
