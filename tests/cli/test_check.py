"""The check command reports present and missing files of a data set."""

import json
import shutil
from pathlib import Path

import pytest

from fashion_lsh.cli import check
from fashion_lsh.data.datasets.modanet import TRAIN_FILE
from tests.data.datasets.deepfashion.factories import write_inshop


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
        "garments": 7, "labels": 1, "unusable_rows": {}, "images": 7, "missing_images": [], "missing_folders": {},
    }  # fmt: skip
    assert len(report["unusable_rows"]) == 1
    assert report["missing_images"] == [str(tmp_path / f"one/Tee/gone{number}.png") for number in range(6)]
    (tmp_path / "one/Tee/1.png").unlink()
    assert check.main(["folder", str(tmp_path / "list.csv"), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["passed"] is False
    assert report["missing_folders"] == {".": 7}


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


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("deepfashion_inshop", ["[Ii]mg*/", "Eval/list_eval_partition.txt", "Anno/list_bbox_inshop.txt"]),
        ("deepfashion_consumer", ["[Ii]mg*/", "Eval/list_eval_partition.txt", "Anno/list_bbox_consumer2shop.txt"]),
        ("deepfashion_category", ["[Ii]mg*/", "Anno_coarse/list_bbox.txt or Anno/list_bbox.txt"]),
        ("deepfashion2", [f"{split}/{part}" for split in ("train", "validation") for part in ("annos", "image")]),
        ("fashion_mnist", [f"{split}-{kind}-ubyte" for split in ("train", "t10k") for kind in ("labels-idx1",)]),
    ],
)
def test_all_missing_parts_are_named_at_once(
    name: str, files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "img.zip").touch()  # not unpacked
    assert check.main([name, str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert all(file in message for file in files)


def test_a_folder_without_images_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inshop = write_inshop(tmp_path)
    shutil.rmtree(inshop / "Img/img/WOMEN")
    assert check.main(["deepfashion_inshop", str(inshop)]) == 0
    assert "img/WOMEN: all 3 listed images" in capsys.readouterr().out
    assert check.main(["deepfashion_inshop", str(inshop), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["missing_folders"] == {"img/WOMEN": 3}


def test_a_missing_part_is_an_error_although_the_rest_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train/annos").mkdir(parents=True)
    garment = {"category_name": "vest", "style": 1, "bounding_box": [1, 2, 30, 40]}
    (tmp_path / "train/annos/1.json").write_text(json.dumps({"source": "user", "pair_id": 1, "item1": garment}))
    assert check.main(["deepfashion2", str(tmp_path), "--json"]) == 1
    printed = capsys.readouterr()
    report = json.loads(printed.out)
    assert report["garments"] == 1
    assert all(name in report["error"] for name in ("train/image", "validation/annos", "validation/image"))
    assert report["error"] in printed.err


def test_missing_folders_are_the_outermost_ones() -> None:
    images = ["a/b/1.jpg", "a/b/2.jpg", "a/c/1.jpg", "d/1.jpg", "d/2.jpg", "/e/1.jpg"]
    assert check._missing_folders(images, ["a/b/1.jpg", "a/b/2.jpg", "d/1.jpg"]) == {"a/b": 2}
    assert check._missing_folders(images, ["a/b/1.jpg", "a/b/2.jpg", "a/c/1.jpg", "/e/1.jpg"]) == {"a": 3, "/": 1}
    assert check._missing_folders(images, []) == {}
