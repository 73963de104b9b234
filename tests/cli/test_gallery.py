"""The gallery command adds images to the gallery of a finished run, and rejects invalid input."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from fashion_lsh.cli import gallery, search
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.io.files import folder_lock
from fashion_lsh.models.encoding import encode
from fashion_lsh.runs.run import Run
from tests.cli.factories import gallery_ids, open_gallery, run_gallery, write_ids

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("small_chunks")]


def test_images_without_category_can_be_added_and_searched(
    run: Run, images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = gallery_ids(run)
    assert run_gallery(capsys, "add", run.path, images) == (0, "Added 12 garments\n")
    assert gallery_ids(run) == before + [f"{number:02}.png" for number in range(12)]
    added = open_gallery(run)
    assert set(added.catalogue.column("category")[-12:]) == {"unknown"}
    assert not added.pending_keys
    argv = [run.path, images / "07.png", "--nprobe", "all", "--k", "1", "--sheet", tmp_path / "found.png"]
    assert search.main([str(word) for word in argv]) == 0
    assert " 07.png " in capsys.readouterr().out  # the query image itself is the first hit
    assert (tmp_path / "found.png").exists()


def test_images_of_an_added_manifest_are_cropped_to_their_boxes(
    run: Run, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images of the run get the same codes if added again under other ids with the same boxes."""
    rows = list(csv.DictReader(shapes.open(newline="")))
    before = open_gallery(run)
    assert before.codes is not None
    codes = dict(zip(before.catalogue.column("image"), map(bytes, before.codes), strict=True))
    rows = [row | {"image": str(shapes.parent / row["image"]), "id": f"new {row['image']}"} for row in rows]
    rows = [row for row in rows if Path(row["image"]).name in codes]
    with (tmp_path / "new.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    assert run_gallery(capsys, "add", run.path, tmp_path / "new.csv") == (0, f"Added {len(rows)} garments\n")
    after = open_gallery(run)
    assert after.codes is not None
    codes_by_id = dict(zip(after.catalogue.column("id"), map(bytes, after.codes), strict=True))
    assert all(codes_by_id[f"new {name}"] == code for name, code in codes.items())


def test_adding_existing_ids_is_rejected(run: Run, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_gallery(capsys, "add", run.path, images)
    before = gallery_ids(run)
    status, printed = run_gallery(capsys, "add", run.path, images)
    assert status == 1
    assert "12 of 12 ids are already in the gallery, for example '00.png'" in printed
    assert gallery_ids(run) == before


def test_existing_id_in_the_last_chunk_is_rejected(
    run: Run, images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    shutil.copy(images / "11.png", tmp_path / "one")  # 11.png is in the last of three chunks
    run_gallery(capsys, "add", run.path, tmp_path / "one")
    before = gallery_ids(run)
    for _ in range(2):
        status, printed = run_gallery(capsys, "add", run.path, images)
        assert (status, "1 of 12 ids are already in the gallery, for example '11.png'" in printed) == (1, True)
        assert gallery_ids(run) == before
        assert not open_gallery(run).pending_keys


def test_subfolders_are_categories(run: Run, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, folder in enumerate(["circle", "a coat"]):
        (images / folder).mkdir()
        (images / f"{number:02}.png").rename(images / folder / "1.png")
    assert run_gallery(capsys, "add", run.path, images) == (0, "Added 12 garments\n")
    catalogue = open_gallery(run).catalogue
    added = dict(zip(catalogue.column("id")[-12:], catalogue.column("category")[-12:], strict=True))
    assert (added["circle/1.png"], added["a coat/1.png"], added["02.png"]) == ("circle", "a coat", "unknown")


def test_manifest_categories_are_optional(run: Run, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (images / "some.csv").write_text("path,label\n00.png,circle\n01.png,\n02.png, \n")
    (images / "none.csv").write_text("path\n03.png\n04.png\n")
    assert run_gallery(capsys, "add", run.path, images / "some.csv") == (0, "Added 3 garments\n")
    assert run_gallery(capsys, "add", run.path, images / "none.csv") == (0, "Added 2 garments\n")
    assert open_gallery(run).catalogue.column("category")[-5:].tolist() == ["circle", *["unknown"] * 4]


def test_images_can_be_added_to_a_run_without_hash_layer(
    run: Run, images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    search_config = run.config["search"] | {"distance": "euclidean"}
    (run.path / "config.yaml").write_text(yaml.safe_dump(run.config | {"hash": None, "search": search_config}))
    model, one = run.model(), Catalogue.from_columns({"id": ["own"], "image": ["own"], "category": ["circle"]})
    encoded = encode(model, torch.zeros((1, 3, 32, 32), dtype=torch.uint8))
    Gallery.build(model, encoded, one).save(run.gallery_folder)
    assert run_gallery(capsys, "add", run.path, images) == (0, "Added 12 garments\n")
    assert run_gallery(capsys, "remove", run.path, write_ids(tmp_path, ["07.png"])) == (0, "Removed 1 garment\n")
    assert "embeddings to search" in run_gallery(capsys, "stats", run.path)[1]
    assert search.main([str(run.path), str(images / "08.png"), "--nprobe", "all", "--k", "1"]) == 0
    assert " 08.png " in capsys.readouterr().out


def test_unreadable_images_are_listed_once(run: Run, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (images / "bad.png").write_bytes(b"not an image")
    (images / "notes.txt").write_text("not an image either")
    status, printed = run_gallery(capsys, "add", run.path, images)
    assert (status, printed) == (0, f"Added 12 garments; skipped 2, see {run.path / 'skipped.csv'}\n")
    with pytest.raises(SystemExit):
        gallery.main(["add", "--help"])
    assert {"skipped.csv", "exit"} <= set(capsys.readouterr().out.split())
    run_gallery(capsys, "remove", run.path, write_ids(images.parent, [f"{number:02}.png" for number in range(12)]))
    run_gallery(capsys, "add", run.path, images)
    lines = list(csv.reader((run.path / "skipped.csv").open(newline="")))
    assert [line[0] for line in lines] == ["id", "notes.txt", "bad.png"]
    assert "not a readable image" in lines[2][1]
    (other := images.with_name("other")).mkdir()
    (images / "bad.png").rename(other / "bad.png")
    (images / "00.png").rename(other / "new.png")
    run_gallery(capsys, "add", run.path, other)
    lines = list(csv.reader((run.path / "skipped.csv").open(newline="")))
    assert [line[0] for line in lines] == [
        "id",
        "notes.txt",
        "bad.png",
        "bad.png",
    ]  # a different image of the same name


@pytest.mark.parametrize(
    ("case", "message"),
    [("nowhere", "no such folder or file"), ("empty", "no images"), ("busy", "/run is in use by another process"),
     ("unfinished", "no gallery in"), ("not a run", "not a run folder")],
)  # fmt: skip
def test_errors_are_printed_in_one_line(
    run: Run, images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, case: str, message: str
) -> None:
    argv, before = ["add", run.path, images], json.loads((run.gallery_folder / "manifest.json").read_text())
    if case == "nowhere":
        argv[2] = tmp_path / "nowhere"
    if case == "empty":
        argv[2] = tmp_path / "empty"
        argv[2].mkdir()
    if case == "not a run":
        argv[1] = tmp_path
    if case == "unfinished":
        shutil.move(run.gallery_folder, tmp_path / "index")
    if case == "busy":
        with folder_lock(run.path):
            status, printed = run_gallery(capsys, *argv)
    else:
        status, printed = run_gallery(capsys, *argv)
    assert (status, printed.count("\n")) == (1, 1)
    assert message in printed
    folder = tmp_path / "index" if case == "unfinished" else run.gallery_folder
    assert json.loads((folder / "manifest.json").read_text()) == before


def test_added_categories_get_the_letter_case_of_the_gallery(
    run: Run, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = run.gallery(run.model().fingerprint()).catalogue.categories
    other = images.with_name("other")
    (other / known[0].upper()).mkdir(parents=True)
    shutil.copy(images / "08.png", other / known[0].upper() / "new.png")
    assert run_gallery(capsys, "add", run.path, other)[0] == 0
    assert run.gallery(run.model().fingerprint()).catalogue.categories == known


def test_gallery_without_a_usable_image_is_an_error(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = gallery_ids(run)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/bad.png").write_bytes(b"not an image")
    status, printed = run_gallery(capsys, "add", run.path, tmp_path / "bad")
    assert (status, str(tmp_path / "bad") in printed) == (1, True)
    assert gallery_ids(run) == before


def test_gallery_built_again_gives_the_same_hits(run: Run, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count = len(gallery_ids(run))

    def find_hits() -> str:
        capsys.readouterr()
        assert search.main([str(run.path), str(images), "--nprobe", "all", "--k", str(count), "--json"]) == 0
        return capsys.readouterr().out

    before = find_hits()
    run_gallery(capsys, "add", run.path, images)
    assert find_hits() != before
    shutil.rmtree(run.gallery_folder)
    assert run_gallery(capsys, "build", run.path) == (0, f"Built the gallery: {count} garments\n")
    assert find_hits() == before  # without the added images


def test_gallery_of_an_unfinished_run_is_not_built(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    before = gallery_ids(run)
    (run.path / "metrics.json").unlink()
    status, printed = run_gallery(capsys, "build", run.path)
    assert (status, printed.count("\n")) == (1, 1)
    assert f"{run.path}: not finished (metrics.json is missing)" in printed
    assert gallery_ids(run) == before
