"""The command gallery: images into a finished run's gallery, and what it refuses."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from fashion_lsh.cli import search
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.io.files import alone
from fashion_lsh.models.encoding import encode
from fashion_lsh.runs.run import Run
from tests.cli.factories import called, ids, listed, opened

pytestmark = pytest.mark.usefixtures("small_chunks")


def test_pictures_without_a_category_are_filed_and_found(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = ids(run)
    assert called(capsys, run.path, "add", pictures) == (0, "12 garments filed\n")
    assert ids(run) == before + [f"{number:02}.png" for number in range(12)]
    added = opened(run)
    assert set(added.catalogue.column("category")[-12:]) == {"unknown"}
    assert not added.adding
    asked = [run.path, pictures / "07.png", "--probes", "all", "--k", "1", "--sheet", tmp_path / "found.png"]
    assert search.main([str(word) for word in asked]) == 0
    assert " 07.png " in capsys.readouterr().out  # itself, at distance 0
    assert (tmp_path / "found.png").exists()


def test_a_manifest_with_boxes_is_cut_as_the_run_cuts(
    run: Run, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run's own pictures under other names: filed with the same codes, by their boxes."""
    rows = list(csv.DictReader(drawn.open(newline="")))
    own = opened(run)
    assert own.codes is not None
    codes = dict(zip(own.catalogue.column("image"), map(bytes, own.codes), strict=True))
    rows = [row | {"image": str(drawn.parent / row["image"]), "id": f"new {row['image']}"} for row in rows]
    rows = [row for row in rows if Path(row["image"]).name in codes]
    with (tmp_path / "new.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert called(capsys, run.path, "add", tmp_path / "new.csv") == (0, f"{len(rows)} garments filed\n")
    after = opened(run)
    assert after.codes is not None
    new = dict(zip(after.catalogue.column("id"), map(bytes, after.codes), strict=True))
    assert all(new[f"new {name}"] == code for name, code in codes.items())


def test_what_is_there_already_is_an_error_that_adds_nothing(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    called(capsys, run.path, "add", pictures)
    before = ids(run)
    status, printed = called(capsys, run.path, "add", pictures)
    assert status == 2
    assert "'00.png' is in the gallery already" in printed
    assert ids(run) == before


def test_an_id_that_is_there_already_at_the_end_adds_nothing_either(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    shutil.copy(pictures / "11.png", tmp_path / "one")  # of the last of three chunks
    called(capsys, run.path, "add", tmp_path / "one")
    before = ids(run)
    for _ in range(2):
        status, printed = called(capsys, run.path, "add", pictures)
        assert (status, "'11.png' is in the gallery already (1 of 12 are)" in printed) == (2, True)
        assert ids(run) == before
        assert not opened(run).adding


def test_folders_name_categories_where_there_are_some(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, folder in enumerate(["circle", "a coat"]):
        (pictures / folder).mkdir()
        (pictures / f"{number:02}.png").rename(pictures / folder / "1.png")
    assert called(capsys, run.path, "add", pictures) == (0, "12 garments filed\n")
    filed = opened(run).catalogue
    added = dict(zip(filed.column("id")[-12:], filed.column("category")[-12:], strict=True))
    assert (added["circle/1.png"], added["a coat/1.png"], added["02.png"]) == ("circle", "a coat", "unknown")


def test_a_manifest_may_name_some_categories_or_none(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pictures / "some.csv").write_text("path,label\n00.png,circle\n01.png,\n02.png, \n")
    (pictures / "none.csv").write_text("path\n03.png\n04.png\n")
    assert called(capsys, run.path, "add", pictures / "some.csv") == (0, "3 garments filed\n")
    assert called(capsys, run.path, "add", pictures / "none.csv") == (0, "2 garments filed\n")
    assert opened(run).catalogue.column("category")[-5:].tolist() == ["circle", *["unknown"] * 4]


def test_a_run_without_a_hash_layer_takes_pictures_too(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    searched = run.config["search"] | {"distance": "euclidean"}
    (run.path / "config.yaml").write_text(yaml.safe_dump(run.config | {"hash": None, "search": searched}))
    model, one = run.model(), Catalogue.from_columns({"id": ["own"], "image": ["own"], "category": ["circle"]})
    encoded = encode(model, torch.zeros((1, 3, 32, 32), dtype=torch.uint8))
    Gallery.filed(model, encoded, one).save(run.gallery_folder)
    assert called(capsys, run.path, "add", pictures) == (0, "12 garments filed\n")
    assert called(capsys, run.path, "remove", listed(tmp_path, ["07.png"])) == (0, "1 garments removed\n")
    assert "embedding to search" in called(capsys, run.path, "stats")[1]
    assert search.main([str(run.path), str(pictures / "08.png"), "--probes", "all", "--k", "1"]) == 0
    assert " 08.png " in capsys.readouterr().out


def test_bad_pictures_are_named_once(run: Run, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pictures / "bad.png").write_bytes(b"no picture")
    (pictures / "notes.txt").write_text("no picture either")
    status, printed = called(capsys, run.path, "add", pictures)
    assert (status, printed) == (0, f"12 garments filed; 2 left out: {run.path / 'skipped.csv'} says why\n")
    called(capsys, run.path, "remove", listed(pictures.parent, [f"{number:02}.png" for number in range(12)]))
    called(capsys, run.path, "add", pictures)
    lines = list(csv.reader((run.path / "skipped.csv").open(newline="")))
    assert [line[0] for line in lines] == ["id", "notes.txt", "bad.png"]
    assert "no readable picture" in lines[2][1]
    (other := pictures.with_name("other")).mkdir()
    (pictures / "bad.png").rename(other / "bad.png")
    (pictures / "00.png").rename(other / "new.png")
    called(capsys, run.path, "add", other)
    lines = list(csv.reader((run.path / "skipped.csv").open(newline="")))
    assert [line[0] for line in lines] == ["id", "notes.txt", "bad.png", "bad.png"]  # another one of that name


@pytest.mark.parametrize(
    ("what", "said"),
    [("nowhere", "no folder or file"), ("empty", "holds no pictures"), ("busy", "is in use by another process"),
     ("unfinished", "no gallery in"), ("no run", "is no run")],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, what: str, said: str
) -> None:
    asked, before = [run.path, "add", pictures], json.loads((run.gallery_folder / "manifest.json").read_text())
    if what == "nowhere":
        asked[2] = tmp_path / "nowhere"
    if what == "empty":
        asked[2] = tmp_path / "empty"
        asked[2].mkdir()
    if what == "no run":
        asked[0] = tmp_path
    if what == "unfinished":
        shutil.move(run.gallery_folder, tmp_path / "index")
    if what == "busy":
        with alone(run.path):
            status, printed = called(capsys, *asked)
    else:
        status, printed = called(capsys, *asked)
    assert (status, printed.count("\n")) == (2, 1)
    assert said in printed
    folder = tmp_path / "index" if what == "unfinished" else run.gallery_folder
    assert json.loads((folder / "manifest.json").read_text()) == before


def test_categories_get_the_spelling_of_the_gallery(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = run.gallery(run.model().fingerprint()).catalogue.categories
    other = pictures.with_name("other")
    (other / known[0].upper()).mkdir(parents=True)
    shutil.copy(pictures / "08.png", other / known[0].upper() / "new.png")
    assert called(capsys, run.path, "add", other)[0] == 0
    assert run.gallery(run.model().fingerprint()).catalogue.categories == known
