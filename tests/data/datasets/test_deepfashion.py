"""DeepFashion's first three benchmarks: their text files, quirks included, become rows; what is bad is named."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fashion_lsh.cli import check
from fashion_lsh.data.datasets.deepfashion import files as files
from fashion_lsh.data.datasets.deepfashion.category import DeepFashionCategory, DeepFashionFine
from fashion_lsh.data.datasets.deepfashion.consumer import DeepFashionConsumer
from fashion_lsh.data.datasets.deepfashion.fifty_categories import OFFICIAL_CATEGORIES
from fashion_lsh.data.datasets.deepfashion.image_paths import find_images
from fashion_lsh.data.datasets.deepfashion.inshop import DeepFashionInshop

BLOUSE, SLEEVED, TEE, SKIRT = (f"img/{name}/img_00000001.jpg" for name in ("Sheer_Blouse", "A_Tee", "B_Tee", "C_Skirt"))
FRONT, SIDE, BACK = (f"img/WOMEN/Dresses/id_00000002/{name}.jpg" for name in ("02_1_front", "02_2_side", "03_3_back"))
JEANS = "img/MEN/Denim/id_00000007/01_1_front.jpg"
STREET, SHOP = (f"img/TOPS/T_Shirt/id_00000001/{name}_01.jpg" for name in ("comsumer", "shop"))
TYPES = {"upper": 1, "lower": 2, "full": 3}


def write(path: Path, header: str, rows: Sequence[str], count: int | None = None, end: str = "\n") -> Path:
    """A file as published: count, names of columns, rows, some of which end in blanks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    padded = [row + "  " * (number % 2) for number, row in enumerate(rows)]
    top = [str(len(rows) if count is None else count), *([header] if header else [])]
    path.write_bytes("".join(line + end for line in [*top, *padded]).encode())
    return path


def row(name: str, *cells: Any) -> str:
    return f"{name:<70} {' '.join(map(str, cells))}"


def save_images(root: Path, *names: str, size: tuple[int, int] = (256, 256)) -> None:
    for number, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (number, 9, 40 * number)).save(root / name)


