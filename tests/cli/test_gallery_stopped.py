"""The command gallery, stopped, killed, or with images that change meanwhile: its gallery is complete at any moment."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fashion_lsh.cli import gallery
from fashion_lsh.gallery import image_encoding, updates
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.runs.run import Run
from tests.cli.factories import ROOT, called, ids, opened

pytestmark = pytest.mark.usefixtures("small_chunks")

KILLED = """
import os, signal, sys
from fashion_lsh.cli import gallery
from fashion_lsh.gallery import files, image_encoding

def written(path):
    manifests.extend([path] * (path.name == "manifest.json"))
    if len(manifests) == 2:  # the other files of the second chunk are there
        os.kill(os.getpid(), signal.SIGKILL)
    return real(path)

manifests, real = [], files.written
image_encoding.CHUNK, files.written = 5, written
gallery.main([sys.argv[1], "add", sys.argv[2]])
"""


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


def test_an_addition_goes_on_though_its_folder_has_changed(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(run, pictures, monkeypatch, 1)
    gone = sorted(pictures.iterdir())[-1]
    gone.unlink()
    status, said = called(capsys, run.path, "add", pictures)
    assert (status, "5 were filed before" in said) == (0, True)


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


def test_the_latest_run_stays_the_same_while_another_begins(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    latest = run.path.with_name("latest")
    latest.symlink_to("run")
    shutil.copytree(run.path, other := run.path.with_name("other"))
    real = image_encoding.encode_crops

    def meanwhile(*arguments: Any) -> Encoded:
        latest.unlink()
        latest.symlink_to("other")
        return real(*arguments)

    monkeypatch.setattr(image_encoding, "encode_crops", meanwhile)
    before = ids(run)
    assert called(capsys, latest, "add", pictures) == (0, "12 garments filed\n")
    assert (len(ids(run)), len(ids(Run(other)))) == (len(before) + 12, len(before))


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
    forwards, real = [], image_encoding.encode_crops

    def forward(*arguments: Any) -> Encoded:
        forwards.append(1)  # one a chunk
        if len(forwards) > after:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(image_encoding, "encode_crops", forward)
        with pytest.raises(KeyboardInterrupt):
            gallery.main([str(run.path), "add", str(pictures)])
