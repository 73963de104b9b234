"""COCO's layout: boxes become garments, files become splits, what is of no use is named."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fashion_lsh.data.datasets import open_source
from fashion_lsh.data.datasets.coco import Coco

CATEGORIES = [{"id": 0, "name": "top, t-shirt", "supercategory": "upper"}, {"id": 7, "name": "Coat"}]


def box(number: int, picture: int, bbox: list[float], category: int = 0, **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": picture, "category_id": category, "bbox": bbox, **more}


def write(path: Path, *boxes: dict[str, Any], **changes: Any) -> Path:
    images = sorted({each["image_id"] for each in boxes if isinstance(each["image_id"], int)})
    content = {
        "images": [{"id": number, "file_name": f"{number}.png", "width": 60, "height": 40} for number in images],
        "annotations": list(boxes), "categories": CATEGORIES, **changes,
    }  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def draw(folder: Path, *numbers: int) -> None:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        Image.new("RGB", (60, 40), (number, number, 0)).save(folder / f"{number}.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    draw(tmp_path / "images", 1, 2, 3)
    write(
        tmp_path / "instances_train.json",
        box(1, 1, [5, 6, 20, 30]),
        box(2, 1, [30.5, 0, 10, 40], 7),
        box(3, 2, [0, 0, 60, 40], 7),
    )
    write(tmp_path / "instances_val.json", box(1, 3, [1, 2, 3, 4]))
    return tmp_path


def test_each_box_is_a_garment_with_corners_and_category(root: Path) -> None:
    source = open_source("coco", str(root), 0)
    made = source.catalogue()
    assert made.column("id").tolist() == [f"instances_train/{n}" for n in (1, 2, 3)] + ["instances_val/1"]
    assert made.boxes.tolist() == [[5, 6, 25, 36], [30.5, 0, 40.5, 40], [0, 0, 60, 40], [1, 2, 4, 6]]
    assert made.column("category").tolist() == ["top, t-shirt", "Coat", "Coat", "top, t-shirt"]
    assert made.column("picture").tolist() == ["images/1.png", "images/1.png", "images/2.png", "images/3.png"]
    assert source.picture("images/2.png")[0, 0].tolist() == [2, 2, 0]
    assert set(made.column("main")) == {True}


def test_val_asks_where_there_is_no_test(root: Path) -> None:
    assert Coco(str(root)).catalogue().column("split").tolist() == ["train", "train", "train", "query"]
    draw(root / "images", 9)
    write(root / "instances_test.json", box(1, 9, [1, 2, 3, 4]))
    splits = dict(
        zip(Coco(str(root)).catalogue().column("id"), Coco(str(root)).catalogue().column("split"), strict=True)
    )
    assert (splits["instances_val/1"], splits["instances_test/1"]) == ("val", "query")


def test_files_whose_names_tell_no_split_leave_it_open(root: Path) -> None:
    (root / "instances_val.json").rename(root / "instances_extra.json")
    assert set(Coco(str(root)).catalogue().column("split")) == {""}


def test_one_file_may_be_given_alone(root: Path) -> None:
    made = Coco(str(root / "instances_train.json")).catalogue()
    assert len(made) == 3
    assert set(made.column("split")) == {""}


def test_official_folders_are_found(tmp_path: Path) -> None:
    for name, number in (("train2017", 1), ("val2017", 2)):
        draw(tmp_path / name, number)
        write(tmp_path / "annotations" / f"instances_{name}.json", box(5, number, [1, 1, 9, 9]))
    made = Coco(str(tmp_path)).catalogue()
    assert made.column("picture").tolist() == ["train2017/1.png", "val2017/2.png"]
    assert made.column("split").tolist() == ["train", "query"]


def test_crowds_thin_boxes_boxes_off_the_picture_and_missing_pictures_are_named(root: Path) -> None:
    write(
        root / "instances_val.json", box(1, 3, [1, 2, 3, 4], iscrowd=1), box(2, 3, [1, 2, 0.5, 9]),
        box(3, 3, [70, 2, 9, 9]), box(4, 4, [1, 2, 3, 4]), box(5, 3, [9, 9, 9, 9], iscrowd=0),
    )  # fmt: skip
    source = Coco(str(root))
    assert source.catalogue().column("id").tolist()[3:] == ["instances_val/5"]
    reasons = {name.rpartition("/")[2]: reason for name, reason in source.skipped.items()}
    assert list(reasons) == ["1", "2", "3", "4"]
    assert reasons["1"] == "a crowd, not one garment"
    assert reasons["2"] == "its box of 0.5 x 9 pixels is under a pixel"
    assert "lies off the picture, 60 x 40 pixels" in reasons["3"]
    assert reasons["4"].endswith("4.png: no such file")


def test_numbers_that_stand_twice_get_names_of_their_own(root: Path) -> None:
    write(root / "instances_val.json", box(1, 3, [1, 2, 3, 4]), box(1, 3, [5, 5, 9, 9]))
    assert Coco(str(root)).catalogue().column("id").tolist()[3:] == ["instances_val/1", "instances_val/1#2"]


@pytest.mark.parametrize(("content", "reason"), [
    ("{", "instances_val.json is no JSON"),
    ('{"images": [], "categories": []}', "instances_val.json has no 'annotations'"),
    ("[1]", "instances_val.json has no 'images'"),
    (json.dumps({"images": [{"file_name": "8.png"}], "categories": CATEGORIES, "annotations": []}),
     r"instances_val.json does not fit COCO's layout \(KeyError\('id'\)\)"),
    (json.dumps({"images": 3, "categories": CATEGORIES, "annotations": []}), "does not fit COCO's layout"),
])  # fmt: skip
def test_file_of_another_layout_is_named(root: Path, content: str, reason: str) -> None:
    (root / "instances_val.json").write_text(content)
    with pytest.raises(ValueError, match=reason):
        Coco(str(root)).catalogue()


def test_an_image_without_a_name_costs_its_own_boxes_alone(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    written = write(root / "instances_val.json", box(1, 3, [1, 2, 3, 4]), box(2, 4, [1, 2, 3, 4]))
    content = json.loads(written.read_text())
    content["images"] += [{"id": 77}]
    content["annotations"][0]["image_id"] = 77
    written.write_text(json.dumps(content))
    made, left_out = Coco(str(root)).listed()
    assert left_out["instances_val/1"] == "its image_id 77 is not in the file"
    assert "instances_val/2" in made.column("id")
    assert "1 of its images have no file_name" in caplog.text


def test_scenes_are_told_apart_by_their_finer_tags(root: Path) -> None:
    tagged = [{"source_tags": tags} for tags in (["boots"], ["shoes"], [])]
    boxes = [box(number, 3, [1, 2, 3 + number, 4]) | tags for number, tags in enumerate(tagged, start=91)]
    write(root / "instances_val.json", *boxes, box(99, 77, [1, 2, 3, 4]) | {"source_tags": ["boots"]})
    plain, finer = (open_source(name, str(root), 0).listed() for name in ("coco", "scenes"))  # type: ignore[attr-defined]
    called = dict(zip(finer[0].column("id"), finer[0].column("category"), strict=True))
    name = called["instances_val/92"]
    assert [called[f"instances_val/{number}"] for number in (91, 93)] == [f"{name}/boots", name]
    assert finer[0].column("id").tolist() == plain[0].column("id").tolist()
    assert finer[1] == plain[1]
    write(root / "instances_val.json", box(91, 3, [1, 2, 4, 4]) | {"source_tags": 5})
    with pytest.raises(ValueError, match="source_tags of an annotation is 5: give a list of names"):
        open_source("scenes", str(root), 0).listed()  # type: ignore[attr-defined]


def test_folder_without_annotations_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no instances_\*\.json in .*: give data\.root such a folder or file"):
        Coco(str(tmp_path)).catalogue()
    with pytest.raises(ValueError, match=r"data=coco needs data\.root"):
        open_source("coco", None, 0)


def test_boxes_are_cut_by_their_corners(root: Path) -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[6:36, 5:25] = 200
    Image.fromarray(pixels).save(root / "images" / "1.png")
    made = Coco(str(root)).catalogue()
    x1, y1, x2, y2 = made.boxes[0].astype(int)
    assert (Coco(str(root)).picture(made.column("picture")[0])[y1:y2, x1:x2] == 200).all()


@pytest.mark.parametrize(("bad", "reason"), [
    ({"image_id": 77}, "its image_id 77 is not in the file"),
    ({"category_id": 5}, "its category_id 5 is not in the file"),
    ({"image_id": [3]}, r"its image_id \[3\] is not in the file"),
    ({"category_id": {"a": 1}}, "its category_id {'a': 1} is not in the file"),
    ({"bbox": []}, r"its bbox \[\] is no box"), ({"bbox": [1e9, 0, 5, 5]}, "is no box"), ({"bbox": None}, "is no box"),
    ({"bbox": [float("nan"), 0, 5, 5]}, "is no box"),
])  # fmt: skip
def test_bad_annotation_is_left_out_and_named(root: Path, bad: dict[str, Any], reason: str) -> None:
    image = {"id": 3, "file_name": "3.png"}
    write(root / "instances_val.json", {**box(1, 3, [1, 2, 3, 4]), **bad}, box(2, 3, [1, 2, 9, 9]), images=[image])
    source = Coco(str(root))
    assert source.catalogue().column("id").tolist()[3:] == ["instances_val/2"]
    assert list(source.skipped) == ["instances_val/1"]
    assert re.search(reason, source.skipped["instances_val/1"])


def test_one_official_file_finds_its_pictures(tmp_path: Path) -> None:
    draw(tmp_path / "images", 5)
    draw(tmp_path / "images" / "train2017", 1)
    path = write(tmp_path / "annotations" / "instances_train2017.json", box(5, 1, [1, 1, 9, 9]))
    assert Coco(str(path)).catalogue().column("picture").tolist() == ["images/train2017/1.png"]
