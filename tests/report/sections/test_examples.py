"""Contact sheets of the best, typical and worst queries."""

import re
import shutil
from pathlib import Path

import pytest

from fashion_lsh.report.example_images import ExampleImages
from fashion_lsh.report.run_data import read_run_data
from fashion_lsh.report.sections.examples import CAPTIONS, example_sheets
from tests.report.factories import MakeRun
from tests.report.pages import TITLES, read_page


def test_best_typical_and_worst_queries_are_shown_with_scores(make_run: MakeRun) -> None:
    run_data = read_run_data(make_run())
    blocks = example_sheets(run_data, ExampleImages(run_data))
    tables = [block for block in blocks if block.kind == "table"]
    assert all(name in table.summary for name, table in zip(CAPTIONS, tables, strict=True))
    assert [block.caption for block in blocks if block.kind == "figure"] == list(CAPTIONS.values())
    scores = [[float(row[4]) for row in table.rows] for table in tables]
    assert min(scores[0]) >= max(scores[1])
    assert min(scores[1]) >= max(scores[2])
    assert max(scores[0]) == pytest.approx(max(run_data.column("category/map@100")), abs=0.001)
    assert min(scores[2]) == pytest.approx(min(run_data.column("category/map@100")), abs=0.001)
    costs = [float(row[3]) * (1 - float(row[4])) for row in tables[3].rows]
    assert costs == sorted(costs, reverse=True)


def test_unseen_categories_have_no_confident_failures(make_run: MakeRun) -> None:
    run_data = read_run_data(make_run(unseen=["coat", "hat"]))
    summaries = [block.summary for block in example_sheets(run_data, ExampleImages(run_data)) if block.kind == "table"]
    assert len(summaries) == 3
    assert not any("confident" in summary for summary in summaries)


def test_missing_images_are_listed_and_other_images_are_shown(make_run: MakeRun) -> None:
    run = make_run()
    images = Path(run.config["data"]["root"]).parent
    (images / "1.png").unlink()
    notes = [text for text in read_page(run).texts_in("p") if "1.png" in text]
    assert re.search(r"1-(query|gallery)-\d \(.*1\.png", notes[-1])
    assert not any("0-query" in note for note in notes)
    assert (run.path / "report" / "best.jpg").exists()
    shutil.rmtree(images)
    shutil.rmtree(run.path / "report")
    page = read_page(run)
    assert page.texts_in("h2") == TITLES
    assert any(re.search(r"1\.png.* \d+ more", text) for text in page.texts_in("p"))
    assert not list((run.path / "report").glob("*.jpg"))
    assert any("worst" in text for text in page.texts_in("summary"))


def test_a_note_states_the_path_of_a_data_set_that_cannot_be_opened(make_run: MakeRun) -> None:
    run = make_run(source="fashion_mnist", root="/nowhere")
    page = read_page(run)
    assert "/nowhere" in page.text
    assert "MIT licence" in page.text
