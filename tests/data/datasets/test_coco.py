"""COCO reader: each box is a garment, file names determine splits, and unusable boxes are reported."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fashion_lsh.data.datasets import open_dataset
from fashion_lsh.data.datasets.coco import Coco

CATEGORIES = [{"id": 0, "name": "top, t-shirt", "supercategory": "upper"}, {"id": 7, "name": "Coat"}]


def make_annotation(number: int, image: int, bbox: list[float], category: int = 0, **extra: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": category, "bbox": bbox, **extra}


def write_annotations(path: Path, *boxes: dict[str, Any], **changes: Any) -> Path:
    image_ids = sorted({box["image_id"] for box in boxes if isinstance(box["image_id"], int)})
    content = {
        "images": [{"id": number, "file_name": f"{number}.png", "width": 60, "height": 40} for number in image_ids],
        "annotations": list(boxes), "categories": CATEGORIES, **changes,
    }  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def save_images(folder: Path, *numbers: int) -> None:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        Image.new("RGB", (60, 40), (number, number, 0)).save(folder / f"{number}.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    save_images(tmp_path / "images", 1, 2, 3)
    write_annotations(
        tmp_path / "instances_train.json",
        make_annotation(1, 1, [5, 6, 20, 30]),
        make_annotation(2, 1, [30.5, 0, 10, 40], 7),
        make_annotation(3, 2, [0, 0, 60, 40], 7),
    )
    write_annotations(tmp_path / "instances_val.json", make_annotation(1, 3, [1, 2, 3, 4]))
    return tmp_path


def test_each_box_is_a_garment(root: Path) -> None:
    source = open_dataset("coco", str(root), 0)
    catalogue = source.catalogue()
    assert catalogue.column("id").tolist() == [f"instances_train/{n}" for n in (1, 2, 3)] + ["instances_val/1"]
    assert catalogue.boxes.tolist() == [[5, 6, 25, 36], [30.5, 0, 40.5, 40], [0, 0, 60, 40], [1, 2, 4, 6]]
    assert catalogue.column("category").tolist() == ["top, t-shirt", "Coat", "Coat", "top, t-shirt"]
    assert catalogue.column("image").tolist() == ["images/1.png", "images/1.png", "images/2.png", "images/3.png"]
    assert source.image("images/2.png")[0, 0].tolist() == [2, 2, 0]
    assert set(catalogue.column("main")) == {True}


def test_val_becomes_query_if_there_is_no_test_file(root: Path) -> None:
    assert Coco(str(root)).catalogue().column("split").tolist() == ["train", "train", "train", "query"]
    save_images(root / "images", 9)
    write_annotations(root / "instances_test.json", make_annotation(1, 9, [1, 2, 3, 4]))
    splits = dict(
        zip(Coco(str(root)).catalogue().column("id"), Coco(str(root)).catalogue().column("split"), strict=True)
    )
    assert (splits["instances_val/1"], splits["instances_test/1"]) == ("val", "query")


def test_the_split_is_empty_if_the_file_name_has_no_split(root: Path) -> None:
    (root / "instances_val.json").rename(root / "instances_extra.json")
    assert set(Coco(str(root)).catalogue().column("split")) == {""}


def test_the_root_can_be_an_annotation_file(root: Path) -> None:
    catalogue = Coco(str(root / "instances_train.json")).catalogue()
    assert len(catalogue) == 3
    assert set(catalogue.column("split")) == {""}


def test_images_in_official_folders_are_found(tmp_path: Path) -> None:
    for name, number in (("train2017", 1), ("val2017", 2)):
        save_images(tmp_path / name, number)
        write_annotations(tmp_path / "annotations" / f"instances_{name}.json", make_annotation(5, number, [1, 1, 9, 9]))
    catalogue = Coco(str(tmp_path)).catalogue()
    assert catalogue.column("image").tolist() == ["train2017/1.png", "val2017/2.png"]
    assert catalogue.column("split").tolist() == ["train", "query"]


def test_unusable_boxes_are_skipped_with_reasons(root: Path) -> None:
    write_annotations(
        root / "instances_val.json",
        make_annotation(1, 3, [1, 2, 3, 4], iscrowd=1),
        make_annotation(2, 3, [1, 2, 0.5, 9]),
        make_annotation(3, 3, [70, 2, 9, 9]),
        make_annotation(4, 4, [1, 2, 3, 4]),
        make_annotation(5, 3, [9, 9, 9, 9], iscrowd=0),
    )
    source = Coco(str(root))
    assert source.catalogue().column("id").tolist()[3:] == ["instances_val/5"]
    reasons = {name.rpartition("/")[2]: reason for name, reason in source.skipped.items()}
    assert list(reasons) == ["1", "2", "3", "4"]
    assert reasons["1"] == "crowd annotation"
    assert reasons["2"] == "box of 0.5 x 9 pixels is smaller than one pixel"
    assert "outside the image (60 x 40 pixels)" in reasons["3"]
    assert reasons["4"].endswith("4.png: no such file")


def test_duplicate_annotation_ids_are_made_unique(root: Path) -> None:
    write_annotations(
        root / "instances_val.json", make_annotation(1, 3, [1, 2, 3, 4]), make_annotation(1, 3, [5, 5, 9, 9])
    )
    assert Coco(str(root)).catalogue().column("id").tolist()[3:] == ["instances_val/1", "instances_val/1#2"]


@pytest.mark.parametrize(("content", "reason"), [
    ("{", "instances_val.json: not a JSON object"),
    ('{"images": [], "categories": []}', "instances_val.json: key 'annotations'"),
    ("[1]", "instances_val.json: key 'images'"),
    (json.dumps({"images": [{"file_name": "8.png"}], "categories": CATEGORIES, "annotations": []}),
     r"instances_val.json: .*KeyError\('id'\)"),
    (json.dumps({"images": 3, "categories": CATEGORIES, "annotations": []}), "instances_val.json: .*TypeError"),
])  # fmt: skip
def test_a_file_of_another_format_raises(root: Path, content: str, reason: str) -> None:
    (root / "instances_val.json").write_text(content)
    with pytest.raises(ValueError, match=reason):
        Coco(str(root)).catalogue()


def test_boxes_of_an_image_without_a_file_name_are_skipped(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_annotations(
        root / "instances_val.json", make_annotation(1, 3, [1, 2, 3, 4]), make_annotation(2, 4, [1, 2, 3, 4])
    )
    content = json.loads(path.read_text())
    content["images"] += [{"id": 77}]
    content["annotations"][0]["image_id"] = 77
    path.write_text(json.dumps(content))
    catalogue, skipped = Coco(str(root)).list_garments()
    assert skipped["instances_val/1"] == "image_id=77 is not in the file"
    assert "instances_val/2" in catalogue.column("id")
    assert "without a file_name: 1" in caplog.text


def test_scenes_append_specific_tags_to_categories(root: Path) -> None:
    tag_lists = [{"source_tags": tags} for tags in (["boots"], ["shoes"], [])]
    boxes = [
        make_annotation(number, 3, [1, 2, 3 + number, 4]) | tags for number, tags in enumerate(tag_lists, start=91)
    ]
    write_annotations(
        root / "instances_val.json", *boxes, make_annotation(99, 77, [1, 2, 3, 4]) | {"source_tags": ["boots"]}
    )
    plain, scenes = (open_dataset(name, str(root), 0).list_garments() for name in ("coco", "scenes"))  # type: ignore[attr-defined]
    categories = dict(zip(scenes[0].column("id"), scenes[0].column("category"), strict=True))
    name = categories["instances_val/92"]
    assert [categories[f"instances_val/{number}"] for number in (91, 93)] == [f"{name}/boots", name]
    assert scenes[0].column("id").tolist() == plain[0].column("id").tolist()
    assert scenes[1] == plain[1]
    write_annotations(root / "instances_val.json", make_annotation(91, 3, [1, 2, 4, 4]) | {"source_tags": 5})
    with pytest.raises(ValueError, match="source_tags=5"):
        open_dataset("scenes", str(root), 0).list_garments()  # type: ignore[attr-defined]


def test_a_folder_without_annotations_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=rf"data\.root={tmp_path}: no instances_\*\.json"):
        Coco(str(tmp_path)).catalogue()
    with pytest.raises(ValueError, match=r"data=coco needs data\.root"):
        open_dataset("coco", None, 0)


def test_boxes_are_converted_to_xyxy(root: Path) -> None:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[6:36, 5:25] = 200
    Image.fromarray(pixels).save(root / "images" / "1.png")
    catalogue = Coco(str(root)).catalogue()
    x1, y1, x2, y2 = catalogue.boxes[0].astype(int)
    assert (Coco(str(root)).image(catalogue.column("image")[0])[y1:y2, x1:x2] == 200).all()


@pytest.mark.parametrize(("bad", "reason"), [
    ({"image_id": 77}, "image_id=77 is not in the file"),
    ({"category_id": 5}, "category_id=5 is not in the file"),
    ({"image_id": [3]}, r"image_id=\[3\] is not in the file"),
    ({"category_id": {"a": 1}}, "category_id={'a': 1} is not in the file"),
    ({"bbox": []}, r"bbox=\[\]"), ({"bbox": [1e9, 0, 5, 5]}, "bbox="), ({"bbox": None}, "bbox=None"),
    ({"bbox": [float("nan"), 0, 5, 5]}, "bbox="),
])  # fmt: skip
def test_a_bad_annotation_is_skipped_with_its_reason(root: Path, bad: dict[str, Any], reason: str) -> None:
    image = {"id": 3, "file_name": "3.png"}
    write_annotations(
        root / "instances_val.json",
        {**make_annotation(1, 3, [1, 2, 3, 4]), **bad},
        make_annotation(2, 3, [1, 2, 9, 9]),
        images=[image],
    )
    source = Coco(str(root))
    assert source.catalogue().column("id").tolist()[3:] == ["instances_val/2"]
    assert list(source.skipped) == ["instances_val/1"]
    assert re.search(reason, source.skipped["instances_val/1"])


def test_images_of_a_single_official_file_are_found(tmp_path: Path) -> None:
    save_images(tmp_path / "images", 5)
    save_images(tmp_path / "images" / "train2017", 1)
    path = write_annotations(tmp_path / "annotations" / "instances_train2017.json", make_annotation(5, 1, [1, 1, 9, 9]))
    assert Coco(str(path)).catalogue().column("image").tolist() == ["images/train2017/1.png"]
