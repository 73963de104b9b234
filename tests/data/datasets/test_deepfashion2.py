"""DeepFashion2 reader: splits, items by pair and style, and reasons for invalid annotations."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets import deepfashion2
from fashion_lsh.data.datasets.deepfashion2 import DeepFashion2


def make_garment(style: int = 1, box: Any = (5, 6, 40, 50), name: str = "skirt", **more: Any) -> dict[str, Any]:
    return {
        "segmentation": [[5, 6, 70.5, 50]], "scale": 2, "viewpoint": 2, "zoom_in": 1, "landmarks": [9, 9, 2] * 8,
        "style": style, "bounding_box": list(box), "category_id": 9, "occlusion": 1, "category_name": name, **more,
    }  # fmt: skip


def write_image(root: Path, folder: str, number: int, source: str, pair: int, **items: dict[str, Any]) -> Path:
    """Write an image of 60 x 80 pixels and its annotations; garments are in reverse order, before the other keys."""
    path = root / folder / "annos" / f"{number:06d}.json"
    for part in ("annos", "image"):
        (root / folder / part).mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**dict(reversed(items.items())), "source": source, "pair_id": pair}))
    pixels = np.random.default_rng([number, len(folder)]).integers(0, 256, (80, 60, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(root / folder / "image" / f"{number:06d}.jpg")
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_image(
        tmp_path,
        "train",
        1,
        "user",
        7,
        item1=make_garment(),
        item2=make_garment(2, (1, 2, 30.5, 40), "short sleeve top"),
    )
    write_image(tmp_path, "train", 2, "shop", 7, item1=make_garment(0, name="vest"))
    write_image(tmp_path, "validation", 1, "user", 7, item1=make_garment())
    write_image(tmp_path, "validation", 2, "shop", 7, item1=make_garment())
    write_image(tmp_path, "validation", 3, "user", 8, item1=make_garment(3))
    return tmp_path


def column_by_id(catalogue: Catalogue, name: str) -> dict[str, Any]:
    return dict(zip(catalogue.column("id"), catalogue.column(name), strict=True))


def test_each_garment_is_one_row(root: Path) -> None:
    source = DeepFashion2(str(root))
    catalogue = source.catalogue()
    names = ["train/000001/item1", "train/000001/item2", "train/000002/item1"]
    assert catalogue.column("id").tolist() == names + [f"validation/00000{n}/item1" for n in (1, 2, 3)]
    assert catalogue.boxes[:2].tolist() == [[5, 6, 40, 50], [1, 2, 30.5, 40]]
    assert catalogue.column("category")[:3].tolist() == ["skirt", "short sleeve top", "vest"]
    assert catalogue.column("image")[1:4].tolist() == [
        "train/image/000001.jpg", "train/image/000002.jpg", "validation/image/000001.jpg"
    ]  # fmt: skip
    assert source.image("train/image/000001.jpg").shape == (80, 60, 3)
    assert set(catalogue.column("main")) == {True}
    assert set(catalogue.column("source")) == {"deepfashion2"}
    assert source.skipped == {}


def test_user_images_are_queries_and_shop_images_are_in_the_gallery(root: Path) -> None:
    catalogue = DeepFashion2(str(root)).catalogue()
    assert catalogue.column("split").tolist() == ["train"] * 3 + ["query", "gallery", "query"]
    assert catalogue.column("view").tolist() == ["street", "street", "shop", "street", "shop", "street"]


def test_items_are_pairs_of_pair_id_and_style_above_0(root: Path) -> None:
    items = column_by_id(DeepFashion2(str(root)).catalogue(), "item")
    assert items["validation/000001/item1"] == items["validation/000002/item1"]
    others = ["train/000001/item1", "train/000001/item2", "validation/000001/item1"]
    assert len({items[name] for name in others} - {""}) == 3
    assert items["train/000002/item1"] == ""


def test_groups_are_pairs_within_a_folder(root: Path) -> None:
    groups = column_by_id(DeepFashion2(str(root)).catalogue(), "group")
    assert groups["train/000001/item1"] == groups["train/000002/item1"] != ""
    assert groups["validation/000001/item1"] == groups["validation/000002/item1"] != groups["train/000001/item1"]
    assert groups["validation/000003/item1"] != groups["validation/000001/item1"]


def test_a_query_without_a_match_is_kept(root: Path) -> None:
    catalogue = DeepFashion2(str(root)).catalogue()
    item = column_by_id(catalogue, "item")["validation/000003/item1"]
    assert item != ""
    assert catalogue.column("item").tolist().count(item) == 1


def test_a_garment_without_landmarks_is_kept(root: Path) -> None:
    write_image(root, "train", 3, "shop", 9, item1=make_garment(landmarks=[0, 0, 0] * 8))
    assert "train/000003/item1" in column_by_id(DeepFashion2(str(root)).catalogue(), "id")


def test_a_box_over_the_border_is_clipped(root: Path) -> None:
    write_image(root, "train", 3, "shop", 9, item1=make_garment(box=(-2, 6, 61, 81)))
    catalogue = DeepFashion2(str(root)).catalogue()
    assert catalogue.boxes[catalogue.column("id").tolist().index("train/000003/item1")].tolist() == [0, 6, 60, 80]


def test_the_test_folder_and_hidden_files_are_not_read(root: Path) -> None:
    before = DeepFashion2(str(root)).catalogue()
    write_image(root, "test", 4, "user", 9, item1=make_garment())
    (root / "train" / "annos" / "._000001.json").write_bytes(b"\0\5\26\7")
    source = DeepFashion2(str(root))
    assert source.catalogue().column("id").tolist() == before.column("id").tolist()
    assert source.skipped == {}


@pytest.mark.parametrize(("content", "reason"), [
    ("{", r"train/annos/000001\.json: not a JSON annotation"),
    ("[]", r"000001\.json: not a JSON annotation"),
    ('{"source": "user", "item1": {}}', r"000001\.json: key 'pair_id'"),
    ('{"pair_id": 7, "item1": {}}', r"000001\.json: key 'source'"),
    ('{"source": "street", "pair_id": 7}', "source='street' is not one of user, shop"),
])  # fmt: skip
def test_a_bad_file_is_skipped_with_its_reason(root: Path, content: str, reason: str) -> None:
    (root / "train" / "annos" / "000001.json").write_text(content)
    source = DeepFashion2(str(root))
    assert len(source.catalogue()) == 4
    assert list(source.skipped) == ["train/000001"]
    with pytest.raises(ValueError, match=reason):
        raise ValueError(source.skipped["train/000001"])


@pytest.mark.parametrize(("changes", "reason"), [
    ({"bounding_box": [5, 6, 5, 50]}, "item2 has bounding_box=[5, 6, 5, 50]"),
    ({"bounding_box": [5, 6, float("nan"), 50]}, "item2 has bounding_box=[5, 6, nan, 50]"),
    ({"bounding_box": [5, 6, 7]}, "item2 has bounding_box=[5, 6, 7]"),
    ({"bounding_box": None}, "item2 has bounding_box=None"),
    ({"style": None}, "item2 has an invalid category 'skirt' or style None"),
    ({"category_name": " "}, "item2 has an invalid category ' ' or style 1"),
])  # fmt: skip
def test_a_bad_garment_is_skipped_with_its_reason(root: Path, changes: dict[str, Any], reason: str) -> None:
    write_image(root, "train", 1, "user", 7, item1=make_garment(), item2={**make_garment(), **changes})
    source = DeepFashion2(str(root))
    assert source.catalogue().column("id")[:2].tolist() == ["train/000001/item1", "train/000002/item1"]
    assert list(source.skipped) == ["train/000001/item2"]
    assert reason in source.skipped["train/000001/item2"]


def test_garments_without_a_field_are_skipped(root: Path) -> None:
    incomplete = make_garment()
    del incomplete["style"]
    write_image(root, "train", 1, "user", 7, item1=incomplete, item2=3)  # type: ignore[arg-type]
    source = DeepFashion2(str(root))
    source.catalogue()
    assert source.skipped["train/000001/item1"].endswith("item1 lacks the key 'style'")
    assert source.skipped["train/000001/item2"].endswith("item2 is 3 instead of a garment")


def test_a_missing_image_is_skipped(root: Path) -> None:
    (root / "train" / "image" / "000001.jpg").unlink()
    source = DeepFashion2(str(root))
    assert len(source.catalogue()) == 4
    assert list(source.skipped) == ["train/000001/item1", "train/000001/item2"]


def test_a_missing_folder_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_image(tmp_path, "train", 1, "user", 7, item1=make_garment())
    with caplog.at_level(logging.WARNING):
        assert len(DeepFashion2(str(tmp_path)).catalogue()) == 1
    assert f"Skipped {tmp_path / 'validation'}" in caplog.text


def test_a_root_without_annotations_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no train/annos/\*\.json or validation/annos/\*\.json"):
        DeepFashion2(str(tmp_path)).catalogue()
    write_image(tmp_path, "train", 1, "user", 7).write_text("{")
    with pytest.raises(ValueError, match=r"no usable garment.*000001\.json: "):
        DeepFashion2(str(tmp_path)).catalogue()


@pytest.mark.parametrize("part", DeepFashion2.expected)
def test_expected_files_match_the_layout(root: Path, part: Any) -> None:
    assert list(root.glob(part.pattern))


def test_an_unreadable_folder_is_reported(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original_scandir = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path) == root / "train/annos":
            raise PermissionError(13, "Permission denied", str(path))
        return original_scandir(path)

    monkeypatch.setattr(deepfashion2.os, "scandir", scandir)
    catalogue, skipped = DeepFashion2(str(root)).list_garments()
    assert "train" not in catalogue.column("split")
    assert skipped[str(root / "train/annos")] == "folder cannot be read (Permission denied)"
