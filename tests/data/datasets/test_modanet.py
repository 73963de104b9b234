"""ModaNet reader: only the boxes of the train file are read, and images are named by id."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fashion_lsh.cli import check
from fashion_lsh.data.datasets.modanet import CORRECTED_FILE, TRAIN_FILE, ModaNet

CATEGORY_NAMES = {1: "bag", 3: "boots", 4: "footwear", 6: "dress"}
BOXES = [(11, 655364, 6), (12, 655364, 4), (907, 42, 1)]  # annotation id, image id, category id


def write_annotations(path: Path, boxes: list[tuple[int, int, int]], **changes: Any) -> Path:
    images = [
        {"file_name": f"{number:07d}.jpg", "license": 3, "height": 80, "width": 60, "id": number}
        for number in sorted({image_id for _, image_id, _ in boxes})
    ]
    annotations = [
        {"id": number, "image_id": image_id, "category_id": category, "bbox": [5, 6, 20, 30], "iscrowd": 0, "area": 600}
        for number, image_id, category in boxes
    ]
    categories = [{"supercategory": "fashion", "id": number, "name": name} for number, name in CATEGORY_NAMES.items()]
    content = {"images": images, "annotations": annotations, "categories": categories, "type": "instances", **changes}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for number in (655364, 42):
        pixels = np.random.default_rng(number).integers(0, 256, (80, 60, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "images" / f"{number:07d}.jpg")
    write_annotations(tmp_path / "annotations" / TRAIN_FILE, BOXES)
    return tmp_path


def test_each_box_is_a_row_without_split(root: Path) -> None:
    source = ModaNet(str(root))
    catalogue = source.catalogue()
    assert catalogue.column("id").tolist() == [f"modanet2018_instances_train/{number}" for number in (11, 12, 907)]
    assert catalogue.column("image").tolist() == ["images/0655364.jpg"] * 2 + ["images/0000042.jpg"]
    assert catalogue.column("category").tolist() == ["dress", "footwear", "bag"]
    assert catalogue.boxes[0].tolist() == [5, 6, 25, 36]
    assert set(catalogue.column("split")) == {""}
    assert set(catalogue.column("source")) == {"modanet"}
    assert source.image("images/0000042.jpg").shape == (80, 60, 3)


@pytest.mark.parametrize("annotations", [None, []])
def test_val_has_no_boxes_and_is_not_read(root: Path, annotations: list[Any] | None) -> None:
    write_annotations(root / "annotations" / "modanet2018_instances_val.json", [(1, 42, 1)], annotations=annotations)
    catalogue = ModaNet(str(root)).catalogue()
    assert len(catalogue) == 3
    assert set(catalogue.column("split")) == {""}


def test_images_can_be_in_photos(root: Path) -> None:
    (root / "images").rename(root / "photos")
    (root / "annotations" / TRAIN_FILE).rename(root / TRAIN_FILE)
    assert ModaNet(str(root)).catalogue().column("image")[2] == "photos/0000042.jpg"


def test_the_root_can_be_the_file(root: Path) -> None:
    catalogue = ModaNet(str(root / "annotations" / TRAIN_FILE)).catalogue()
    assert catalogue.column("image")[2] == "images/0000042.jpg"
    assert set(catalogue.column("source")) == {"modanet"}


def test_a_missing_image_is_skipped(root: Path) -> None:
    (root / "images" / "0655364.jpg").unlink()
    source = ModaNet(str(root))
    assert source.catalogue().column("id").tolist() == ["modanet2018_instances_train/907"]
    assert list(source.skipped) == ["modanet2018_instances_train/11", "modanet2018_instances_train/12"]
    assert source.skipped["modanet2018_instances_train/11"].endswith("0655364.jpg: no such file")


def test_the_corrected_file_is_optional(root: Path) -> None:
    write_annotations(root / "annotations" / CORRECTED_FILE, [(1, 42, 3)])
    assert len(ModaNet(str(root)).catalogue()) == 3
    catalogue = ModaNet(str(root), corrected=True).catalogue()
    assert catalogue.column("id").tolist() == ["instances_all/1"]
    assert set(catalogue.column("split")) == {""}


def test_uncorrected_shoe_boxes_cause_a_warning(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_annotations(root / "annotations" / TRAIN_FILE, [*BOXES, (908, 42, 3)])
    write_annotations(root / "annotations" / CORRECTED_FILE, BOXES)
    with caplog.at_level(logging.WARNING):
        ModaNet(str(root), corrected=True).catalogue()
        assert caplog.text == ""
        ModaNet(str(root)).catalogue()
    assert "2 boxes of boots and footwear" in caplog.text


def test_a_git_lfs_pointer_raises_with_the_git_command(root: Path) -> None:
    (root / "annotations" / TRAIN_FILE).write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 105924292\n"
    )
    with pytest.raises(ValueError, match=rf"{TRAIN_FILE}: Git LFS pointer .*`git lfs pull`"):
        ModaNet(str(root)).catalogue()


def test_a_missing_file_raises(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"no {CORRECTED_FILE} .*data=modanet"):
        ModaNet(str(root), corrected=True).catalogue()
    (root / "annotations" / TRAIN_FILE).unlink()
    with pytest.raises(FileNotFoundError, match=rf"data\.root={root}: no {TRAIN_FILE}"):
        ModaNet(str(root)).catalogue()


def test_the_check_finds_the_files_that_are_read(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["modanet", str(root)]) == 0
    (root / "images").rename(root / "photos")
    (root / "annotations" / TRAIN_FILE).rename(root / "annotations" / CORRECTED_FILE)
    (root / "annotations" / CORRECTED_FILE).rename(root / CORRECTED_FILE)
    assert check.main(["modanet_corrected", str(root)]) == 0
    assert check.main(["modanet_corrected", str(root / CORRECTED_FILE)]) == 0
    assert "MISSING" not in capsys.readouterr().out
    assert check.main(["modanet", str(root)]) == 1
    assert "modanet2018_instances_train.json" in capsys.readouterr().err
