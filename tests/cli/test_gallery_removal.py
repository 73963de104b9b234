"""The command gallery: garments removed, embeddings compacted, sizes shown."""

import shutil
from pathlib import Path

import pytest

from fashion_lsh.cli import search
from fashion_lsh.gallery import updates
from fashion_lsh.runs.run import Run
from tests.cli.factories import called, ids, listed, opened

pytestmark = pytest.mark.usefixtures("small_chunks")


def test_removed_garments_are_gone_and_may_come_again(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = ids(run)
    called(capsys, run.path, "add", pictures)
    file = listed(tmp_path, ["07.png", before[0]])
    assert called(capsys, run.path, "remove", file) == (0, "2 garments removed\n")
    assert not {"07.png", before[0]} & set(ids(run))
    assert len(ids(run)) == len(before) + 10
    assert search.main([str(run.path), str(pictures / "07.png"), "--probes", "all", "--k", "60"]) == 0
    assert " 07.png " not in capsys.readouterr().out
    status, printed = called(capsys, run.path, "remove", file)
    assert status == 2
    assert "'07.png' is not in the gallery: 2 of 2 ids are not" in printed


def test_an_id_with_a_newline_is_named_in_quotes(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shutil.copy(pictures / "08.png", other := tmp_path / "a\nb.png")
    (tmp_path / "more").mkdir()
    shutil.move(other, tmp_path / "more" / other.name)
    assert called(capsys, run.path, "add", tmp_path / "more")[0] == 0
    assert "a\nb.png" in ids(run)
    assert called(capsys, run.path, "remove", listed(tmp_path, ['"a\\nb.png"'])) == (0, "1 garments removed\n")
    assert "a\nb.png" not in ids(run)
    status, said = called(capsys, run.path, "remove", listed(tmp_path, ['"a']))
    assert (status, "no list of ids" in said) == (2, True)


def test_embeddings_are_put_in_order_when_they_lie_in_many_pieces(
    run: Run, pictures: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    called(capsys, run.path, "add", pictures)
    assert len(opened(run).embeddings.segments) == 4
    assert opened(run).holes == 0
    called(capsys, run.path, "remove", listed(tmp_path, [f"{number:02}.png" for number in range(11)]))
    tidied = opened(run)
    assert (len(tidied.embeddings.segments), tidied.holes) == (1, 0)
    assert "11.png" in ids(run)


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
    status, said = called(capsys, run.path, "remove", listed(tmp_path, ["07.png"]))
    assert (status, "its checksum differs" in said) == (2, True)
    assert called(capsys, run.path, "stats")[0] == 0  # one picture less, its hole left as it is
    assert called(capsys, run.path, "stats", "--verify")[0] == 2


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
