"""Queries that one of two searches finds."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.report.blocks import Figure
from fashion_lsh.report.example_images import ExampleImages
from fashion_lsh.report.overlap import CRITERIA, NUM_HITS, Side, overlap, overlap_sheets
from fashion_lsh.report.run_data import read_run_data, relevant_garments
from tests.report.factories import MakeRun

RECALLS = st.lists(st.tuples(*[st.sampled_from([0.0, 0.49, 0.5, 1.0, np.nan])] * 2), max_size=20)
ITEM = CRITERIA["item recall@10"]


@given(RECALLS)
def test_each_query_with_scores_is_in_one_group(recalls: list[tuple[float, float]]) -> None:
    first, second = np.array(recalls, dtype=float).reshape(-1, 2).T
    groups = overlap(first, second)
    expected: list[list[int]] = [[], [], [], []]
    for query, (one, other) in enumerate(recalls):
        if one == one and other == other:
            expected[2 * (one < 0.5) + (other < 0.5)].append(query)
    assert [group.tolist() for group in groups] == expected


def test_cells_state_number_and_percentage() -> None:
    groups = overlap(np.array([1, 1, 0, 0, np.nan]), np.array([1, 0, 0, 0, 1]))
    assert groups.cells() == ["1 (25.0 %)", "1 (25.0 %)", "0 (0.0 %)", "2 (50.0 %)"]


def test_sheets_show_the_hits_of_both_sides_below_each_other(make_run: MakeRun) -> None:
    run_data = read_run_data(make_run())
    images, queries = ExampleImages(run_data), run_data.queries
    recall = [np.r_[np.ones(2), np.zeros(len(queries) - 2)], np.r_[np.zeros(2), np.ones(1), np.zeros(len(queries) - 3)]]
    tables = [queries.set_column(queries.column_names.index(ITEM.found), ITEM.found, pa.array(each)) for each in recall]
    first, second = (Side(name, table, images) for name, table in zip("AB", tables, strict=True))
    figures = overlap_sheets(first, second, ITEM, relevant_garments(run_data))
    assert [figure.name for figure in figures if isinstance(figure, Figure)] == ["only-first.jpg", "only-second.jpg"]
    assert "A finds and B does not, 2 of 2" in figures[0].caption  # type: ignore[union-attr]
    scores_only = Side("C", tables[1].drop_columns(["hits"]), images)
    [without_hits, _] = overlap_sheets(first, scores_only, ITEM, {})
    assert isinstance(without_hits, Figure)
    assert "hits of C are not in queries.parquet" in without_hits.caption
    assert np.isnan(scores_only.scores("no/such")).all()


def test_rows_have_query_relevant_garment_and_hits(make_run: MakeRun) -> None:
    run_data = read_run_data(make_run())

    class Recorder(ExampleImages):
        def sheet(self, name, rows, columns, caption, row_titles=()):  # type: ignore[no-untyped-def]
            self.rows, self.columns, self.titles = rows, columns, row_titles
            return super().sheet(name, rows, columns, caption, row_titles)

    images, table = Recorder(run_data), run_data.queries
    same_run, other_run = images, ExampleImages(run_data)
    none = table.set_column(table.column_names.index(ITEM.found), ITEM.found, pa.array(np.zeros(len(table))))
    every = table.set_column(table.column_names.index(ITEM.found), ITEM.found, pa.array(np.ones(len(table))))
    for second_images, captions in ((same_run, {""}), (other_run, {"pred: bag", "pred: coat", "pred: hat"})):
        sides = Side("A", every, images), Side("B", none, second_images)
        [figure] = overlap_sheets(*sides, ITEM, relevant_garments(run_data))
        assert isinstance(figure, Figure)
        assert all(len(row) == 3 + NUM_HITS == len(images.columns) for row in images.rows)
        assert all(row[2].mark == "same item" for row in images.rows[::2])
        assert {row[1].caption for row in images.rows[1::2]} <= captions
        assert [title.partition("hits of ")[2] for title in images.titles] == ["A", "B"] * (len(images.rows) // 2)
