"""COCO reader: boxes of images that EXIF turns, and crowds and images without garments for the detector's scores."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.datasets.coco import Coco
from fashion_lsh.data.detection_data import DetectionData
from fashion_lsh.data.detection_images import images_to_detect, images_without_garments
from fashion_lsh.data.detections import Boxes, Detections
from fashion_lsh.data.merge.merge import scan_source
from fashion_lsh.data.merge.taxonomy import LabelMap
from fashion_lsh.evaluation.detection import box_results

CATEGORIES = [{"id": 1, "name": "coat", "supercategory": "outer"}, {"id": 2, "name": "hat", "supercategory": "head"}]


def write_coco(path: Path, images: dict[int, tuple[int, int]], boxes: list[tuple[int, int, list[int], int]]) -> None:
    """Write images (id -> stored size in the file) and boxes (image id, category id, bbox, iscrowd)."""
    content = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": w, "height": h} for n, (w, h) in images.items()],
        "annotations": [
            {"id": number, "image_id": image, "category_id": category, "bbox": bbox, "iscrowd": crowd}
            for number, (image, category, bbox, crowd) in enumerate(boxes, start=1)
        ],
        "categories": CATEGORIES,
    }
    path.write_text(json.dumps(content))


def save_image(root: Path, number: int, orientation: int = 1, marked: list[int] | None = None) -> None:
    """Save stored pixels of 60 x 40, with a white rectangle (x, y, width, height) in stored pixels."""
    pixels, exif = np.full((40, 60, 3), number, np.uint8), Image.Exif()
    if marked:
        x, y, width, height = marked
        pixels[y : y + height, x : x + width] = 255
    exif[0x0112] = orientation
    (root / "images").mkdir(exist_ok=True)
    Image.fromarray(pixels).save(root / "images" / f"{number}.png", exif=exif)


def marked_box(source: Coco, key: str) -> list[int]:
    rows, columns = np.nonzero(source.image(key)[..., 0] == 255)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


BBOX = [5, 6, 20, 11]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_in_stored_pixels_are_turned_by_exif(
    tmp_path: Path, orientation: int, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (1, 2):
        save_image(tmp_path, number, orientation, BBOX)
    write_coco(tmp_path / "instances.json", {1: (60, 40), 2: (60, 40)}, [(1, 1, BBOX, 0), (2, 2, BBOX, 0)])
    source = Coco(str(tmp_path / "instances.json"))
    rows = source.catalogue()
    for key, box in zip(rows.column("image"), rows.boxes.tolist(), strict=True):
        assert box == marked_box(source, key)
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert f"{tmp_path}/instances.json: the boxes of 2 images, for example images/1.png" in warnings[0]
    scanned = scan_source("coco", source, LabelMap({}), fingerprints=False)
    assert scanned.catalogue.boxes.tolist() == rows.boxes.tolist()


@pytest.mark.parametrize(
    ("orientation", "size"), [(6, (40, 60)), (1, (60, 40)), (1, (40, 60)), (3, (60, 40)), (6, (9, 9))]
)
def test_boxes_are_kept_if_the_sizes_do_not_show_stored_pixels(
    tmp_path: Path, orientation: int, size: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    save_image(tmp_path, 1, orientation)
    write_coco(tmp_path / "instances.json", {1: size}, [(1, 1, BBOX, 0)])
    assert Coco(str(tmp_path / "instances.json")).catalogue().boxes.tolist() == [[5, 6, 25, 17]]
    assert "EXIF" not in caplog.text


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Train, val and test files; test image 20 has a crowd, 21 no boxes, 22 only a crowd, 23 is missing."""
    for number in (*range(1, 13), 20, 21, 22):
        save_image(tmp_path, number)
    for first, name in ((1, "train"), (5, "val"), (9, "test")):
        numbers = range(first, first + 4)
        images = dict.fromkeys(numbers, (60, 40))
        boxes: list[Any] = [(number, 1 + number % 2, BBOX, 0) for number in numbers]
        if name == "test":
            images |= dict.fromkeys((20, 21, 22, 23), (60, 40))
            boxes += [(20, 1, BBOX, 0), (20, 1, [30, 0, 30, 40], 1), (22, 2, [0, 0, 60, 40], 1)]
        write_coco(tmp_path / f"instances_{name}.json", images, boxes)
    return tmp_path


