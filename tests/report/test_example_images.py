"""Tiles of queries and hits."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fashion_lsh.data.crops import crop_image
from fashion_lsh.data.images import open_image
from fashion_lsh.report.example_images import MAX_HITS, ExampleImages
from fashion_lsh.report.run_data import read_run_data
from fashion_lsh.report.tiles import TILE
from tests.report.factories import MakeRun, read_queries


@pytest.mark.parametrize("crop", ["annotated", "whole"])
def test_a_query_has_image_crop_and_hits_with_marks(crop: str, make_run: MakeRun) -> None:
    run_data = read_run_data(make_run(crop=crop))
    row_by_id = {name: row for row, name in enumerate(run_data.garments.column("id"))}
    box = None if crop == "whole" else np.array([1, 2, 9, 10], np.float32)
    images, outputs = ExampleImages(run_data), run_data.queries.to_pylist()
    for query in (3, 7):
        output, tiles = outputs[query], [*images.query(query), *images.hits(query)]
        assert len(tiles) == 2 + MAX_HITS
        assert tiles[0].caption.endswith(output["category"])
        assert tiles[1].caption.endswith(output["predicted"])
        assert tiles[1].mark == ("same category" if output["category"] == output["predicted"] else "other category")
        for name, tile in zip([output["id"], *output["hits"][:MAX_HITS]], tiles[1:], strict=True):
            file = Path(run_data.config["data"]["root"]).parent / run_data.garments.row(row_by_id[name])["image"]
            assert np.array_equal(tile.image, crop_image(open_image(file), box, 0.1, TILE))
        for name, tile in zip(output["hits"][:MAX_HITS], tiles[2:], strict=True):
            garment = run_data.garments.row(row_by_id[name])
            mark = "same category" if garment["category"] == output["category"] else "other category"
            assert tile.mark == ("same item" if garment["item"] == output["item"] else mark)
            assert tile.caption == garment["category"]


def test_a_hit_added_after_training_is_a_grey_tile_and_listed(make_run: MakeRun) -> None:
    run = make_run()
    table = read_queries(run)
    hits = pa.array([["new one", *names] for names in table["hits"].to_pylist()])
    pq.write_table(table.set_column(table.column_names.index("hits"), "hits", hits), run.path / "queries.parquet")
    images = ExampleImages(read_run_data(run))
    assert [tile.caption for tile in images.hits(0)].index("missing") == 0
    [note] = images.note()
    assert re.search(r"new one \(.*catalogue\.parquet", str(note))


def test_a_note_lists_only_the_images_missing_since_the_last_note(make_run: MakeRun) -> None:
    run = make_run()
    (Path(run.config["data"]["root"]).parent / "1.png").unlink()
    images = ExampleImages(read_run_data(run))
    assert images.crop("1-query-0", "").caption == "missing"
    assert "1-query-0" in str(images.note())
    assert images.crop("0-query-0", "first").caption == "first"
    assert images.note() == []


def test_without_a_data_set_there_is_no_sheet_and_each_note_states_the_reason(make_run: MakeRun) -> None:
    images = ExampleImages(read_run_data(make_run(source="fashion_mnist", root="/nowhere")))
    assert images.sheet("best", [images.query(0), images.hits(0)], [], "Best.") == []
    assert all("/nowhere" in str(note) for note in (images.note(), images.note()))
