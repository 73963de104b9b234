"""gallery.py: pictures into a finished run's gallery and out again, whatever happens in between."""

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import gallery as script
import numpy as np
import pytest
import search
import torch
import yaml
from PIL import Image
from tests.test_scripts import ROOT, SMALL
from tests.test_scripts import script as process

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.gallery import updates
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.io.files import alone
from fashion_lsh.models.encoding import Encoded, encode
from fashion_lsh.runs.run import Run

KILLED = """
import os, signal, sys
import gallery
from fashion_lsh import filing
from fashion_lsh.index import gallery_files

def written(path):
    manifests.extend([path] * (path.name == "manifest.json"))
    if len(manifests) == 2:  # the other files of the second chunk are there
        os.kill(os.getpid(), signal.SIGKILL)
    return real(path)

manifests, real = [], gallery_files.written
updates.CHUNK, gallery_files.written = 5, written
gallery.main([sys.argv[1], "add", sys.argv[2]])
"""


@pytest.fixture(scope="module")
def finished(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with one finished run."""
    folder = tmp_path_factory.mktemp("runs")
    process("train.py", *SMALL, f"data.root={drawn}", f"runs={folder}", "data.jitter=0.1")
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    """A copy of it, to be changed."""
    shutil.copytree((finished / "latest").resolve(), tmp_path / "run")
    return Run(tmp_path / "run")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twelve pictures of noise in one folder, without categories."""
    folder = tmp_path / "flat, new"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(12):
        Image.fromarray(rng.integers(0, 256, (40, 30, 3), dtype=np.uint8)).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates, "CHUNK", 5)


def opened(run: Run) -> Gallery:
    return run.gallery(run.model().fingerprint())


def ids(run: Run) -> list[str]:
    return opened(run).catalogue.column("id").tolist()


RATE = re.compile(r" filed, [\d.]+ a second")


