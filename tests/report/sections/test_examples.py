"""The sheets' tiles, against what was answered."""

import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.images import open_image
from fashion_lsh.report.run_data import Findings, read
from fashion_lsh.report.sections import examples as judging
from fashion_lsh.report.sections.examples import Album, judged
from fashion_lsh.report.tiles import TILE, Tile, drawn
from tests.report.factories import MakeRun
from tests.report.pages import TITLES, page_of


def rows(found: Findings, numbers: list[int], monkeypatch: pytest.MonkeyPatch) -> list[list[Tile]]:
    """The tiles that a sheet of these queries is drawn from."""
    given: list[list[Tile]] = []
    monkeypatch.setattr(judging, "drawn", lambda tiles, columns: given.extend(tiles) or drawn(tiles, columns))
    Album(found, np.array(numbers)).sheet("best", np.array(numbers))
    return given


@pytest.mark.parametrize("crop", ["annotated", "whole"])
def test_a_row_shows_query_crop_and_the_first_eight_hits(
    crop: str, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read(make_run(crop=crop))
    about = {name: number for number, name in enumerate(found.garments.column("id"))}
    answers = found.queries.to_pylist()
    for number, row in zip([3, 7], rows(found, [3, 7], monkeypatch), strict=True):
        answer = answers[number]
        assert len(row) == 2 + 8
        assert row[0].caption == f"is {answer['category']}"
        assert row[1].caption == f"seen as {answer['predicted']}"
        assert row[1].mark == ("same category" if answer["category"] == answer["predicted"] else "other category")
        box = None if crop == "whole" else np.array([1, 2, 9, 10], np.float32)
        for name, tile in zip([answer["id"], *answer["hits"][:8]], row[1:], strict=True):
            place = about[name]
            picture = open_image(Path(found.config["data"]["root"]).parent / found.garments.column("image")[place])
            assert np.array_equal(tile.picture, crop_image(picture, box, 0.1, TILE))
        for name, tile in zip(answer["hits"][:8], row[2:], strict=True):
            category, item = (found.garments.column(column)[about[name]] for column in ("category", "item"))
            same = "same category" if category == answer["category"] else "other category"
            assert tile.mark == ("same item" if item == answer["item"] else same)
            assert tile.caption == category


def test_the_best_stand_before_the_typical_and_the_worst_with_their_figures(make_run: MakeRun) -> None:
    found = read(make_run())
    tables = [block for block in judged(found) if block.kind == "table"]
    assert [table.folded.split()[4] for table in tables] == ["best", "typical", "worst"]
    scores = [[float(row[4]) for row in table.rows] for table in tables]
    assert min(scores[0]) >= max(scores[1])
    assert min(scores[1]) >= max(scores[2])
    assert max(scores[0]) == pytest.approx(max(found.column("category/map@100")), abs=0.001)
    assert min(scores[2]) == pytest.approx(min(found.column("category/map@100")), abs=0.001)


def test_a_hit_that_was_filed_later_is_grey_and_named(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    table = pq.read_table(run.path / "queries.parquet")
    hits = [["new one", *names] for names in table["hits"].to_pylist()]
    pq.write_table(
        table.set_column(table.column_names.index("hits"), "hits", pa.array(hits)), run.path / "queries.parquet"
    )
    found = read(run)
    row = rows(found, [0], monkeypatch)[0]
    assert [tile.caption for tile in row].index("missing") == 2
    [note] = Album(found, np.array([0])).note()
    assert "new one (filed later: not in catalogue.parquet)" in str(note)


def test_pictures_that_are_gone_are_named_and_the_rest_is_kept(make_run: MakeRun) -> None:
    run = make_run()
    pictures = Path(run.config["data"]["root"]).parent
    (pictures / "1.png").unlink()
    page = page_of(run)
    note = next(text for text in page.of("p") if text.startswith("Pictures that cannot be opened"))
    assert re.search(r"1-(query|gallery)-\d \(.*1\.png: no such file\)", note)
    assert "0-query" not in note
    assert (run.path / "report" / "best.jpg").exists()
    shutil.rmtree(pictures)
    shutil.rmtree(run.path / "report")
    page = page_of(run)
    assert page.of("h2") == TITLES
    assert "more." in next(text for text in page.of("p") if text.startswith("Pictures that cannot be opened"))
    assert not (run.path / "report" / "best.jpg").exists()
    assert "the figures of the worst queries" in page.of("summary")


def test_a_source_that_does_not_open_is_a_note(make_run: MakeRun) -> None:
    run = make_run(source="fashion_mnist", root="/nowhere")
    page = page_of(run)
    assert "/nowhere does not hold Fashion-MNIST's four files" in page.text
    assert "MIT licence" in page.text
