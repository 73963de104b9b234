"""FashionAI reader: attribute tables without a header, key-point tables with a header, and several releases."""

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets import fashionai
from fashion_lsh.data.datasets.fashionai import FashionAI

A, B, C = (letter * 32 for letter in "abc")  # image names
SKIRT, COAT = "Images/skirt_length_labels", "Images/coat_length_labels"
KEY_POINT_HEADER = "image_id,image_category,neckline_left,neckline_right,hemline_left,hemline_right"
UNDEFINED = "-1_-1_-1"  # key point without coordinates


def save_images(release: Path, *paths: str) -> None:
    for path in paths:
        (release / path).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(list(f"{release.name}/{path}".encode())).integers(0, 256, (80, 60, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(release / path)


def write_table(path: Path, *lines: str, end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write the base and warm-up attribute releases, which list one path in common, and a key-point release."""
    save_images(tmp_path / "base", f"{SKIRT}/{A}.jpg", f"{COAT}/{B}.jpg")
    write_table(
        tmp_path / "base" / "Annotations" / "label.csv",
        f"{SKIRT}/{A}.jpg,skirt_length_labels,nnnynn", f"{COAT}/{B}.jpg,coat_length_labels,nmymnnnn",
    )  # fmt: skip
    save_images(tmp_path / "web", f"{SKIRT}/{A}.jpg", f"{SKIRT}/{C}.jpg")
    write_table(
        tmp_path / "web" / "Annotations" / "skirt_length_labels.csv",
        f"{SKIRT}/{A}.jpg,skirt_length_labels,nnnynn", f"{SKIRT}/{C}.jpg,skirt_length_labels,ynnnnn",
    )  # fmt: skip
    save_images(tmp_path / "train", f"Images/dress/{A}.jpg")
    write_table(
        tmp_path / "train" / "Annotations" / "train.csv", KEY_POINT_HEADER,
        f"Images/dress/{A}.jpg,dress,10_20_1,{UNDEFINED},5_70_0,40_60_1",
    )  # fmt: skip
    return tmp_path


def column_by_id(catalogue: Catalogue, name: str) -> dict[str, Any]:
    return dict(zip(catalogue.column("id"), catalogue.column(name), strict=True))


def test_both_contests_are_read_into_one_catalogue(root: Path) -> None:
    source = FashionAI(str(root))
    catalogue = source.catalogue()
    assert column_by_id(catalogue, "category") == {
        f"attributes/{SKIRT}/{A}.jpg": "skirt_length", f"attributes/{COAT}/{B}.jpg": "coat_length",
        f"attributes/{SKIRT}/{C}.jpg": "skirt_length", f"key_points/Images/dress/{A}.jpg": "dress",
    }  # fmt: skip
    assert column_by_id(catalogue, "image") == {
        f"attributes/{SKIRT}/{A}.jpg": f"base/{SKIRT}/{A}.jpg", f"attributes/{COAT}/{B}.jpg": f"base/{COAT}/{B}.jpg",
        f"attributes/{SKIRT}/{C}.jpg": f"web/{SKIRT}/{C}.jpg",
        f"key_points/Images/dress/{A}.jpg": f"train/Images/dress/{A}.jpg",
    }  # fmt: skip
    assert source.image(f"web/{SKIRT}/{C}.jpg").shape == (80, 60, 3)
    assert set(catalogue.column("split")) == {""}
    assert set(catalogue.column("source")) == {"fashionai"}


def test_attribute_rows_have_no_box_and_key_point_rows_have_a_bounding_box(root: Path) -> None:
    catalogue = FashionAI(str(root)).catalogue()
    has_no_box = np.isnan(catalogue.boxes).all(axis=1)
    assert dict(zip(catalogue.column("category"), has_no_box, strict=True)) == {
        "skirt_length": True, "coat_length": True, "dress": False,
    }  # fmt: skip
    assert catalogue.boxes[~has_no_box].tolist() == [
        [5, 20, 40, 70]
    ]  # bounding box of the visible and hidden points, without the undefined point


def test_a_path_in_two_releases_is_kept_once(root: Path) -> None:
    source = FashionAI(str(root))
    source.catalogue()
    location = "web/Annotations/skirt_length_labels.csv, row 1"
    assert source.skipped == {
        f"attributes/{SKIRT}/{A}.jpg ({location})": (
            f"{location}: same path as base/Annotations/label.csv, row 1, which is kept"
        )
    }


def test_rows_without_a_label_are_skipped(root: Path) -> None:
    save_images(root / "rank", f"{COAT}/{C}.jpg")
    write_table(root / "rank" / "Tests" / "question.csv", f"{COAT}/{C}.jpg,coat_length_labels,?")
    source = FashionAI(str(root))
    assert f"attributes/{COAT}/{C}.jpg" not in source.catalogue().column("id")
    name = f"attributes/{COAT}/{C}.jpg"
    assert source.skipped[name] == "rank/Tests/question.csv, row 1: no label (value '?')"


def test_a_labelled_row_is_kept_after_an_unlabelled_row(root: Path) -> None:
    save_images(root / "rank", f"{COAT}/{C}.jpg")
    write_table(root / "rank" / "Tests" / "answer_z.csv", f"{COAT}/{C}.jpg,coat_length_labels,nnynnnnn")
    write_table(root / "rank" / "Tests" / "answer_a.csv", f"{COAT}/{C}.jpg,coat_length_labels,?")
    source = FashionAI(str(root))
    assert column_by_id(source.catalogue(), "image")[f"attributes/{COAT}/{C}.jpg"] == f"rank/{COAT}/{C}.jpg"
    assert f"attributes/{COAT}/{C}.jpg (rank/Tests/answer_a.csv, row 1)" in source.skipped


def test_macos_resource_files_are_ignored(root: Path) -> None:
    before = FashionAI(str(root)).catalogue().column("id").tolist()
    (root / "base" / SKIRT / f"._{A}.jpg").write_bytes(b"\0\5\26\7")
    (root / "base" / "Annotations" / "._label.csv").write_bytes(b"\0\5\26\7\xff")
    source = FashionAI(str(root))
    assert source.catalogue().column("id").tolist() == before
    assert not any("._" in name + reason for name, reason in source.skipped.items())


def test_windows_line_ends_and_byte_order_marks_are_read(root: Path) -> None:
    before = FashionAI(str(root)).catalogue()
    for path in root.rglob("*.csv"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert FashionAI(str(root)).catalogue().checksum == before.checksum


def test_the_root_can_be_one_release(root: Path) -> None:
    catalogue = FashionAI(str(root / "base")).catalogue()
    assert catalogue.column("image").tolist() == [f"{SKIRT}/{A}.jpg", f"{COAT}/{B}.jpg"]


def test_releases_can_be_symlinks(root: Path) -> None:
    (root / "here").mkdir()
    (root / "here" / "web").symlink_to(root / "web")
    assert len(FashionAI(str(root / "here")).catalogue()) == 2


def test_missing_images_are_reported_with_their_path(root: Path) -> None:
    (root / "web" / "Images").rename(root / "web" / "Pictures")
    source = FashionAI(str(root))
    source.catalogue()
    assert source.skipped[f"attributes/{SKIRT}/{C}.jpg"].endswith(f"{root}/web/{SKIRT}/{C}.jpg: no such file")


def test_image_folders_are_not_searched_for_tables(root: Path) -> None:
    write_table(root / "base" / "Images" / "more.csv", f"{SKIRT}/{B}.jpg,skirt_length_labels,nnnynn")
    source = FashionAI(str(root))
    source.catalogue()
    assert f"attributes/{SKIRT}/{B}.jpg" not in source.skipped


def test_a_table_can_be_next_to_its_image_folder(root: Path) -> None:
    save_images(root / "test", f"Images/skirt/{B}.jpg")
    write_table(
        root / "test" / "points.csv",
        KEY_POINT_HEADER,
        f"Images/skirt/{B}.jpg,skirt,{UNDEFINED},{UNDEFINED},5_70_0,40_60_1",
    )
    catalogue = FashionAI(str(root)).catalogue()
    assert column_by_id(catalogue, "image")[f"key_points/Images/skirt/{B}.jpg"] == f"test/Images/skirt/{B}.jpg"


@pytest.mark.parametrize(("cells", "reason"), [
    ([UNDEFINED] * 4, "the bounding box of 0 key points has no area"),
    (["10_20_1", UNDEFINED, UNDEFINED, UNDEFINED], "the bounding box of 1 key points has no area"),
    (["10_20_1", UNDEFINED, UNDEFINED, "10_50_1"], "the bounding box of 2 key points has no area"),
    (["10_20_1", "10-20-1"], "'10-20-1' is not a key point like 232_100_1"),
    ([], "the bounding box of 0 key points has no area"),  # rows of the published test.csv end after the category
])  # fmt: skip
def test_key_points_without_a_box_are_skipped(root: Path, cells: list[str], reason: str) -> None:
    save_images(root / "train", f"Images/skirt/{B}.jpg")
    with (root / "train" / "Annotations" / "train.csv").open("a") as file:
        file.write(",".join([f"Images/skirt/{B}.jpg", "skirt", *cells]) + "\n")
    source = FashionAI(str(root))
    assert "skirt" not in source.catalogue().categories
    assert source.skipped[f"key_points/Images/skirt/{B}.jpg"] == f"train/Annotations/train.csv, row 3: {reason}"


def test_rows_of_wrong_length_are_skipped(root: Path) -> None:
    with (root / "base" / "Annotations" / "label.csv").open("a") as file:
        file.write(f"\n{SKIRT}/{B}.jpg,skirt_length_labels\n{SKIRT}/{C}.jpg,skirt_length,nnny\n")
    with (root / "train" / "Annotations" / "train.csv").open("a") as file:
        file.write(f",dress,1_1_1,9_9_1\nImages/dress/{B}.jpg,,1_1_1,9_9_1\n")
    source = FashionAI(str(root))
    assert len(source.catalogue()) == 4
    reasons = "\n".join(source.skipped.values())
    assert "label.csv, row 4: expected a path, an attribute and a value" in reasons
    assert "label.csv, row 5: expected a path, an attribute and a value" in reasons
    assert "train.csv, row 3: image_id is empty" in reasons
    assert "train.csv, row 4: image_category is empty" in reasons


def test_tables_of_other_formats_are_ignored_with_a_warning(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = write_table(root / "notes.csv", "name,value", "a,b")
    with caplog.at_level(logging.WARNING):
        assert len(FashionAI(str(root)).catalogue()) == 4
    assert f"Skipped {other}" in caplog.text


def test_a_table_in_an_encoding_other_than_utf8_raises(root: Path) -> None:
    (root / "base" / "Annotations" / "label.csv").write_bytes("外套.jpg,skirt_length_labels,y\n".encode("gbk"))
    with pytest.raises(ValueError, match=r"label\.csv: .*UTF-8"):
        FashionAI(str(root)).catalogue()


def test_an_unclosed_quote_raises(root: Path) -> None:
    (root / "base" / "Annotations" / "label.csv").write_text('a.jpg,skirt_length_labels,"y\nb.jpg,x,y\n')
    with pytest.raises(ValueError, match=r"label\.csv: line 1: unclosed quote"):
        FashionAI(str(root)).catalogue()


def test_malformed_tables_of_other_formats_are_ignored(root: Path) -> None:
    count = len(FashionAI(str(root)).catalogue())
    (root / "base" / "notes.csv").write_text('a,b\n1,"12" tv"\n2,"never closed\n3,4\n')
    assert len(FashionAI(str(root)).catalogue()) == count


def test_a_root_without_tables_or_labels_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=rf"data\.root={tmp_path}: no FashionAI table"):
        FashionAI(str(tmp_path)).catalogue()
    with pytest.raises(FileNotFoundError, match=r"data\.root=.*nowhere: "):
        FashionAI(str(tmp_path / "nowhere")).catalogue()
    write_table(tmp_path / "Tests" / "question.csv", f"{COAT}/{C}.jpg,coat_length_labels,?")
    with pytest.raises(ValueError, match=r"no usable row.*Tests/question\.csv, row 1"):
        FashionAI(str(tmp_path)).catalogue()


@pytest.mark.parametrize("part", FashionAI.expected)
def test_expected_files_match_the_layout(root: Path, part: Any) -> None:
    assert list(root.glob(part.pattern))


def deny_access(monkeypatch: pytest.MonkeyPatch, module: Any, folder: Path) -> None:
    """Make a folder unreadable, even for the root user."""
    original_scandir = os.scandir

    def scandir(path: Any = ".") -> Any:
        if Path(path) == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return original_scandir(path)

    monkeypatch.setattr(module.os, "scandir", scandir)


def test_an_unreadable_folder_is_reported(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    all_rows, _ = FashionAI(str(root)).list_garments()
    tables = sorted({path.parent for path in root.rglob("*.csv")})
    deny_access(monkeypatch, fashionai, tables[0])
    catalogue, skipped = FashionAI(str(root)).list_garments()
    assert 0 < len(catalogue) < len(all_rows)
    assert skipped[str(tables[0])] == "folder cannot be read (Permission denied)"
    assert f"Skipped {tables[0]}" in caplog.text
