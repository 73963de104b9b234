"""Category and attribute benchmark: rows of the coarse and fine files, and reasons for invalid rows."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fashion_lsh.cli import check
from fashion_lsh.data.datasets.deepfashion.category import DeepFashionCategory, DeepFashionFine
from fashion_lsh.data.datasets.deepfashion.fifty_categories import OFFICIAL_CATEGORIES
from tests.data.datasets.deepfashion.factories import (
    BLOUSE,
    SKIRT,
    SLEEVED,
    TEE,
    assert_required_files_are_read,
    column_values,
    replace_text,
    row,
    save_images,
    write,
)

CLOTHES_TYPES = {"upper": 1, "lower": 2, "full": 3}


def category_lines(categories: Sequence[Any] = OFFICIAL_CATEGORIES) -> list[str]:
    return [f"{category.name:<15} {CLOTHES_TYPES[category.body_part]}" for category in categories]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write coarse annotations of four images: a blouse, a tee with long sleeves, another tee, and a skirt."""
    save_images(tmp_path / "Img", BLOUSE, SLEEVED, TEE, SKIRT)
    coarse = tmp_path / "Anno_coarse"
    write(coarse / "list_category_cloth.txt", "category_name  category_type", category_lines())
    labels = {BLOUSE: 3, SLEEVED: 18, TEE: 18, SKIRT: 33}
    boxes = (row(name, "072", "079", "132", "173") for name in labels)
    write(coarse / "list_category_img.txt", "image_name  category_label", [row(*each) for each in labels.items()])
    write(coarse / "list_bbox.txt", "image_name  x_1  y_1  x_2  y_2", list(boxes))
    splits = ("train", "val", "test", "train")
    statuses = [row(name, word) for name, word in zip(labels, splits, strict=True)]
    write(tmp_path / "Eval" / "list_eval_partition.txt", "image_name  evaluation_status", statuses)
    attributes = ["a-line                       3", "abstract chevron print  1", "long sleeve   3"]
    write(coarse / "list_attr_cloth.txt", "attribute_name  attribute_type", attributes)
    values = {BLOUSE: "-1 -1  1", SLEEVED: "-1  1  1", TEE: " 1  1 -1", SKIRT: "-1 -1 -1"}
    write(coarse / "list_attr_img.txt", "image_name  attribute_labels", [row(*each) for each in values.items()])
    return tmp_path


def test_categories_boxes_groups_and_splits_are_read(root: Path) -> None:
    catalogue = DeepFashionCategory(str(root)).catalogue()
    assert catalogue.column("id").tolist() == [BLOUSE, SLEEVED, TEE, SKIRT]
    assert catalogue.column("image").tolist() == [f"Img/{name}" for name in (BLOUSE, SLEEVED, TEE, SKIRT)]
    assert catalogue.column("category").tolist() == ["Blouse", "Tee/long sleeve", "Tee", "Skirt"]
    assert catalogue.column("supercategory").tolist() == ["upper", "upper", "upper", "lower"]
    assert catalogue.column("split").tolist() == ["train", "val", "query", "train"]
    assert catalogue.column("group").tolist()[0] == "img/Sheer_Blouse"
    assert catalogue.boxes[0].tolist() == [72, 79, 132, 173]
    assert set(catalogue.column("source")) == {"deepfashion_category"}
    assert catalogue.column("main").all()


def test_the_older_folder_anno_is_read(root: Path) -> None:
    (root / "Anno_coarse").rename(root / "Anno")
    assert column_values(DeepFashionCategory(str(root)), "category")[SLEEVED] == "Tee/long sleeve"


