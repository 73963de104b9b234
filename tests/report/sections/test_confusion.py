"""Confusion matrix and the most confused pairs agree with the query table."""

import csv
import io

import numpy as np
import pytest

from fashion_lsh.report.blocks import Block, Download, Figure, Table, Text
from fashion_lsh.report.example_images import ExampleImages
from fashion_lsh.report.run_data import RunData, read_run_data
from fashion_lsh.report.sections.confusion import MAX_CATEGORIES, MAX_PAIRS, OTHERS, confusion
from tests.report.factories import MakeRun


def build(run_data: RunData) -> dict[str, Block]:
    """Blocks of the section by name or kind."""
    blocks = confusion(run_data, ExampleImages(run_data))
    return {getattr(block, "name", block.kind): block for block in blocks}


def test_the_most_confused_pairs_are_listed_with_counts_and_percentages(make_run: MakeRun) -> None:
    run_data = read_run_data(make_run())
    table = build(run_data)["table"]
    assert isinstance(table, Table)
    true, predicted = run_data.column("category"), run_data.column("predicted")
    num_errors = (true != predicted).sum()
    counts = []
    for name, other, count, of_category, of_errors in table.rows:
        queries = ((true == name) & (predicted == other)).sum()
        assert (name != other, count) == (True, f"{queries:,}")
        assert of_category == f"{100 * queries / (true == name).sum():.1f} %"
        assert of_errors == f"{100 * queries / num_errors:.1f} %"
        counts.append(queries)
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == num_errors


def test_a_sheet_shows_the_query_crops_of_each_pair(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run_data = read_run_data(make_run())
    shown: list[tuple[str, str]] = []
    monkeypatch.setattr(
        ExampleImages, "crop", lambda self, name, caption, mark="", crop=ExampleImages.crop:
        shown.append((name, caption)) or crop(self, name, caption, mark),
    )  # fmt: skip
    blocks = build(run_data)
    assert isinstance(blocks["confused-pairs.jpg"], Figure)
    wrong = np.flatnonzero(run_data.column("category") != run_data.column("predicted"))
    expected = {(run_data.column("id")[row], f"{run_data.column('confidence')[row]:.2f}") for row in wrong}
    assert set(shown) == expected


def test_the_csv_has_all_predictions(make_run: MakeRun) -> None:
    run_data = read_run_data(make_run(["=a, b", 'quoted "name"', "hat"]))
    download = build(run_data)["confusion.csv"]
    assert isinstance(download, Download)
    rows = list(csv.DictReader(io.StringIO(download.content.decode())))
    pairs = list(zip(run_data.column("category"), run_data.column("predicted"), strict=True))
    assert {(row["true"], row["predicted"]): int(row["queries"]) for row in rows} == {
        pair: pairs.count(pair) for pair in pairs
    }


def test_with_many_categories_the_matrix_and_the_table_are_limited(make_run: MakeRun) -> None:
    run_data = read_run_data(make_run([f"category {number}" for number in range(142)]))
    blocks = build(run_data)
    matrix, table = blocks["confusion.svg"], blocks["table"]
    assert isinstance(matrix, Figure)
    assert isinstance(table, Table)
    assert matrix.min_width < 1000
    assert OTHERS in matrix.content.decode()
    assert "142" in matrix.caption
    assert len(table.rows) == MAX_PAIRS
    few = build(read_run_data(make_run([f"{number}" for number in range(MAX_CATEGORIES)], key="few")))["confusion.svg"]
    assert OTHERS not in few.content.decode()  # type: ignore[union-attr]


def test_without_errors_there_are_no_pairs(make_run: MakeRun) -> None:
    run_data = read_run_data(make_run(["bag"]))
    matrix, text = confusion(run_data, ExampleImages(run_data))
    assert isinstance(matrix, Figure)
    assert isinstance(text, Text)
