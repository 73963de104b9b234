"""The encode command writes codes and embeddings of images and galleries."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from fashion_lsh.cli import encode
from fashion_lsh.runs.run import Run
from tests.cli.factories import open_gallery, run_gallery

pytestmark = [pytest.mark.train, pytest.mark.usefixtures("small_chunks")]


def test_encoded_images_equal_those_of_the_gallery_they_are_added_to(
    run: Run, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, gallery_out = tmp_path / "codes.parquet", tmp_path / "gallery.parquet"
    assert encode.main([str(run.path), str(images), "--probabilities", "--out", str(out)]) == 0
    assert run_gallery(capsys, "add", run.path, images)[0] == 0
    assert encode.main([str(run.path), "--gallery", "--out", str(gallery_out)]) == 0
    table, gallery = pq.read_table(out), pq.read_table(gallery_out)
    opened = open_gallery(run)
    assert gallery["id"].to_pylist() == opened.catalogue.column("id").tolist()
    assert opened.codes is not None
    assert gallery["code"].to_pylist() == [code.tobytes() for code in opened.codes]
    added = gallery.slice(len(gallery) - len(table))
    assert added["code"].to_pylist() == table["code"].to_pylist()
    assert added["category"].to_pylist() == table["category"].to_pylist()
    np.testing.assert_allclose(added["embedding"].to_pylist(), table["embedding"].to_pylist(), atol=1e-3)
    assert table["path"].to_pylist() == [str(images / f"{number:02}.png") for number in range(12)]
    probabilities = np.array(table["probabilities"].to_pylist())
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(probabilities.max(axis=1), table["probability"].to_pylist(), atol=1e-7)


def test_unreadable_image_is_skipped_and_named(
    run: Run, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "05.png").write_text("not an image")
    out = tmp_path / "codes.parquet"
    assert encode.main([str(run.path), str(images), "--out", str(out)]) == 1
    assert str(images / "05.png") in capsys.readouterr().err
    assert pq.read_metadata(out).num_rows == 11


def test_images_and_gallery_exclude_each_other(run: Run, images: Path, tmp_path: Path) -> None:
    for words in ([], [str(images), "--gallery"], ["--gallery", "--probabilities"]):
        with pytest.raises(SystemExit) as system_exit:
            encode.main([str(run.path), *words, "--out", str(tmp_path / "codes.parquet")])
        assert system_exit.value.code == 2
    (tmp_path / "empty").mkdir()
    assert encode.main([str(run.path), str(tmp_path / "empty"), "--out", str(tmp_path / "codes.parquet")]) == 1
    assert not (tmp_path / "codes.parquet").exists()
