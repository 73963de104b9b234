"""gallery.py: pictures into a finished run's gallery and out again, whatever happens in between."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import gallery as script
import search
from fashion_lsh import filing
from fashion_lsh.files import alone
from fashion_lsh.retrieval.gallery import Gallery
from fashion_lsh.run import Run
from tests.test_scripts import SMALL
from tests.test_scripts import script as process


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
    monkeypatch.setattr(filing, "CHUNK", 5)


def opened(run: Run) -> Gallery:
    return run.gallery(run.model().fingerprint())


def ids(run: Run) -> list[str]:
    return opened(run).catalogue.column("id").tolist()


def called(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    capsys.readouterr()
    status = script.main([str(word) for word in words])
    printed = capsys.readouterr()
    return status, printed.out + printed.err


def test_pictures_without_a_category_are_filed_and_found(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = ids(run)
    assert called(capsys, run.path, "add", pictures) == (0, "12 pictures filed\n")
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
    assert called(capsys, run.path, "add", tmp_path / "new.csv") == (0, f"{len(rows)} pictures filed\n")
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


@pytest.mark.parametrize("broken", [1, 2])
def test_a_stopped_addition_leaves_a_whole_gallery_and_goes_on(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, broken: int
) -> None:
    before, chunks, real = ids(run), [], filing._chunk

    def stopped(*arguments: Any) -> filing.Chunk:
        chunks.append(1)
        if len(chunks) > broken:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(filing, "_chunk", stopped)
    with pytest.raises(KeyboardInterrupt):
        script.main([str(run.path), "add", str(pictures)])
    assert len(ids(run)) == len(before) + 5 * broken
    assert len(opened(run).adding) == 1
    monkeypatch.setattr(filing, "_chunk", real)
    said = f"{12 - 5 * broken} pictures filed, {5 * broken} were filed before\n"
    assert called(capsys, run.path, "add", pictures) == (0, said)
    assert ids(run) == before + [f"{number:02}.png" for number in range(12)]
    assert not opened(run).adding


def test_bad_pictures_are_named_once(run: Run, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pictures / "bad.png").write_bytes(b"no picture")
    (pictures / "notes.txt").write_text("no picture either")
    status, printed = called(capsys, run.path, "add", pictures)
    assert (status, printed) == (0, f"12 pictures filed; 2 left out: {run.path / 'skipped.csv'} says why\n")
    called(capsys, run.path, "remove", _listed(pictures.parent, [f"{number:02}.png" for number in range(12)]))
    called(capsys, run.path, "add", pictures)
    lines = list(csv.reader((run.path / "skipped.csv").open(newline="")))
    assert [line[0] for line in lines] == ["id", "notes.txt", "bad.png"]
    assert "no readable picture" in lines[2][1]


def test_a_picture_that_broke_after_the_scan_is_left_out(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = filing.Folder.catalogue

    def broken(self: Any) -> Any:
        found = real(self)
        for number in (10, 11):  # all of the last chunk
            (pictures / f"{number}.png").write_bytes(b"gone")
        return found

    monkeypatch.setattr(filing.Folder, "catalogue", broken)
    status, printed = called(capsys, run.path, "add", pictures)
    assert (status, printed[:38]) == (0, "10 pictures filed; 2 left out: " + printed[31:38])
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
    filing.add(run, str(pictures))
    assert len(opened(run).embeddings.segments) == 4
    assert opened(run).holes == 0
    filing.remove(run, [f"{number:02}.png" for number in range(11)])
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
    [("nowhere", "no catalogue at"), ("empty", "holds no pictures"), ("busy", "is in use by another process"),
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


def _listed(folder: Path, names: list[str]) -> Path:
    file = folder / "ids.txt"
    file.write_text("\n".join(names) + "\n")
    return file