def called(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    capsys.readouterr()
    status = script.main([str(word) for word in words])
    printed = capsys.readouterr()
    return status, RATE.sub(" filed", printed.out + printed.err)


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
    codes = dict(zip(own.catalogue.column("picture"), map(bytes, own.codes), strict=True))
    rows = [row | {"picture": str(drawn.parent / row["picture"]), "id": f"new {row['picture']}"} for row in rows]
    rows = [row for row in rows if Path(row["picture"]).name in codes]
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


@pytest.mark.parametrize("broken", [1, 2])
def test_a_stopped_addition_leaves_a_whole_gallery_and_goes_on(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    shutil.copytree(run.path, whole := run.path.with_name("whole"))
    called(capsys, whole, "add", pictures)
    before = ids(run)
    (pictures / "notes.txt").write_text("no picture")
    stopped(run, pictures, monkeypatch, broken)
    assert len(ids(run)) == len(before) + 5 * broken
    assert len(opened(run).adding) == 1
    assert "notes.txt" in (run.path / "skipped.csv").read_text()
    said = f"{12 - 5 * broken} garments filed, {5 * broken} were filed before; 1 left out: "
    assert called(capsys, run.path, "add", pictures) == (0, f"{said}{run.path / 'skipped.csv'} says why\n")
    assert not opened(run).adding
    assert same(opened(run), opened(Run(whole)))


def test_the_rest_of_a_stopped_addition_may_come_another_way(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stopped(run, pictures, monkeypatch, 1)
    rest = [f'"{pictures.name}/{number:02}.png",{number:02}.png' for number in range(5, 12)]
    (tmp_path / "rest.csv").write_text("\n".join(["path,id", *rest]))
    assert called(capsys, run.path, "add", tmp_path / "rest.csv") == (0, "7 garments filed\n")
    assert called(capsys, run.path, "add", pictures) == (0, "0 garments filed, 12 were filed before\n")
    assert not opened(run).adding


def test_a_killed_process_leaves_a_whole_gallery(run: Run, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = ids(run)
    killed = subprocess.run([sys.executable, "-c", KILLED, run.path, pictures], cwd=ROOT, timeout=200, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(ids(run)) == len(before) + 5
    assert called(capsys, run.path, "add", pictures) == (0, "7 garments filed, 5 were filed before\n")
    assert {path.name.partition("-")[0] for path in run.gallery_folder.iterdir()} == {
        "manifest.json", "index", "catalogue", "embeddings"
    }  # fmt: skip
    assert len(list(run.gallery_folder.iterdir())) == 3 + len(opened(run).embeddings.segments)


def test_a_run_without_a_hash_layer_takes_pictures_too(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    searched = run.config["search"] | {"distance": "euclidean"}
    (run.path / "config.yaml").write_text(yaml.safe_dump(run.config | {"hash": None, "search": searched}))
    model, one = run.model(), Catalogue.of({"id": ["own"], "picture": ["own"], "category": ["circle"]})
    encoded = encode(model, torch.zeros((1, 3, 32, 32), dtype=torch.uint8))
    Gallery.filed(model, encoded, one).save(run.gallery_folder)
    assert called(capsys, run.path, "add", pictures) == (0, "12 garments filed\n")
    assert called(capsys, run.path, "remove", _listed(tmp_path, ["07.png"])) == (0, "1 garments removed\n")
    assert "embedding to search" in called(capsys, run.path, "stats")[1]
    assert search.main([str(run.path), str(pictures / "08.png"), "--probes", "all", "--k", "1"]) == 0
    assert " 08.png " in capsys.readouterr().out


def test_the_latest_run_stays_the_same_while_another_begins(
    run: Run, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latest = run.path.with_name("latest")
    latest.symlink_to("run")
    shutil.copytree(run.path, other := run.path.with_name("other"))
    real = updates.encode_crops

    def meanwhile(*arguments: Any) -> Encoded:
        latest.unlink()
        latest.symlink_to("other")
        return real(*arguments)

    monkeypatch.setattr(updates, "encode_crops", meanwhile)
    before = ids(run)
    updates.add(Run(latest), str(pictures))
    assert (len(ids(run)), len(ids(Run(other)))) == (len(before) + 12, len(before))


def test_bad_pictures_are_named_once(run: Run, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pictures / "bad.png").write_bytes(b"no picture")
    (pictures / "notes.txt").write_text("no picture either")
    status, printed = called(capsys, run.path, "add", pictures)
    assert (status, printed) == (0, f"12 garments filed; 2 left out: {run.path / 'skipped.csv'} says why\n")
    called(capsys, run.path, "remove", _listed(pictures.parent, [f"{number:02}.png" for number in range(12)]))
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


def test_a_picture_that_broke_after_the_scan_is_left_out(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = updates.Folder.catalogue

    def broken(self: Any) -> Any:
        found = real(self)
        for number in (10, 11):  # all of the last chunk
            (pictures / f"{number}.png").write_bytes(b"gone")
        return found

    monkeypatch.setattr(updates.Folder, "catalogue", broken)
    status, printed = called(capsys, run.path, "add", pictures)
    assert (status, printed[:38]) == (0, "10 garments filed; 2 left out: " + printed[31:38])
    assert not opened(run).adding
    assert "11.png" not in ids(run)


def test_removed_garments_are_gone_and_may_come_again(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = ids(run)
    called(capsys, run.path, "add", pictures)
    file = _listed(tmp_path, ["07.png", before[0]])
    assert called(capsys, run.path, "remove", file) == (0, "2 garments removed\n")
    assert not {"07.png", before[0]} & set(ids(run))
    assert len(ids(run)) == len(before) + 10
    assert search.main([str(run.path), str(pictures / "07.png"), "--probes", "all", "--k", "60"]) == 0
    assert " 07.png " not in capsys.readouterr().out
    status, printed = called(capsys, run.path, "remove", file)
    assert status == 2
    assert "'07.png' is not in the gallery: 2 of 2 ids are not" in printed


def test_embeddings_are_put_in_order_when_they_lie_in_many_pieces(run: Run, pictures: Path, tmp_path: Path) -> None:
    updates.add(run, str(pictures))
    assert len(opened(run).embeddings.segments) == 4
    assert opened(run).holes == 0
    updates.remove(run, [f"{number:02}.png" for number in range(11)])
    tidied = opened(run)
    assert (len(tidied.embeddings.segments), tidied.holes) == (1, 0)
    assert "11.png" in ids(run)


def test_stats_tell_what_is_there(run: Run, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = len(ids(run))
    called(capsys, run.path, "add", pictures)
    status, printed = called(capsys, run.path, "stats")
    assert status == 0
    told = {line.split("  ")[0]: line for line in printed.splitlines() if line}
    assert f" {rows + 12}" in told["garments"]
    assert f"{8 * (rows + 12)} bytes" in told["row number"]
    sizes = [int(line.split()[-1]) for line in printed.splitlines()[-3:]]
    assert sum(sizes) == rows + 12


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


def same(one: Gallery, other: Gallery) -> bool:
    """Whether two galleries hold the same."""
    assert one.codes is not None
    assert other.codes is not None
    return (
        one.catalogue.checksum == other.catalogue.checksum
        and np.array_equal(one.lists, other.lists)
        and np.array_equal(one.codes, other.codes)
        and np.array_equal(one.embeddings[one.rows], other.embeddings[other.rows])
    )


def stopped(run: Run, pictures: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Add these pictures, but end in the forward of a later chunk."""
    forwards, real = [], updates.encode_crops

    def forward(*arguments: Any) -> Encoded:
        forwards.append(1)  # one a chunk
        if len(forwards) > after:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(updates, "encode_crops", forward)
        with pytest.raises(KeyboardInterrupt):
            script.main([str(run.path), "add", str(pictures)])


def _listed(folder: Path, names: list[str]) -> Path:
    file = folder / "ids.txt"
    file.write_text("\n".join(names) + "\n")
    return file


def test_categories_get_the_spelling_of_the_gallery(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = run.gallery(run.model().fingerprint()).catalogue.categories
    other = pictures.with_name("other")
    (other / known[0].upper()).mkdir(parents=True)
    shutil.copy(pictures / "08.png", other / known[0].upper() / "new.png")
    assert called(capsys, run.path, "add", other)[0] == 0
    assert run.gallery(run.model().fingerprint()).catalogue.categories == known


def test_damaged_embeddings_are_not_put_in_order(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert called(capsys, run.path, "add", pictures)[0] == 0
    assert called(capsys, run.path, "stats", "--verify")[0] == 0
    [segment] = sorted(run.gallery_folder.glob("embeddings-*.npy"), key=lambda path: path.stat().st_size)[-1:]
    content = bytearray(segment.read_bytes())
    content[-1] ^= 1
    segment.write_bytes(content)
    monkeypatch.setattr(updates, "MOST_HOLES", 0.0)
    status, said = called(capsys, run.path, "remove", _listed(tmp_path, ["07.png"]))
    assert (status, "its checksum differs" in said) == (2, True)
    assert called(capsys, run.path, "stats")[0] == 0  # one picture less, its hole left as it is
    assert called(capsys, run.path, "stats", "--verify")[0] == 2


def test_an_id_with_a_newline_is_named_in_quotes(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shutil.copy(pictures / "08.png", other := tmp_path / "a\nb.png")
    (tmp_path / "more").mkdir()
    shutil.move(other, tmp_path / "more" / other.name)
    assert called(capsys, run.path, "add", tmp_path / "more")[0] == 0
    assert "a\nb.png" in ids(run)
    assert called(capsys, run.path, "remove", _listed(tmp_path, ['"a\\nb.png"'])) == (0, "1 garments removed\n")
    assert "a\nb.png" not in ids(run)
    status, said = called(capsys, run.path, "remove", _listed(tmp_path, ['"a']))
    assert (status, "no list of ids" in said) == (2, True)


def test_an_addition_goes_on_though_its_folder_has_changed(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(updates, "CHUNK", 5)
    real = updates.encode_crops

    def stopped(*arguments: Any) -> Any:
        monkeypatch.setattr(updates, "encode_crops", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        return real(*arguments)

    monkeypatch.setattr(updates, "encode_crops", stopped)
    with pytest.raises(KeyboardInterrupt):
        updates.add(run, str(pictures))
    monkeypatch.setattr(updates, "encode_crops", real)
    gone = sorted(pictures.iterdir())[-1]
    gone.unlink()
    status, said = called(capsys, run.path, "add", pictures)
    assert (status, "5 were filed before" in said) == (0, True)
