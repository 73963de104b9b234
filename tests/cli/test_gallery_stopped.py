"""The gallery remains valid if the gallery command is interrupted or killed, or if images change."""

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
from tests.cli.factories import ROOT, gallery_ids, open_gallery, run_gallery

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("small_chunks")]

KILL_SCRIPT = """
import os, signal, sys
from fashion_lsh.cli import gallery
from fashion_lsh.gallery import files, image_encoding

def atomic_write(path):
    manifests.extend([path] * (path.name == "manifest.json"))
    if len(manifests) == 2:  # all other files of the second chunk have been written
        os.kill(os.getpid(), signal.SIGKILL)
    return original(path)

manifests, original = [], files.atomic_write
image_encoding.CHUNK, files.atomic_write = 5, atomic_write
gallery.main(["add", sys.argv[1], sys.argv[2]])
"""


@pytest.mark.parametrize("num_chunks", [1, 2])
def test_interrupted_addition_resumes(
    run: Run, images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, num_chunks: int
) -> None:
    shutil.copytree(run.path, uninterrupted := run.path.with_name("whole"))
    run_gallery(capsys, "add", uninterrupted, images)
    before = gallery_ids(run)
    (images / "notes.txt").write_text("not an image")
    add_and_interrupt(run, images, monkeypatch, num_chunks)
    assert len(gallery_ids(run)) == len(before) + 5 * num_chunks
    assert len(open_gallery(run).pending_keys) == 1
    assert "notes.txt" in (run.path / "skipped.csv").read_text()
    message = f"Added {12 - 5 * num_chunks} garments, {5 * num_chunks} were already indexed; skipped 1, see "
    assert run_gallery(capsys, "add", run.path, images) == (0, f"{message}{run.path / 'skipped.csv'}\n")
    assert not open_gallery(run).pending_keys
    assert are_galleries_equal(open_gallery(run), open_gallery(Run(uninterrupted)))


def test_remaining_images_of_an_interrupted_addition_can_be_added_by_another_command(
    run: Run, images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    add_and_interrupt(run, images, monkeypatch, 1)
    rest = [f'"{images.name}/{number:02}.png",{number:02}.png' for number in range(5, 12)]
    (tmp_path / "rest.csv").write_text("\n".join(["path,id", *rest]))
    assert run_gallery(capsys, "add", run.path, tmp_path / "rest.csv") == (0, "Added 7 garments\n")
    assert run_gallery(capsys, "add", run.path, images) == (0, "Added 0 garments, 12 were already indexed\n")
    assert not open_gallery(run).pending_keys


def test_addition_resumes_after_the_folder_changed(
    run: Run, images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_and_interrupt(run, images, monkeypatch, 1)
    sorted(images.iterdir())[-1].unlink()
    status, message = run_gallery(capsys, "add", run.path, images)
    assert (status, "5 were already indexed" in message) == (0, True)


def test_killed_process_leaves_a_valid_gallery(run: Run, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = gallery_ids(run)
    killed = subprocess.run([sys.executable, "-c", KILL_SCRIPT, run.path, images], cwd=ROOT, timeout=200, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(gallery_ids(run)) == len(before) + 5
    assert run_gallery(capsys, "add", run.path, images) == (0, "Added 7 garments, 5 were already indexed\n")
    assert {path.name.partition("-")[0] for path in run.gallery_folder.iterdir()} == {
        "manifest.json", "index", "catalogue", "embeddings"
    }  # fmt: skip
    assert len(list(run.gallery_folder.iterdir())) == 3 + len(open_gallery(run).embeddings.segments)


def test_latest_symlink_is_resolved_once(
    run: Run, images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    latest = run.path.with_name("latest")
    latest.symlink_to("run")
    shutil.copytree(run.path, other := run.path.with_name("other"))
    original = image_encoding.encode_crops

    def change_symlink_and_encode(*arguments: Any) -> Encoded:
        latest.unlink()
        latest.symlink_to("other")
        return original(*arguments)

    monkeypatch.setattr(image_encoding, "encode_crops", change_symlink_and_encode)
    before = gallery_ids(run)
    assert run_gallery(capsys, "add", latest, images) == (0, "Added 12 garments\n")
    assert (len(gallery_ids(run)), len(gallery_ids(Run(other)))) == (len(before) + 12, len(before))


def test_image_damaged_after_the_scan_is_skipped(
    run: Run, images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = updates.Folder.catalogue

    def scan_then_damage(self: Any) -> Any:
        catalogue = original(self)
        for number in (10, 11):  # all images of the last chunk
            (images / f"{number}.png").write_bytes(b"gone")
        return catalogue

    monkeypatch.setattr(updates.Folder, "catalogue", scan_then_damage)
    status, printed = run_gallery(capsys, "add", run.path, images)
    assert (status, printed.startswith("Added 10 garments; skipped 2, see ")) == (0, True)
    assert not open_gallery(run).pending_keys
    assert "11.png" not in gallery_ids(run)


def are_galleries_equal(one: Gallery, other: Gallery) -> bool:
    """Compare rows, lists, codes and embeddings of two galleries."""
    assert one.codes is not None
    assert other.codes is not None
    return (
        one.catalogue.checksum == other.catalogue.checksum
        and np.array_equal(one.lists, other.lists)
        and np.array_equal(one.codes, other.codes)
        and np.array_equal(one.embeddings[one.rows], other.embeddings[other.rows])
    )


def add_and_interrupt(run: Run, images: Path, monkeypatch: pytest.MonkeyPatch, num_chunks: int) -> None:
    """Add images, and raise KeyboardInterrupt after `num_chunks` chunks."""
    calls, original = [], image_encoding.encode_crops

    def forward(*arguments: Any) -> Encoded:
        calls.append(1)  # one call per chunk
        if len(calls) > num_chunks:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(image_encoding, "encode_crops", forward)
        with pytest.raises(KeyboardInterrupt):
            gallery.main(["add", str(run.path), str(images)])
