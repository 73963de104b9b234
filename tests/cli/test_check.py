"""The check command reports present and missing files of a data set."""

from pathlib import Path

import pytest

from fashion_lsh.cli import check


def test_check_counts_present_and_missing_images(
    two_folder_arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check.main(["folder", str(tmp_path / "one")]) == 0
    printed = capsys.readouterr().out
    assert "22 garments with 4 labels; 0 unusable rows" in printed
    assert "0 of 22 images are missing" in printed
    assert "published" not in printed
    (tmp_path / "list.csv").write_text("path,label\none/Tee/1.png,Tee\none/Tee/gone.png,Tee\n")
    assert check.main(["folder", str(tmp_path / "list.csv")]) == 0
    assert f"1 of 2 images are missing\n  {tmp_path / 'one/Tee/gone.png'}" in capsys.readouterr().out
    assert check.main(["folder", str(tmp_path / "nowhere")]) == 1
    assert "nowhere: no such folder or file" in capsys.readouterr().err