def categories(names: Sequence[Any] = OFFICIAL_CATEGORIES) -> list[str]:
    return [f"{each.name:<15} {TYPES[each.kind]}" for each in names]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four pictures of the benchmark of categories, two of them tees, one of those with long sleeves."""
    save_images(tmp_path / "Img", BLOUSE, SLEEVED, TEE, SKIRT)
    coarse = tmp_path / "Anno_coarse"
    write(coarse / "list_category_cloth.txt", "category_name  category_type", categories())
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


def replace_text(path: Path, old: str, new: str) -> None:
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new))


def column_values(source: Any, column: str) -> dict[str, Any]:
    catalogue = source.list_garments()[0]
    return dict(zip(catalogue.column("id"), catalogue.column(column), strict=True))


# the text files


def test_a_wrong_row_count_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.txt", "image_name item", [row(FRONT, "a"), row(SIDE, "b")], count=3)
    assert files.read_table(path, ("image_name", "item")).rows == {FRONT: ("a",), SIDE: ("b",)}
    assert "a.txt has 2 rows, its first line says 3" in caplog.text


def test_the_right_row_count_does_not_warn(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.txt", "image_name item", [row(FRONT, "a"), "", row(SIDE, "b")], count=2)
    assert len(files.read_table(path, ("image_name", "item")).rows) == 2
    assert not caplog.text


@pytest.mark.parametrize(("content", "reason"), [
    ("image_name item\nimg/a.jpg 1\n", "its first line 'image_name item' is no count of rows"),
    ("1\nimg/a.jpg 1\n", "its second line 'img/a.jpg 1' names no columns"),
    ("1\n", "its second line '' names no columns"), ("", "its first line '' is no count of rows"),
    ("1\nimage_name item status\nimg/a.jpg 1 2\n", "its columns are .* several benchmarks have files of this name"),
    ("1\nname thing\nimg/a.jpg 1\n", "its columns are called name thing, expected are image_name item"),
])  # fmt: skip
def test_a_file_of_another_format_raises(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(ValueError, match=rf"a\.txt: {reason}"):
        files.read_table(tmp_path / "a.txt", ("image_name", "item"))


def test_columns_are_matched_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.txt", "item  Image_Name", [f"7 {FRONT}"])
    assert files.read_table(path, ("image_name", "item")).rows == {FRONT: ("7",)}
    assert not caplog.text


def test_columns_with_other_names_are_read_in_order_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "a.txt", "image_name  x1", [f"{FRONT} 7"])
    assert files.read_table(path, ("image_name", "x_1")).rows == {FRONT: ("7",)}
    assert "its columns are called image_name x1, expected are image_name x_1" in caplog.text


def test_rows_of_another_length_and_conflicting_rows_are_reported(tmp_path: Path) -> None:
    rows = [row(FRONT, 1), row(SIDE), row(BACK, 2), row(BACK, 3), row(JEANS, 4), row(JEANS, 4)]
    table = files.read_table(write(tmp_path / "a.txt", "image_name item", rows), ("image_name", "item"))
    assert table.rows == {FRONT: ("1",), JEANS: ("4",)}
    assert table.bad == {
        SIDE: "line 4 of a.txt has 1 cells, not 2", BACK: "it stands twice in a.txt: 2, and 3",
    }  # fmt: skip


def test_item_lists_have_no_header(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "list_item_inshop.txt", "", ["id_00000001", "id_00000002"], end="\r\n")
    assert files.read_list(path) == ["id_00000001", "id_00000002"]
    assert not caplog.text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_chinese_names_are_read_in_utf8_and_gb18030(
    tmp_path: Path, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "list_attr_type.txt"
    path.write_bytes("1\r\nname type\r\n长袖 上衣  3\r\n".encode(encoding))
    assert files.read_names(path) == [("长袖 上衣", "3")]
    assert ("read as GB18030" in caplog.text) == (encoding == "gb18030")


def test_another_encoding_raises(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"1\nname type\n\xff\xff 3\n")
    with pytest.raises(ValueError, match=r"a\.txt is neither in UTF-8 nor in GB18030"):
        files.read_names(tmp_path / "a.txt")


def test_a_name_without_type_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.txt", "name type", ["a-line 3", "abstract"])
    assert files.read_names(path) == [("a-line", "3"), ("abstract", "")]
    assert "1 rows have no type behind their name, the first is 'abstract'" in caplog.text


def test_each_bad_row_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "name type", ["a 3", "b", "b 3 4"])
    rows, bad = files.read_rows(path, ("name", "type"))
    assert rows == [("a", "3")]
    assert list(bad) == ["b", "b (line 5)"]


def test_the_check_counts_missing_images(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = sorted((root / "Img").rglob("*.jpg"))
    assert check.main(["deepfashion_category", str(root)]) == 0
    before = missing(capsys.readouterr().out)
    there[0].unlink()
    check.main(["deepfashion_category", str(root)])
    assert missing(capsys.readouterr().out) == before + 1


def missing(output: str) -> int:
    found = re.search(r"(\d+) of \d+ pictures are missing", output)
    assert found
    return int(found[1])


WORD = st.text(st.sampled_from("abcXYZ059_-.'é袖"), min_size=1, max_size=12)


@given(
    rows=st.dictionaries(WORD.map("img/{}".format), st.tuples(WORD, WORD), min_size=1, max_size=8),
    end=st.sampled_from(["\n", "\r\n"]), separator=st.sampled_from([" ", "   ", "\t"]),
)  # fmt: skip
def test_tables_round_trip(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, tuple[str, str]], end: str, separator: str
) -> None:
    lines = [separator.join([name, *cells]) for name, cells in rows.items()]
    path = write(tmp_path_factory.mktemp("table") / "a.txt", "image_name b c", lines, end=end)
    assert files.read_table(path, ("image_name", "b", "c")) == files.Table(rows, {})


@given(st.lists(st.lists(st.sampled_from(["-1", "1", "0"]), min_size=4, max_size=4), min_size=1, max_size=6),
       st.integers(0, 3), st.sets(st.integers(0, 5)))  # fmt: skip
def test_read_cell_equals_the_column_of_the_whole_table(
    tmp_path_factory: pytest.TempPathFactory, values: list[list[str]], place: int, wanted: set[int]
) -> None:
    names = [f"img/{number}.jpg" for number in range(len(values))]
    lines = [row(name, *each) for name, each in zip(names, values, strict=True)]
    path = write(tmp_path_factory.mktemp("cells") / "a.txt", "image_name labels", lines)
    table = files.read_cell(path, place, 4, {f"img/{number}.jpg".encode() for number in wanted})
    whole = files.read_table(write(path.with_name("b.txt"), "image_name a b c d", lines), ("image_name", *"abcd"))
    assert table.rows == {names[each]: (whole.rows[names[each]][place],) for each in wanted if each < len(names)}


# where pictures lie


@pytest.mark.parametrize("folder", ["Img", "", "img-001", "Img/img-002", "Img-20230101T000000Z-001/Img"])
def test_images_are_found_in_any_layout(tmp_path: Path, folder: str) -> None:
    save_images(tmp_path / folder, BLOUSE)
    found, gone = find_images(tmp_path, [BLOUSE])
    assert found == {BLOUSE: f"{folder}/{BLOUSE}".lstrip("/")}
    assert not gone


def test_partial_downloads_are_combined(tmp_path: Path) -> None:
    save_images(tmp_path / "img-001", BLOUSE)
    save_images(tmp_path / "img-002", TEE.removeprefix("img/"))
    found, _ = find_images(tmp_path, [BLOUSE, TEE])
    assert found == {BLOUSE: f"img-001/{BLOUSE}", TEE: f"img-002/{TEE.removeprefix('img/')}"}


def test_file_names_match_case_insensitively_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_images(tmp_path / "Img", "img/sheer_blouse/img_00000001.JPG", TEE)
    found, gone = find_images(tmp_path, [BLOUSE, TEE])
    assert (found[BLOUSE], gone) == ("Img/img/sheer_blouse/img_00000001.JPG", {})
    assert "1 pictures are found by names that differ from the lists in case alone" in caplog.text


def test_missing_images_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_images(tmp_path / "Img", TEE)
    assert find_images(tmp_path, [BLOUSE, TEE])[1] == {BLOUSE: f"no such picture: looked for in {tmp_path / 'Img/img'}"}
    assert "1 of 2 pictures of the lists are not below" in caplog.text


def test_a_missing_image_folder_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no folder img or Img in .*: unpack img\.zip into"):
        find_images(tmp_path, [BLOUSE])


# categories and attributes


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


def test_a_list_of_46_categories_is_read_by_the_official_50(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    incomplete = [
        each for each in OFFICIAL_CATEGORIES if each.name not in ("Cape", "Nightdress", "Shirtdress", "Sundress")
    ]
    write(
        root / "Anno_coarse/list_category_cloth.txt", "category_name  category_type", categories(incomplete), count=50
    )
    replace_text(root / "Anno_coarse/list_category_img.txt", f"{SKIRT:<70} 33", f"{SKIRT:<70} 41")
    assert column_values(DeepFashionCategory(str(root)), "category")[SKIRT] == "Dress"
    assert "has 46 categories: numbers are read by the official 50" in caplog.text


def test_official_categories_have_the_documented_numbers() -> None:
    by_number = {number: tuple(each) for number, each in enumerate(OFFICIAL_CATEGORIES, start=1)}
    assert len(by_number) == 50
    assert (by_number[1], by_number[18], by_number[20]) == (
        ("Anorak", "upper"), ("Tee", "upper"), ("Turtleneck", "upper"),
    )  # fmt: skip
    assert (by_number[21], by_number[36]) == (("Capris", "lower"), ("Trunks", "lower"))
    assert (by_number[37], by_number[41], by_number[48]) == (("Caftan", "full"), ("Dress", "full"), ("Romper", "full"))
    assert (by_number[39][0], by_number[44][0], by_number[50][0]) == ("Coat", "Kimono", "Sundress")


def test_a_full_list_with_other_names_is_used_with_a_warning(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    replace_text(root / "Anno_coarse/list_category_cloth.txt", "Blouse ", "Chemise")
    assert column_values(DeepFashionCategory(str(root)), "category")[BLOUSE] == "Chemise"
    assert "names other categories than the official ones" in caplog.text


@pytest.mark.parametrize("gone", ["list_attr_img.txt", "list_attr_cloth.txt"])
def test_without_attributes_tees_are_one_category(root: Path, gone: str, caplog: pytest.LogCaptureFixture) -> None:
    (root / "Anno_coarse" / gone).unlink()
    assert column_values(DeepFashionCategory(str(root)), "category")[SLEEVED] == "Tee"
    assert f"long-sleeved tees are not told apart: no {gone}" in caplog.text


def test_attributes_without_long_sleeve_warn(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    replace_text(root / "Anno_coarse/list_attr_cloth.txt", "long sleeve", "long sleeved")
    assert column_values(DeepFashionCategory(str(root)), "category")[SLEEVED] == "Tee"
    assert "none of 3 attributes is called long sleeve" in caplog.text


@pytest.mark.parametrize(("file", "old", "new", "reason"), [
    ("Anno_coarse/list_bbox.txt", TEE, "img/Other/1.jpg", "it has no row in list_bbox.txt"),
    ("Anno_coarse/list_bbox.txt", f"{TEE:<70} 072", f"{TEE:<70} 132", "its box 132 079 132 173 is no box with an area"),
    ("Anno_coarse/list_bbox.txt", f"{TEE:<70} 072", f"{TEE:<70} ", "line 5 of list_bbox.txt has 4 cells, not 5"),
    ("Anno_coarse/list_category_img.txt", f"{TEE:<70} 18", f"{TEE:<70} 51", "its category '51' is none of 1 to 50"),
    ("Anno_coarse/list_category_img.txt", f"{TEE:<70} 18", f"{TEE:<70} 0", "its category '0' is none of 1 to 50"),
    ("Anno_coarse/list_attr_img.txt", TEE, "img/Other/1.jpg", "it is a Tee without a row in list_attr_img.txt"),
    ("Anno_coarse/list_attr_img.txt", f"{TEE:<70}  1", f"{TEE:<70}  ",
     "its row of list_attr_img.txt has 2 values, not 3"),
    ("Eval/list_eval_partition.txt", f"{TEE:<70} test", f"{TEE:<70} exam", "its split 'exam' is unknown"),
])  # fmt: skip
def test_a_bad_row_is_skipped_with_its_reason(root: Path, file: str, old: str, new: str, reason: str) -> None:
    replace_text(root / file, old, new)
    catalogue, left_out = DeepFashionCategory(str(root)).list_garments()
    assert catalogue.column("id").tolist() == [BLOUSE, SLEEVED, SKIRT]
    assert left_out[TEE] == reason


def test_a_row_missing_in_other_files_is_reported(root: Path) -> None:
    replace_text(root / "Anno_coarse/list_bbox.txt", TEE, "img/Other/1.jpg")
    left_out = DeepFashionCategory(str(root)).list_garments()[1]
    assert left_out["img/Other/1.jpg"] == "it has no row in list_category_img.txt, list_eval_partition.txt"


def test_a_missing_image_is_skipped(root: Path) -> None:
    (root / "Img" / TEE).unlink()
    source = DeepFashionCategory(str(root))
    assert source.catalogue().column("id").tolist() == [BLOUSE, SLEEVED, SKIRT]
    assert list(source.skipped) == [TEE]


def test_no_usable_row_raises_with_the_first_reason(root: Path) -> None:
    for name in (BLOUSE, SLEEVED, TEE, SKIRT):
        (root / "Img" / name).unlink()
    with pytest.raises(ValueError, match=r"none of the 4 rows of .* is of use; the first: no such picture"):
        DeepFashionCategory(str(root)).catalogue()


def test_a_wrong_root_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no list_category_img\.txt in .*Anno_coarse or .*Anno: give"):
        DeepFashionCategory(str(tmp_path / "none")).list_garments()


def test_the_partition_of_another_benchmark_raises(root: Path) -> None:
    header = "image_name item_id evaluation_status"
    write(root / "Eval/list_eval_partition.txt", header, [row(BLOUSE, "id_00000001", "train")])
    with pytest.raises(ValueError, match="give each a root of its own"):
        DeepFashionCategory(str(root)).list_garments()


# its part that was annotated anew


@pytest.fixture
def fine(root: Path) -> Path:
    folder = root / "Anno_fine"
    write(folder / "list_category_cloth.txt", "category_name  category_type", categories())
    parts = {"train": [(BLOUSE, 3, 0), (SLEEVED, 18, 1)], "val": [(TEE, 18, 0)], "test": [(SKIRT, 33, 0)]}
    for split, rows in parts.items():
        values = [[long if place == 7 else (place + 1) % 2 for place in range(26)] for _, _, long in rows]
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
    assert "it is taken as the 8th" in caplog.text


def test_the_index_of_long_sleeve_is_read_from_the_attribute_list(fine: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = [f"{'long_sleeve' if place == 8 else f'other_{place}'}  2" for place in range(26)]
    write(fine / "Anno_fine/list_attr_cloth.txt", "attribute_name  attribute_type", names)
    assert column_values(DeepFashionFine(str(fine)), "category")[TEE] == "Tee/long sleeve"  # the ninth value is 1
    assert "taken as the 8th" not in caplog.text


@pytest.mark.parametrize("end", ["_cate", "_bbox", "_attr"])
def test_a_file_with_a_missing_line_raises(fine: Path, end: str) -> None:
    path = fine / f"Anno_fine/train{end}.txt"
    path.write_text(path.read_text().splitlines(keepends=True)[1])
    with pytest.raises(ValueError, match=rf"train{end}\.txt has 1 lines, train\.txt has 2: they belong together"):
        DeepFashionFine(str(fine)).list_garments()


def test_attributes_of_another_width_raise(fine: Path) -> None:
    (fine / "Anno_fine/val_attr.txt").write_text(" ".join(["-1"] * 1000) + "\n")
    with pytest.raises(ValueError, match=r"val_attr\.txt: line 1 has 1000 values, not 26"):
        DeepFashionFine(str(fine)).list_garments()


def test_without_fine_attributes_tees_are_one_category(fine: Path, caplog: pytest.LogCaptureFixture) -> None:
    (fine / "Anno_fine/train_attr.txt").unlink()
    assert column_values(DeepFashionFine(str(fine)), "category")[SLEEVED] == "Tee"
    assert "no train_attr.txt" in caplog.text


def test_an_image_in_two_fine_splits_stays_in_the_test_split(fine: Path) -> None:
    replace_text(fine / "Anno_fine/train.txt", BLOUSE, SKIRT)
    catalogue, left_out = DeepFashionFine(str(fine)).list_garments()
    assert dict(zip(catalogue.column("id"), catalogue.column("split"), strict=True))[SKIRT] == "query"
    assert left_out == {f"{SKIRT} (line 1 of train.txt)": "it was listed before, as test"}


# a shop's own pictures


@pytest.fixture
def inshop(tmp_path: Path) -> Path:
    """Two items, one of them in two series; the pictures of high resolution are there, too."""
    annotations = {FRONT: (3, "query"), SIDE: (3, "gallery"), BACK: (3, "gallery"), JEANS: (2, "train")}
    save_images(tmp_path / "Img", *annotations)
    save_images(tmp_path / "Img", *(name.replace("img/", "img_highres/", 1) for name in annotations), size=(75, 110))
    rows = [row(name, name.split("/")[3], status) for name, (_, status) in annotations.items()]
    write(tmp_path / "Eval/list_eval_partition.txt", "image_name item_id evaluation_status", rows)
    boxes = [row(name, kind, 1, "065", "045", "233", "252") for name, (kind, _) in annotations.items()]
    header = "image_name  clothes_type  pose_type  x_1  y_1  x_2  y_2"
    write(tmp_path / "Anno/list_bbox_inshop.txt", header, boxes)
    write(tmp_path / "Anno/list_item_inshop.txt", "", ["id_00000002", "id_00000007"])
    return tmp_path


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


def test_images_of_another_size_warn(inshop: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_images(inshop / "Img", FRONT, size=(75, 110))
    DeepFashionInshop(str(inshop)).list_garments()
    assert "has 75 x 110 pixels: boxes belong to pictures of 256 x 256" in caplog.text


def test_an_item_missing_in_the_item_list_warns(inshop: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(inshop / "Anno/list_item_inshop.txt", "", ["id_00000002"])
    assert len(DeepFashionInshop(str(inshop)).list_garments()[0]) == 4
    assert "1 items are not in" in caplog.text
    assert "the first is id_00000007" in caplog.text


@pytest.mark.parametrize(("old", "new", "reason"), [
    (f"{JEANS:<70} 2", f"{JEANS:<70} 4", "its clothes_type '4' is none of 1, 2, 3"),
    (f"{JEANS:<70} 2 1 065", f"{JEANS:<70} 2 1 300", "its box 300 045 233 252 is no box with an area"),
    (JEANS, "img/other.jpg", "it has no row in list_bbox_inshop.txt"),
])  # fmt: skip
def test_a_bad_inshop_box_is_skipped_with_its_reason(inshop: Path, old: str, new: str, reason: str) -> None:
    replace_text(inshop / "Anno/list_bbox_inshop.txt", old, new)
    catalogue, left_out = DeepFashionInshop(str(inshop)).list_garments()
    assert catalogue.column("id").tolist() == [FRONT, SIDE, BACK]
    assert left_out[JEANS].startswith(reason)


# consumers' pictures


def of(name: str, number: int, item: int) -> str:
    return f"img/DRESSES/Dress/id_{item:08}/{name}_{number:02}.jpg"


TRAIN, VAL = (of("comsumer", 1, 5), of("shop", 1, 5)), (of("comsumer", 1, 6), of("shop", 1, 6))
SECOND = STREET.replace("_01.jpg", "_02.jpg")
PAIRS = [(STREET, SHOP, 1, "test"), (SECOND, SHOP, 1, "test"), (*TRAIN, 5, "train"), (*VAL, 6, "val")]


@pytest.fixture
def consumer(tmp_path: Path) -> Path:
    """Three items; the shop picture of the first stands in two pairs."""
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
    assert "gallery=val_test: searched are the shop pictures of val and test" in caplog.text
    DeepFashionConsumer(str(consumer)).list_garments()
    assert "gallery=test: searched are the shop pictures of test" in caplog.text
    with pytest.raises(ValueError, match="gallery='all' is unknown: give test or val_test"):
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
    assert "1 pictures are in pairs of several splits" in caplog.text


def test_a_source_type_that_contradicts_the_file_name_warns(consumer: Path, caplog: pytest.LogCaptureFixture) -> None:
    replace_text(consumer / "Anno/list_bbox_consumer2shop.txt", f"{SHOP:<70} 1 1", f"{SHOP:<70} 1 2")
    assert column_values(DeepFashionConsumer(str(consumer)), "view")[SHOP] == "shop"
    assert "1 pictures have a source_type" in caplog.text


@pytest.mark.parametrize(("file", "old", "new", "name", "reason"), [
    ("Eval/list_eval_partition.txt", f"{SECOND:<70} {SHOP:<70} id_00000001", f"{SECOND:<70} {SHOP:<70} id_00000009",
     SHOP, "it stands in pairs of two items, id_00000001 and id_00000009"),
    ("Eval/list_eval_partition.txt", "id_00000006 val", "id_00000006 exam", VAL[1],
     "a pair of it has the unknown split 'exam'"),
    ("Eval/list_eval_partition.txt", "id_00000006 val", "id_00000006", VAL[0],
     "line 6 of list_eval_partition.txt has 3 cells, not 4"),
    ("Eval/list_eval_partition.txt", f"{SECOND:<70} {SHOP:<70} id_00000001 test", f"{SHOP} test",
     f"a pair of {SHOP}", "line 4 of list_eval_partition.txt has 2 cells, not 4"),
    ("Anno/list_bbox_consumer2shop.txt", f"{SHOP:<70} 1", f"{SHOP:<70} 9", SHOP,
     "its clothes_type '9' is none of 1, 2, 3, or it does not lie in img/<top>/<folder>/<item>"),
])  # fmt: skip
def test_a_bad_pair_or_box_is_skipped_with_its_reason(
    consumer: Path, file: str, old: str, new: str, name: str, reason: str
) -> None:
    replace_text(consumer / file, old, new)
    catalogue, left_out = DeepFashionConsumer(str(consumer)).list_garments()
    assert left_out[name] == reason
    assert not set(catalogue.column("id")) & set(left_out)


@pytest.mark.parametrize(("source", "total"), [
    (DeepFashionCategory, 289_222), (DeepFashionFine, 20_000), (DeepFashionInshop, 52_712),
])  # fmt: skip
def test_published_counts_sum_to_the_documented_total(source: Any, total: int) -> None:
    assert sum(source.published.counts.values()) == total


@pytest.mark.parametrize(("name", "source"), [
    ("root", DeepFashionCategory), ("fine", DeepFashionFine), ("inshop", DeepFashionInshop),
    ("consumer", DeepFashionConsumer),
])  # fmt: skip
def test_listing_raises_without_any_required_file(request: pytest.FixtureRequest, name: str, source: Any) -> None:
    folder = request.getfixturevalue(name)
    for part in source.expected:
        found = list(folder.glob(part.pattern))
        if not part.required:
            continue
        assert found, part
        for path in found:
            path.rename(path.with_name(f"gone_{path.name}"))
        with pytest.raises(FileNotFoundError):
            source(str(folder)).list_garments()
        for path in found:
            path.with_name(f"gone_{path.name}").rename(path)
