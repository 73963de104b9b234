"""Page that compares two runs."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fashion_lsh.metrics.results import SEARCH, Column
from fashion_lsh.metrics.statistics import holm, paired_difference
from fashion_lsh.report.comparison.page import write_comparison
from fashion_lsh.report.comparison.pair import read_pair
from fashion_lsh.report.comparison.sections import METRICS, QUERY_METRICS
from fashion_lsh.runs.run import Run
from tests.report.factories import MakeRun
from tests.report.pages import Page

NAMES = ["Runs", "Paired differences", "Differences by category", "Queries found by one run only",
         "Scores of the single queries"]  # fmt: skip


def make_pair(make_run: MakeRun, **options: object) -> tuple[Run, Run]:
    """Two runs; in the second, the scores of the own search belong to other queries."""
    first, second = make_run(key="a", **options), make_run(key="b", **options)
    path = second.path / "queries.parquet"
    table = pq.read_table(path)
    rows = np.flatnonzero(np.array(table["method"].to_pylist()) == second.policy.method)
    for name in (name for name in table.column_names if "@" in name):
        values = table[name].to_numpy().copy()
        values[rows] = np.roll(values[rows], 3) * 0.9
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    pq.write_table(table, path)
    return first, second


def rows_of(page: Page, width: int) -> dict[str, Sequence[str]]:
    """Cells after each cell, by its text."""
    cells = page.texts_in("td")
    return {cell: cells[at + 1 : at + width] for at, cell in reversed(list(enumerate(cells)))}


def test_differences_are_paired_and_adjusted(make_run: MakeRun) -> None:
    first, second = make_pair(make_run)
    path = write_comparison(first, second)
    assert path == first.path / "report" / "compare-made-b" / "index.html"
    page = Page(path.read_text())
    assert page.texts_in("h2") == NAMES
    pair, rows = read_pair(first, second), rows_of(page, 7)
    scores = {title: pair.scores(column) for title, column in METRICS.items()}
    known = {title: each for title, each in scores.items() if each}
    assert {"top-1", "item recall@10", "item recall@10, code"} <= known.keys()
    differences = {title: paired_difference([a], [b], pair.groups) for title, (a, b) in known.items()}
    adjusted = holm([difference.p for difference in differences.values()])
    for (title, each), p in zip(differences.items(), adjusted, strict=True):
        means = [f"{values.mean():.3f}" for values in known[title]]
        interval = f"[{each.low:+.3f}, {each.high:+.3f}]"
        assert rows[title] == ["12", *means, f"{each.mean:+.3f}", interval, f"{p:.3f}"]


def test_the_csv_has_the_scores_of_both_runs(make_run: MakeRun) -> None:
    first, second = make_pair(make_run)
    folder = write_comparison(first, second).parent
    pair = read_pair(first, second)
    with (folder / "queries.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == pair.first.column("id").tolist()
    for title in QUERY_METRICS:
        base, other = pair.scores(METRICS[title]) or ()
        np.testing.assert_allclose([float(row[f"{title} B - A"]) for row in rows], other - base, atol=2e-6)
    assert {path.name for path in folder.iterdir()} == {
        "index.html", "report.md", "queries.csv", "categories.csv", "categories.svg", "only-first.jpg",
        "only-second.jpg",
    }  # fmt: skip


def test_shared_queries_and_code_versions_are_noted(make_run: MakeRun) -> None:
    first, second = make_pair(make_run)
    table = pq.read_table(second.path / "queries.parquet")
    pq.write_table(table.filter(pa.compute.not_equal(table["id"], "0-query-0")), second.path / "queries.parquet")
    second.write_json("environment.json", {"code_version": "0123abcd"})
    text = Page(write_comparison(first, second).read_text()).text
    assert "11 shared queries of 12 (A) and 11 (B)" in text
    assert "unknown (A) and 0123abcd (B)" in text


@pytest.mark.parametrize("options", [{"items": False}, {"bits": None}, {"names": ["bag"]}, {"unseen": ["coat"]}])
def test_runs_of_any_kind_are_compared(options: dict[str, object], make_run: MakeRun) -> None:
    page = Page(write_comparison(*make_pair(make_run, **options)).read_text())
    assert page.texts_in("h2") == NAMES
    assert ("item recall@10" in page.texts_in("td")) == ("items" not in options)
    assert ("category mAP@100, code" in page.texts_in("td")) == ("bits" not in options)
    assert ("top-1" in page.texts_in("td")) == ("unseen" not in options)


def test_missing_images_are_noted(make_run: MakeRun) -> None:
    first, second = make_pair(make_run)
    (Path(first.config["data"]["root"]).parent / "0.png").unlink()
    text = Page(write_comparison(first, second).read_text()).text
    assert "0.png" in text


def test_metrics_are_those_of_search_code_and_float() -> None:
    assert METRICS["item recall@10"] == Column(SEARCH, "recall", 10, "item")
    assert METRICS["item recall@10, float"].method == "float"