def make_scenes(root: Path, level: Any = "category") -> DetectionData:
    data = GarmentData("coco", str(root), crop="detected", gallery="train")
    return DetectionData(data, level, 64, None, [1.0, 1.0], 4, None, 0, 0)


def test_scored_boxes_contain_crowds_and_images_without_garments(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    scenes = make_scenes(root)
    assert images_without_garments(scenes.data, "query") == ["images/21.png", "images/22.png"]
    assert "1 images without garments are not readable" in caplog.text
    scored = scenes.scored_boxes("query")
    assert sorted(scored) == sorted([*scenes.annotated_boxes("query"), "images/21.png", "images/22.png"])
    assert [values.tolist() for values in scored["images/20.png"]] == [
        [[5, 6, 25, 17], [30, 0, 60, 40]], [0, 0], [False, True],
    ]  # fmt: skip
    assert [values.tolist() for values in scored["images/22.png"]] == [[[0, 0, 60, 40]], [1], [True]]
    assert len(scored["images/21.png"][0]) == 0
    assert not any(is_crowd.any() for _, _, is_crowd in scenes.scored_boxes("train").values())
    assert set(images_to_detect(scenes.data)) == {
        *scenes.data.catalogue.column("image"),
        "images/21.png",
        "images/22.png",
    }


@pytest.mark.parametrize("level", ["garment", "category"])
def test_detections_in_crowds_are_ignored_and_those_without_garments_are_false(root: Path, level: Any) -> None:
    scenes = make_scenes(root, level)
    exact = {
        image: Boxes(boxes, np.full(len(boxes), 0.5, np.float32), labels)
        for image, (boxes, labels) in scenes.annotated_boxes("query").items()
    }
    extra = Boxes(np.float32([[32, 2, 50, 30]]), np.float32([0.9]), np.zeros(1, np.int64))

    def ap50(**boxes: Boxes) -> float:
        added = {f"images/{name[1:]}.png": value for name, value in boxes.items()}
        results = box_results(Detections(exact | added), scenes, "query")
        return next(row.value for row in results if row.metric == "box_ap50" and not row.category)

    in_crowd = Boxes(*(np.concatenate(pair) for pair in zip(extra, exact["images/20.png"], strict=True)))
    assert ap50() == ap50(_20=in_crowd) == 1
    assert ap50(_21=extra) < 1
    assert (ap50(_22=extra) == 1) == (level == "garment")  # at level category, the crowd is of another class


def test_the_checksum_depends_on_crowds_and_images_without_garments(root: Path) -> None:
    before = Coco(str(root))
    before.catalogue()
    content = json.loads((root / "instances_test.json").read_text())
    content["images"] = [image for image in content["images"] if image["id"] != 21]
    (root / "instances_test.json").write_text(json.dumps(content))
    after = Coco(str(root))
    after.catalogue()
    assert after.checksum != before.checksum


def test_images_without_garments_are_drawn_by_ratio_if_there_are_no_splits(tmp_path: Path) -> None:
    for number in range(1, 61):
        save_image(tmp_path, number)
    boxes = [(number, 1 + number % 2, BBOX, 0) for number in range(1, 41)]
    write_coco(tmp_path / "instances.json", dict.fromkeys(range(1, 61), (60, 40)), boxes)
    ratios = {"train": 0.4, "val": 0.1, "query": 0.3, "gallery": 0.2}
    data = GarmentData("coco", str(tmp_path / "instances.json"), ratios=ratios)
    drawn = images_without_garments(data, "query")
    assert len(drawn) == 6
    assert set(drawn) <= {f"images/{number}.png" for number in range(41, 61)}
    assert drawn == images_without_garments(
        GarmentData("coco", str(tmp_path / "instances.json"), ratios=ratios), "query"
    )


def test_data_without_such_annotations_have_no_images_without_garments(root: Path) -> None:
    data = GarmentData("shop_street")
    assert images_without_garments(data, "query") == []
