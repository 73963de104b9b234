"""The gallery command removes garments, compacts embeddings and shows sizes."""

import shutil
from pathlib import Path

import pytest

from fashion_lsh.cli import search
from fashion_lsh.gallery import updates
from fashion_lsh.runs.run import Run
from tests.cli.factories import gallery_ids, open_gallery, run_gallery, write_ids

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("small_chunks")]


def test_removed_garments_are_not_returned_as_hits(
    run: Run, images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = gallery_ids(run)
    run_gallery(capsys, "add", run.path, images)
    file = write_ids(tmp_path, ["07.png", before[0]])
    assert run_gallery(capsys, "remove", run.path, file) == (0, "Removed 2 garments\n")
    assert not {"07.png", before[0]} & set(gallery_ids(run))
    assert len(gallery_ids(run)) == len(before) + 10
    assert search.main([str(run.path), str(images / "07.png"), "--nprobe", "all", "--k", "60"]) == 0
    assert " 07.png " not in capsys.readouterr().out
    status, printed = run_gallery(capsys, "remove", run.path, file)
    assert status == 1
    assert "id='07.png' is not in the gallery (2 of 2 ids are not)" in printed


def test_id_with_newline_is_removed_as_a_json_string(
    run: Run, images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shutil.copy(images / "08.png", other := tmp_path / "a\nb.png")
    (tmp_path / "more").mkdir()
    shutil.move(other, tmp_path / "more" / other.name)
    assert run_gallery(capsys, "add", run.path, tmp_path / "more")[0] == 0
    assert "a\nb.png" in gallery_ids(run)
    assert run_gallery(capsys, "remove", run.path, write_ids(tmp_path, ['"a\\nb.png"'])) == (0, "Removed 1 garment\n")
    assert "a\nb.png" not in gallery_ids(run)
    status, message = run_gallery(capsys, "remove", run.path, write_ids(tmp_path, ['"a']))
    assert (status, "ids.txt: not a list of ids" in message) == (1, True)


def test_many_segments_are_compacted(
    run: Run, images: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run_gallery(capsys, "add", run.path, images)
    assert len(open_gallery(run).embeddings.segments) == 4
    assert open_gallery(run).tombstones == 0
    run_gallery(capsys, "remove", run.path, write_ids(tmp_path, [f"{number:02}.png" for number in range(11)]))
    compacted = open_gallery(run)
    assert (len(compacted.embeddings.segments), compacted.tombstones) == (1, 0)
    assert "11.png" in gallery_ids(run)


def test_damaged_embeddings_are_not_compacted(
    run: Run, images: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run_gallery(capsys, "add", run.path, images)[0] == 0
    assert run_gallery(capsys, "verify", run.path)[0] == 0
    [segment] = sorted(run.gallery_folder.glob("embeddings-*.npy"), key=lambda path: path.stat().st_size)[-1:]
    content = bytearray(segment.read_bytes())
    content[-1] ^= 1
    segment.write_bytes(content)
    monkeypatch.setattr(updates, "MAX_TOMBSTONE_RATIO", 0.0)
    status, message = run_gallery(capsys, "remove", run.path, write_ids(tmp_path, ["07.png"]))
    assert (status, "checksum mismatch" in message) == (1, True)
    # The garment is removed, and its embedding remains as a tombstone.
    assert run_gallery(capsys, "stats", run.path)[0] == 0
    assert run_gallery(capsys, "verify", run.path)[0] == 1


def test_stats_report_rows_and_bytes(run: Run, images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = len(gallery_ids(run))
    run_gallery(capsys, "add", run.path, images)
    status, printed = run_gallery(capsys, "stats", run.path)
    assert status == 0
    lines_by_name = {line.split("  ")[0]: line for line in printed.splitlines() if line}
    assert f" {rows + 12}" in lines_by_name["garments"]
    assert f"{8 * (rows + 12)} bytes" in lines_by_name["row ids (int64)"]
    sizes = [int(line.split()[-1]) for line in printed.splitlines()[-5:-2]]
    assert sum(sizes) == rows + 12
