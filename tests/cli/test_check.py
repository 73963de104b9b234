"""The check command reports present and missing files of a data set."""

import json
from pathlib import Path

import pytest

from fashion_lsh.cli import check
from fashion_lsh.data.datasets.modanet import TRAIN_FILE


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


def test_json_has_all_counts_and_the_same_exit_status(
    two_folder_arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["one/Tee/1.png,Tee", *(f"one/Tee/gone{number}.png,Tee" for number in range(check.MAX_LISTED + 1)), ",Bag"]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *rows]))
    assert check.main(["folder", str(tmp_path / "list.csv"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report | {"unusable_rows": {}, "missing_images": []} == {
        "data_set": "folder", "root": str(tmp_path / "list.csv"), "passed": True, "error": None, "files": [],
        "unit": "garments", "splits": {"": {"count": 7, "published": None}, "all": {"count": 7, "published": None}},
        "garments": 7, "labels": 1, "unusable_rows": {}, "images": 7, "missing_images": [],
    }  # fmt: skip
    assert len(report["unusable_rows"]) == 1
    assert report["missing_images"] == [str(tmp_path / f"one/Tee/gone{number}.png") for number in range(6)]
    (tmp_path / "one/Tee/1.png").unlink()
    assert check.main(["folder", str(tmp_path / "list.csv"), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["passed"] is False


def test_json_has_the_error_and_the_files_before_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["folder", str(tmp_path / "nowhere"), "--json"]) == 1
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert "nowhere: no such folder or file" in report["error"]
    assert report["error"] in printed.err
    (tmp_path / "images").mkdir()
    assert check.main(["modanet", str(tmp_path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    statuses = {file["pattern"]: file["status"] for file in report["files"]}
    assert [status for pattern, status in statuses.items() if TRAIN_FILE in pattern] == ["missing"]
    assert TRAIN_FILE in report["error"]