def test_an_incomplete_category_list_is_replaced_by_the_official_list(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    incomplete = [
        each for each in OFFICIAL_CATEGORIES if each.name not in ("Cape", "Nightdress", "Shirtdress", "Sundress")
    ]
    write(
        root / "Anno_coarse/list_category_cloth.txt",
        "category_name  category_type",
        category_lines(incomplete),
        count=50,
    )
    replace_text(root / "Anno_coarse/list_category_img.txt", f"{SKIRT:<70} 33", f"{SKIRT:<70} 41")
    assert column_values(DeepFashionCategory(str(root)), "category")[SKIRT] == "Dress"
    assert "46 categories; using the official 50" in caplog.text


def test_official_categories_have_the_documented_numbers() -> None:
    by_number = {number: tuple(each) for number, each in enumerate(OFFICIAL_CATEGORIES, start=1)}
    assert len(by_number) == 50
    assert (by_number[1], by_number[18], by_number[20]) == (
        ("Anorak", "upper"), ("Tee", "upper"), ("Turtleneck", "upper"),
    )  # fmt: skip
    assert (by_number[21], by_number[36]) == (("Capris", "lower"), ("Trunks", "lower"))
    assert (by_number[37], by_number[41], by_number[48]) == (("Caftan", "full"), ("Dress", "full"), ("Romper", "full"))
    assert (by_number[39][0], by_number[44][0], by_number[50][0]) == ("Coat", "Kimono", "Sundress")


def test_a_complete_category_list_with_other_names_is_used_with_a_warning(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    replace_text(root / "Anno_coarse/list_category_cloth.txt", "Blouse ", "Chemise")
    assert column_values(DeepFashionCategory(str(root)), "category")[BLOUSE] == "Chemise"
    assert "list_category_cloth.txt: names differ" in caplog.text


@pytest.mark.parametrize("file", ["list_attr_img.txt", "list_attr_cloth.txt"])
def test_tees_are_one_category_without_attributes(root: Path, file: str, caplog: pytest.LogCaptureFixture) -> None:
    (root / "Anno_coarse" / file).unlink()
    assert column_values(DeepFashionCategory(str(root)), "category")[SLEEVED] == "Tee"
    assert f"no {file}" in caplog.text


def test_attributes_without_long_sleeve_cause_a_warning(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    replace_text(root / "Anno_coarse/list_attr_cloth.txt", "long sleeve", "long sleeved")
    assert column_values(DeepFashionCategory(str(root)), "category")[SLEEVED] == "Tee"
    assert "none of 3 attributes is named 'long sleeve'" in caplog.text


@pytest.mark.parametrize(("file", "old", "new", "reason"), [
    ("Anno_coarse/list_bbox.txt", TEE, "img/Other/1.jpg", "no row in list_bbox.txt"),
    ("Anno_coarse/list_bbox.txt", f"{TEE:<70} 072", f"{TEE:<70} 132", "box 132 079 132 173 has no area"),
    ("Anno_coarse/list_bbox.txt", f"{TEE:<70} 072", f"{TEE:<70} ", "line 5 of list_bbox.txt has 4 cells instead of 5"),
    ("Anno_coarse/list_category_img.txt", f"{TEE:<70} 18", f"{TEE:<70} 51", "category number '51' is not in 1..50"),
    ("Anno_coarse/list_category_img.txt", f"{TEE:<70} 18", f"{TEE:<70} 0", "category number '0' is not in 1..50"),
    ("Anno_coarse/list_attr_img.txt", TEE, "img/Other/1.jpg", "list_attr_img.txt has no row for this Tee"),
    ("Anno_coarse/list_attr_img.txt", f"{TEE:<70}  1", f"{TEE:<70}  ",
     "row of list_attr_img.txt has 2 values instead of 3"),
    ("Eval/list_eval_partition.txt", f"{TEE:<70} test", f"{TEE:<70} exam", "unknown split 'exam'"),
])  # fmt: skip
def test_a_bad_row_is_skipped_with_its_reason(root: Path, file: str, old: str, new: str, reason: str) -> None:
    replace_text(root / file, old, new)
    catalogue, skipped = DeepFashionCategory(str(root)).list_garments()
    assert catalogue.column("id").tolist() == [BLOUSE, SLEEVED, SKIRT]
    assert skipped[TEE] == reason


def test_a_row_missing_in_other_files_is_reported(root: Path) -> None:
    replace_text(root / "Anno_coarse/list_bbox.txt", TEE, "img/Other/1.jpg")
    skipped = DeepFashionCategory(str(root)).list_garments()[1]
    assert skipped["img/Other/1.jpg"] == "no row in list_category_img.txt, list_eval_partition.txt"


def test_a_missing_image_is_skipped(root: Path) -> None:
    (root / "Img" / TEE).unlink()
    source = DeepFashionCategory(str(root))
    assert source.catalogue().column("id").tolist() == [BLOUSE, SLEEVED, SKIRT]
    assert list(source.skipped) == [TEE]


def test_data_without_a_usable_row_raise_with_the_first_reason(root: Path) -> None:
    for name in (BLOUSE, SLEEVED, TEE, SKIRT):
        (root / "Img" / name).unlink()
    with pytest.raises(ValueError, match=r"none of 4 rows .*image not found"):
        DeepFashionCategory(str(root)).catalogue()


def test_a_root_without_annotations_raises(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"no list_category_img\.txt in .*Anno_coarse or .*Anno; set data\.root"
    ):
        DeepFashionCategory(str(tmp_path / "none")).list_garments()


def test_the_partition_of_another_benchmark_raises(root: Path) -> None:
    header = "image_name item_id evaluation_status"
    write(root / "Eval/list_eval_partition.txt", header, [row(BLOUSE, "id_00000001", "train")])
    with pytest.raises(ValueError, match="separate root"):
        DeepFashionCategory(str(root)).list_garments()


def test_the_check_counts_missing_images(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = sorted((root / "Img").rglob("*.jpg"))
    assert check.main(["deepfashion_category", str(root)]) == 0
    before = missing_count(capsys.readouterr().out)
    images[0].unlink()
    check.main(["deepfashion_category", str(root)])
    assert missing_count(capsys.readouterr().out) == before + 1


def missing_count(output: str) -> int:
    match = re.search(r"(\d+) of \d+ images are missing", output)
    assert match
    return int(match[1])


@pytest.fixture
def fine(root: Path) -> Path:
    folder = root / "Anno_fine"
    write(folder / "list_category_cloth.txt", "category_name  category_type", category_lines())
    parts = {"train": [(BLOUSE, 3, 0), (SLEEVED, 18, 1)], "val": [(TEE, 18, 0)], "test": [(SKIRT, 33, 0)]}
    for split, rows in parts.items():
        values = [[sleeves if index == 7 else (index + 1) % 2 for index in range(26)] for _, _, sleeves in rows]
        columns = {
            "": [name for name, _, _ in rows], "_cate": [number for _, number, _ in rows],
            "_bbox": [f"{10 + number} 020 100 200" for number in range(len(rows))],
            "_attr": [" ".join(map(str, each)) for each in values],
        }  # fmt: skip
        for end, cells in columns.items():
            (folder / f"{split}{end}.txt").write_text("".join(f"{cell}\n" for cell in cells))
    return root


def test_fine_files_are_read_line_by_line(fine: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = DeepFashionFine(str(fine))
    assert column_values(source, "category") == {
        SKIRT: "Skirt",
        TEE: "Tee",
        BLOUSE: "Blouse",
        SLEEVED: "Tee/long sleeve",
    }
    assert column_values(source, "split") == {SKIRT: "query", TEE: "val", BLOUSE: "train", SLEEVED: "train"}
    assert column_values(source, "x1") == {SKIRT: 10, TEE: 10, BLOUSE: 10, SLEEVED: 11}
    assert column_values(source, "group")[TEE] == "img/B_Tee"
    assert set(column_values(source, "source").values()) == {"deepfashion_fine"}
    assert "is attribute 8" in caplog.text


def test_the_index_of_long_sleeve_is_read_from_the_attribute_list(fine: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = [f"{'long_sleeve' if index == 8 else f'other_{index}'}  2" for index in range(26)]
    write(fine / "Anno_fine/list_attr_cloth.txt", "attribute_name  attribute_type", names)
    assert column_values(DeepFashionFine(str(fine)), "category")[TEE] == "Tee/long sleeve"  # value at index 8 is 1
    assert "assuming" not in caplog.text


@pytest.mark.parametrize("end", ["_cate", "_bbox", "_attr"])
def test_a_file_with_a_missing_line_raises(fine: Path, end: str) -> None:
    path = fine / f"Anno_fine/train{end}.txt"
    path.write_text(path.read_text().splitlines(keepends=True)[1])
    with pytest.raises(ValueError, match=rf"train{end}\.txt: 1 lines, but train\.txt has 2"):
        DeepFashionFine(str(fine)).list_garments()


def test_a_wrong_number_of_attributes_raises(fine: Path) -> None:
    (fine / "Anno_fine/val_attr.txt").write_text(" ".join(["-1"] * 1000) + "\n")
    with pytest.raises(ValueError, match=r"val_attr\.txt: line 1 has 1000 values instead of 26"):
        DeepFashionFine(str(fine)).list_garments()


def test_tees_are_one_category_without_fine_attributes(fine: Path, caplog: pytest.LogCaptureFixture) -> None:
    (fine / "Anno_fine/train_attr.txt").unlink()
    assert column_values(DeepFashionFine(str(fine)), "category")[SLEEVED] == "Tee"
    assert "no train_attr.txt" in caplog.text


def test_an_image_in_two_fine_splits_stays_in_the_test_split(fine: Path) -> None:
    replace_text(fine / "Anno_fine/train.txt", BLOUSE, SKIRT)
    catalogue, skipped = DeepFashionFine(str(fine)).list_garments()
    assert dict(zip(catalogue.column("id"), catalogue.column("split"), strict=True))[SKIRT] == "query"
    assert skipped == {f"{SKIRT} (line 1 of train.txt)": "already listed in test.txt"}


@pytest.mark.parametrize(("source", "total"), [(DeepFashionCategory, 289_222), (DeepFashionFine, 20_000)])
def test_published_counts_sum_to_the_documented_total(source: Any, total: int) -> None:
    assert sum(source.published.counts.values()) == total


@pytest.mark.parametrize(("name", "source"), [("root", DeepFashionCategory), ("fine", DeepFashionFine)])
def test_each_missing_required_file_raises(request: pytest.FixtureRequest, name: str, source: Any) -> None:
    assert_required_files_are_read(request.getfixturevalue(name), source)
