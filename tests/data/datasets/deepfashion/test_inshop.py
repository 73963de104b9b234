"""In-shop benchmark: items, published splits and boxes; reasons for invalid rows."""

from pathlib import Path

import pytest

from fashion_lsh.data.datasets.deepfashion.inshop import DeepFashionInshop
from tests.data.datasets.deepfashion.factories import (
    BACK,
    FRONT,
    JEANS,
    SIDE,
    assert_required_files_are_read,
    column_values,
    replace_text,
    save_images,
    write,
    write_inshop,
)


@pytest.fixture
def inshop(tmp_path: Path) -> Path:
    return write_inshop(tmp_path)


def test_inshop_items_and_published_splits_are_read(inshop: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = DeepFashionInshop(str(inshop))
    catalogue = source.catalogue()
    assert catalogue.column("category").tolist() == ["WOMEN/Dresses/full"] * 3 + ["MEN/Denim/lower"]
    assert catalogue.column("supercategory").tolist() == ["full"] * 3 + ["lower"]
    assert catalogue.column("item").tolist() == ["id_00000002"] * 3 + ["id_00000007"]
    assert catalogue.column("split").tolist() == ["query", "gallery", "gallery", "train"]
    assert catalogue.boxes[0].tolist() == [65, 45, 233, 252]
    assert not caplog.text


def test_images_are_read_from_img_not_img_highres(inshop: Path) -> None:
    source = DeepFashionInshop(str(inshop))
    assert set(column_values(source, "image").values()) == {f"Img/{name}" for name in (FRONT, SIDE, BACK, JEANS)}
    assert source.image(f"Img/{FRONT}").shape == (256, 256, 3)


def test_images_of_unexpected_size_cause_a_warning(inshop: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_images(inshop / "Img", FRONT, size=(75, 110))
    DeepFashionInshop(str(inshop)).list_garments()
    assert "75 x 110 pixels, but boxes refer to images of 256 x 256" in caplog.text


def test_an_item_missing_in_the_item_list_causes_a_warning(inshop: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(inshop / "Anno/list_item_inshop.txt", "", ["id_00000002"])
    assert len(DeepFashionInshop(str(inshop)).list_garments()[0]) == 4
    assert "list_item_inshop.txt: number of missing items: 1" in caplog.text
    assert "first: id_00000007" in caplog.text


@pytest.mark.parametrize(("old", "new", "reason"), [
    (f"{JEANS:<70} 2", f"{JEANS:<70} 4", "clothes_type '4' is not 1, 2 or 3"),
    (f"{JEANS:<70} 2 1 065", f"{JEANS:<70} 2 1 300", "box 300 045 233 252 has no area"),
    (JEANS, "img/other.jpg", "no row in list_bbox_inshop.txt"),
])  # fmt: skip
def test_a_bad_inshop_box_is_skipped_with_its_reason(inshop: Path, old: str, new: str, reason: str) -> None:
    replace_text(inshop / "Anno/list_bbox_inshop.txt", old, new)
    catalogue, skipped = DeepFashionInshop(str(inshop)).list_garments()
    assert catalogue.column("id").tolist() == [FRONT, SIDE, BACK]
    assert skipped[JEANS].startswith(reason)


def test_published_counts_sum_to_the_documented_total() -> None:
    assert DeepFashionInshop.published
    assert sum(DeepFashionInshop.published.counts.values()) == 52_712


def test_each_missing_required_file_raises(inshop: Path) -> None:
    assert_required_files_are_read(inshop, DeepFashionInshop)
