"""Contact sheets of the best, typical and worst queries."""

import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.images import open_image
from fashion_lsh.report.run_data import RunData, read_run_data
from fashion_lsh.report.sections import examples as examples_module
from fashion_lsh.report.sections.examples import ExampleImages, example_sheets
from fashion_lsh.report.tiles import TILE, Tile, draw_sheet
from tests.report.factories import MakeRun, read_queries
from tests.report.pages import TITLES, read_page


def draw_rows(run_data: RunData, queries: list[int], monkeypatch: pytest.MonkeyPatch) -> list[list[Tile]]:
    """Tiles of the contact sheet of these queries, one row per query."""
    all_rows: list[list[Tile]] = []
    monkeypatch.setattr(
        examples_module, "draw_sheet", lambda tiles, columns: all_rows.extend(tiles) or draw_sheet(tiles, columns)
    )
    ExampleImages(run_data, np.array(queries)).sheet("best", np.array(queries))
    return all_rows


@pytest.mark.parametrize("crop", ["annotated", "whole"])
def test_a_row_shows_query_crop_and_the_first_eight_hits(
    crop: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_data = read_run_data(make_run(crop=crop))
    row_by_id = {name: row for row, name in enumerate(run_data.garments.column("id"))}
    outputs = run_data.queries.to_pylist()
    for query, row in zip([3, 7], draw_rows(run_data, [3, 7], monkeypatch), strict=True):
        output = outputs[query]
        assert len(row) == 2 + 8
        assert row[0].caption.endswith(output["category"])
        assert row[1].caption.endswith(output["predicted"])
        assert row[1].mark == ("same category" if output["category"] == output["predicted"] else "other category")
        box = None if crop == "whole" else np.array([1, 2, 9, 10], np.float32)
        for name, tile in zip([output["id"], *output["hits"][:8]], row[1:], strict=True):
            index = row_by_id[name]
            image = open_image(Path(run_data.config["data"]["root"]).parent / run_data.garments.column("image")[index])
            assert np.array_equal(tile.image, crop_image(image, box, 0.1, TILE))
        for name, tile in zip(output["hits"][:8], row[2:], strict=True):
            category, item = (run_data.garments.column(column)[row_by_id[name]] for column in ("category", "item"))
            mark = "same category" if category == output["category"] else "other category"
            assert tile.mark == ("same item" if item == output["item"] else mark)
            assert tile.caption == category


def test_best_typical_and_worst_queries_are_shown_with_scores(make_run: MakeRun) -> None:
    run_data = read_run_data(make_run())
    tables = [block for block in example_sheets(run_data) if block.kind == "table"]
    assert all(name in table.summary for name, table in zip(("best", "typical", "worst"), tables, strict=True))
    scores = [[float(row[4]) for row in table.rows] for table in tables]
    assert min(scores[0]) >= max(scores[1])
    assert min(scores[1]) >= max(scores[2])
    assert max(scores[0]) == pytest.approx(max(run_data.column("category/map@100")), abs=0.001)
    assert min(scores[2]) == pytest.approx(min(run_data.column("category/map@100")), abs=0.001)


def test_a_hit_added_after_training_is_a_grey_tile_and_listed(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run()
    table = read_queries(run)
    hits = [["new one", *names] for names in table["hits"].to_pylist()]
    pq.write_table(
        table.set_column(table.column_names.index("hits"), "hits", pa.array(hits)), run.path / "queries.parquet"
    )
    run_data = read_run_data(run)
    row = draw_rows(run_data, [0], monkeypatch)[0]
    assert [tile.caption for tile in row].index("missing") == 2
    [note] = ExampleImages(run_data, np.array([0])).note()
    assert re.search(r"new one \(.*catalogue\.parquet", str(note))


def test_missing_images_are_listed_and_other_images_are_shown(make_run: MakeRun) -> None:
    run = make_run()
    images = Path(run.config["data"]["root"]).parent
    (images / "1.png").unlink()
    page = read_page(run)
    [note] = [text for text in page.texts_in("p") if "1.png" in text]
    assert re.search(r"1-(query|gallery)-\d \(.*1\.png", note)
    assert "0-query" not in note
    assert (run.path / "report" / "best.jpg").exists()
    shutil.rmtree(images)
    shutil.rmtree(run.path / "report")
    page = read_page(run)
    assert page.texts_in("h2") == TITLES
    assert any(re.search(r"1\.png.* \d+ more", text) for text in page.texts_in("p"))
    assert not (run.path / "report" / "best.jpg").exists()
    assert any("worst" in text for text in page.texts_in("summary"))


def test_a_note_states_the_path_of_a_data_set_that_cannot_be_opened(make_run: MakeRun) -> None:
    run = make_run(source="fashion_mnist", root="/nowhere")
    page = read_page(run)
    assert "/nowhere" in page.text
    assert "MIT licence" in page.text
