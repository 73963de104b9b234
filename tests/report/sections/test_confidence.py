"""The reliability diagram agrees with the query table."""

import re

import numpy as np

from fashion_lsh.metrics.statistics import item_interval
from fashion_lsh.report.blocks import Figure, Table
from fashion_lsh.report.run_data import read_run_data
from fashion_lsh.report.sections.confidence import confidence
from tests.report.factories import MakeRun


def test_error_and_bins_are_computed_from_the_query_table(make_run: MakeRun) -> None:
    run_data = read_run_data(make_run())
    figure, table = confidence(run_data)
    assert isinstance(figure, Figure)
    assert isinstance(table, Table)
    probability, items = run_data.column("confidence"), run_data.column("item")
    correct = (run_data.column("category") == run_data.column("predicted")).astype(float)
    bins = np.minimum((probability * 15).astype(int), 14)
    gaps = {b: abs(probability[bins == b].mean() - correct[bins == b].mean()) for b in set(bins.tolist())}
    error = sum(gap * (bins == b).mean() for b, gap in gaps.items())
    assert re.search(rf"ECE.*\b{error:.3f}\b", figure.caption)
    assert f"accuracy {correct.mean():.3f}" in figure.caption
    assert len(table.rows) == len(gaps)
    for row, b in zip(table.rows, sorted(gaps), strict=True):
        low, high = item_interval(correct[bins == b], items[bins == b])
        accuracy = f"{correct[bins == b].mean():.3f} [{low:.3f}, {high:.3f}]"
        assert row[1:] == [f"{(bins == b).sum()}", f"{probability[bins == b].mean():.3f}", accuracy]


def test_without_any_detection_there_is_a_note(make_run: MakeRun) -> None:
    run_data = read_run_data(make_run())
    queries = run_data.queries
    nothing = queries.set_column(queries.column_names.index("predicted"), "predicted", [[""] * len(queries)])
    object.__setattr__(run_data, "queries", nothing)
    [note] = confidence(run_data)
    assert "detected" in str(note)
