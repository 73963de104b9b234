"""The table of the run's setup."""

from pathlib import Path

from fashion_lsh.data.corrections import Correction
from fashion_lsh.report.blocks import Table
from fashion_lsh.report.phrases import describe_search
from fashion_lsh.report.run_data import read_run_data
from fashion_lsh.report.sections.setup import MAX_CATEGORIES, setup
from tests.report.factories import MakeRun
from tests.report.pages import read_page


def test_setup_describes_model_search_and_data(make_run: MakeRun) -> None:
    run = make_run()
    cells = read_page(run).texts_in("td")
    config = dict(zip(cells[0:20:2], cells[1:20:2], strict=True))
    assert config["backbone"] == "resnet18, from scratch"
    assert config["hash layer"] == "12 bits (softmax)"
    assert config["search"] == describe_search(run.policy)
    assert config["garments"] == "6 train, 3 val, 12 query, 15 gallery"
    assert config["categories"] == "3: bag, coat, hat"
    assert any("2 garments" in text and "skipped.csv" in text for text in config.values())
    assert config["items"].startswith("12 ")
    assert "corrections" not in cells


def test_setup_counts_corrections(make_run: MakeRun) -> None:
    run = make_run()
    actions = ["relabel", "exclude", "relabel"]
    run.write_corrections(
        Correction(Path("review.csv"), line, f"{line}", "bag", action, "hat" if action == "relabel" else "")
        for line, action in enumerate(actions, start=2)
    )
    cells = read_page(run).texts_in("td")
    assert cells[cells.index("corrections") + 1] == "2 relabelled, 1 left out"


def test_the_table_names_only_the_first_of_many_categories(make_run: MakeRun) -> None:
    names = [f"category {number:03}" for number in range(142)]
    [table] = setup(read_run_data(make_run(names)))
    assert isinstance(table, Table)
    [text] = [row[1] for row in table.rows if row[0] == "categories"]
    assert text.startswith(f"142: {', '.join(names[:MAX_CATEGORIES])}")
    assert f"{142 - MAX_CATEGORIES} more" in text
    assert names[MAX_CATEGORIES] not in text
