"""Consumer-to-shop benchmark: one row per image of the pairs, with view and split; reasons for invalid rows."""

import logging
from pathlib import Path

import pytest
from PIL import Image

from fashion_lsh.data.datasets.deepfashion.consumer import DeepFashionConsumer
from tests.data.datasets.deepfashion.factories import (
    assert_required_files_are_read,
    column_values,
    replace_text,
    row,
    save_images,
    write,
)

STREET, SHOP = (f"img/TOPS/T_Shirt/id_00000001/{name}_01.jpg" for name in ("comsumer", "shop"))


def item_path(name: str, number: int, item: int) -> str:
    return f"img/DRESSES/Dress/id_{item:08}/{name}_{number:02}.jpg"


TRAIN, VAL = (
    (item_path("comsumer", 1, 5), item_path("shop", 1, 5)),
    (item_path("comsumer", 1, 6), item_path("shop", 1, 6)),
)
SECOND = STREET.replace("_01.jpg", "_02.jpg")
PAIRS = [(STREET, SHOP, 1, "test"), (SECOND, SHOP, 1, "test"), (*TRAIN, 5, "train"), (*VAL, 6, "val")]


@pytest.fixture
def consumer(tmp_path: Path) -> Path:
    """Write three items; the shop image of the first item is in two pairs."""
    images = [STREET, SECOND, SHOP, *TRAIN, *VAL]
    save_images(tmp_path / "Img", *images)
    header = "image_pair_name_1 image_pair_name_2 item_id evaluation_status"
    pairs = [f"{street:<70} {shop:<70} id_{item:08} {word}" for street, shop, item, word in PAIRS]
    write(tmp_path / "Eval/list_eval_partition.txt", header, pairs)
    boxes = [row(name, 1 if "TOPS" in name else 3, 1 if "shop" in name else 2, "010", "020", "100", "200")
             for name in images]  # fmt: skip
    header = "image_name clothes_type source_type x_1 y_1 x_2 y_2"
    write(tmp_path / "Anno/list_bbox_consumer2shop.txt", header, boxes)
    return tmp_path


def test_each_image_of_the_pairs_is_one_row(consumer: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = DeepFashionConsumer(str(consumer))
    catalogue = source.catalogue()
    assert catalogue.column("id").tolist() == [STREET, SHOP, SECOND, *TRAIN, *VAL]
    assert catalogue.column("view").tolist() == ["street", "shop", "street"] + ["street", "shop"] * 2
    assert catalogue.column("split").tolist() == ["query", "gallery", "query", "train", "train", "val", "val"]
    assert catalogue.column("item").tolist() == ["id_00000001"] * 3 + ["id_00000005"] * 2 + ["id_00000006"] * 2
    assert catalogue.column("category").tolist() == ["TOPS/T_Shirt/upper"] * 3 + ["DRESSES/Dress/full"] * 4
    assert catalogue.boxes[0].tolist() == [10, 20, 100, 200]
    assert (source.skipped, caplog.text) == ({}, "")


def test_the_gallery_can_include_shop_images_of_val(consumer: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    splits = column_values(DeepFashionConsumer(str(consumer), gallery="val_test"), "split")
    assert [splits[name] for name in (*VAL, SHOP, *TRAIN)] == ["val", "gallery", "gallery", "train", "train"]
    assert "gallery=val_test: using the shop images of val and test" in caplog.text
    DeepFashionConsumer(str(consumer)).list_garments()
    assert "gallery=test: using the shop images of test" in caplog.text
    with pytest.raises(ValueError, match="gallery='all'"):
        DeepFashionConsumer(str(consumer), gallery="all")


@pytest.mark.parametrize("name", ["comsumer", "consumer"])
def test_both_spellings_of_consumer_are_street_images(consumer: Path, name: str) -> None:
    street = STREET.replace("comsumer", name)
    save_images(consumer / "Img", street)
    Image.new("RGB", (256, 256), (1, 2, 3)).save(consumer / "Img" / street)
    replace_text(consumer / "Eval/list_eval_partition.txt", f"{STREET:<70} {SHOP}", f"{SHOP} {street}")
    replace_text(consumer / "Anno/list_bbox_consumer2shop.txt", STREET, street)
    source = DeepFashionConsumer(str(consumer))
    assert (column_values(source, "view")[street], column_values(source, "split")[street]) == ("street", "query")
    assert (column_values(source, "view")[SHOP], column_values(source, "split")[SHOP]) == ("shop", "gallery")


def test_an_image_in_pairs_of_two_splits_stays_in_the_test_split(
    consumer: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = consumer / "Eval/list_eval_partition.txt"
    replace_text(path, f"{SECOND:<70} {SHOP:<70} id_00000001 test", f"{SECOND:<70} {SHOP:<70} id_00000001 train")
    splits = column_values(DeepFashionConsumer(str(consumer)), "split")
    assert (splits[SECOND], splits[SHOP]) == ("train", "gallery")
    assert "1 images are in pairs of several splits" in caplog.text


def test_a_source_type_that_contradicts_the_file_name_causes_a_warning(
    consumer: Path, caplog: pytest.LogCaptureFixture
) -> None:
    replace_text(consumer / "Anno/list_bbox_consumer2shop.txt", f"{SHOP:<70} 1 1", f"{SHOP:<70} 1 2")
    assert column_values(DeepFashionConsumer(str(consumer)), "view")[SHOP] == "shop"
    assert "1 images have a source_type" in caplog.text


@pytest.mark.parametrize(("file", "old", "new", "name", "reason"), [
    ("Eval/list_eval_partition.txt", f"{SECOND:<70} {SHOP:<70} id_00000001", f"{SECOND:<70} {SHOP:<70} id_00000009",
     SHOP, "listed in pairs of two items, id_00000001 and id_00000009"),
    ("Eval/list_eval_partition.txt", "id_00000006 val", "id_00000006 exam", VAL[1],
     "a pair has the unknown split 'exam'"),
    ("Eval/list_eval_partition.txt", "id_00000006 val", "id_00000006", VAL[0],
     "line 6 of list_eval_partition.txt has 3 cells instead of 4"),
    ("Eval/list_eval_partition.txt", f"{SECOND:<70} {SHOP:<70} id_00000001 test", f"{SHOP} test",
     f"pair of {SHOP}", "line 4 of list_eval_partition.txt has 2 cells instead of 4"),
    ("Anno/list_bbox_consumer2shop.txt", f"{SHOP:<70} 1", f"{SHOP:<70} 9", SHOP,
     "clothes_type '9' is not 1, 2 or 3, or the path is not img/<top>/<folder>/<item>/<file>"),
])  # fmt: skip
def test_a_bad_pair_or_box_is_skipped_with_its_reason(
    consumer: Path, file: str, old: str, new: str, name: str, reason: str
) -> None:
    replace_text(consumer / file, old, new)
    catalogue, skipped = DeepFashionConsumer(str(consumer)).list_garments()
    assert skipped[name] == reason
    assert not set(catalogue.column("id")) & set(skipped)


def test_each_missing_required_file_raises(consumer: Path) -> None:
    assert_required_files_are_read(consumer, DeepFashionConsumer)
