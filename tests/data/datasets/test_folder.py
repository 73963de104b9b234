"""Reader of image folders and manifests: unusable rows are skipped with a reason, other rows are kept."""

import csv
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets import open_dataset
from fashion_lsh.data.datasets.fashion_mnist import FashionMnist
from fashion_lsh.data.datasets.folder import Folder
from fashion_lsh.data.datasets.shop_street.dataset import ShopStreet
from fashion_lsh.data.images import ImageError

MANIFEST = """id,image,category,x1,y1,x2,y2
fine,a.png,hat,,,,
boxed,a.png,hat,2,3,20,30
off,a.png,hat,40,0,60,30
thin,a.png,hat,10,5,10.5,30
reaching,a.png,hat,30,0,60,30
missing,nothing.png,hat,,,,
text,text.jpg,bag,,,,
empty,empty.jpg,bag,,,,
cut,cut.jpg,bag,,,,
inside,below/b.png,bag,,,,
folder,below,bag,,,,
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a manifest and images of 40 x 32 pixels, some of them unusable."""
    (tmp_path / "below").mkdir()
    Image.new("RGB", (40, 32), (9, 8, 7)).save(tmp_path / "a.png")
    Image.new("RGB", (40, 32), (1, 2, 3)).save(tmp_path / "below" / "b.png")
    Image.effect_noise((40, 32), 50).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-200])
    (tmp_path / "text.jpg").write_text("not an image")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "manifest.csv").write_text(MANIFEST)
    return tmp_path


def test_bad_images_and_boxes_are_skipped_with_reasons(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = Folder(str(folder / "manifest.csv"))
    with caplog.at_level(logging.WARNING):
        catalogue = source.catalogue()
    assert catalogue.column("id").tolist() == ["fine", "boxed", "reaching", "inside"]
    assert list(source.skipped) == ["off", "thin", "missing", "text", "empty", "cut", "folder"]
    assert source.skipped["off"].startswith("a.png: box=[40.0, 0.0, 60.0, 30.0]: outside the image (40 x 32 pixels)")
    assert source.skipped["missing"] == f"{folder / 'nothing.png'}: no such file"
    for name in ("text", "empty", "cut"):
        assert source.skipped[name].startswith(f"{folder / name}.jpg: not a readable image (")
    assert [record.getMessage() for record in caplog.records] == [
        f"Skipped {name}: {reason}" for name, reason in source.skipped.items()
    ]


def test_every_kept_row_has_an_image(folder: Path) -> None:
    source = Folder(str(folder / "manifest.csv"))
    shapes = {source.image(key).shape for key in source.catalogue().column("image")}
    assert shapes == {(32, 40, 3)}
    assert source.image("below/b.png")[0, 0].tolist() == [1, 2, 3]
    assert source.image(str(folder / "a.png"))[0, 0].tolist() == [9, 8, 7]  # absolute path
    with pytest.raises(ImageError, match=r"text\.jpg: "):
        source.image("text.jpg")


def test_skipped_rows_are_updated_at_each_call_of_catalogue(folder: Path) -> None:
    source = Folder(str(folder / "manifest.csv"))
    source.catalogue()
    Image.new("RGB", (40, 32)).save(folder / "nothing.png")
    assert "missing" in source.catalogue().column("id")
    assert "missing" not in source.skipped


def test_parquet_and_csv_manifests_are_equal(folder: Path) -> None:
    Catalogue.open(folder / "manifest.csv").save(folder / "manifest.parquet")
    one, other = (Folder(str(folder / f"manifest.{extension}")).catalogue() for extension in ("csv", "parquet"))
    assert one.checksum == other.checksum


def test_the_home_folder_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert len(Folder("~/manifest.csv").catalogue()) == 4


def test_a_missing_manifest_raises(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.csv: no such folder or file"):
        Folder(str(folder / "nothing.csv")).catalogue()


def save_image(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (20, 20), (shade, shade // 2, 7)).save(path)


def test_folders_are_categories(tmp_path: Path) -> None:
    for number, name in enumerate(("hat/b.png", "hat/a.JPG", "bag/below/c.png", "hat/.hidden.png", "loose.png")):
        save_image(tmp_path / name, 10 * number)
    (tmp_path / "hat" / "notes.txt").write_text("not an image")
    catalogue = Folder(str(tmp_path)).catalogue()
    assert catalogue.column("image").tolist() == ["bag/below/c.png", "hat/a.JPG", "hat/b.png"]
    assert catalogue.column("category").tolist() == ["bag", "hat", "hat"]
    assert set(catalogue.column("split")) == {""}
    assert Folder(str(tmp_path)).image("hat/b.png").shape == (20, 20, 3)


def test_files_that_are_not_images_are_skipped_with_reasons(tmp_path: Path) -> None:
    save_image(tmp_path / "hat" / "a.png", 1)
    save_image(tmp_path / "loose.png", 9)
    for name in ("hat/phone.heic", "hat/.DS_Store"):
        (tmp_path / name).write_text("")
    source = Folder(str(tmp_path))
    assert source.catalogue().column("id").tolist() == ["hat/a.png"]
    assert list(source.skipped) == ["hat/phone.heic", "loose.png"]
    assert source.skipped["hat/phone.heic"].startswith("hat/phone.heic: not an image file name")
    assert source.skipped["loose.png"] == "loose.png: not in a category folder"


def test_top_level_folders_named_like_splits_determine_the_split(tmp_path: Path) -> None:
    for number, name in enumerate(("Train/hat", "validation/hat", "test/hat", "gallery/hat")):
        save_image(tmp_path / name / "a.png", 10 * number)
    catalogue = Folder(str(tmp_path)).catalogue()
    splits = dict(zip(catalogue.column("image"), catalogue.column("split"), strict=True))
    assert splits == {
        "Train/hat/a.png": "train", "validation/hat/a.png": "val", "test/hat/a.png": "query",
        "gallery/hat/a.png": "gallery",
    }  # fmt: skip
    assert set(catalogue.column("category")) == {"hat"}
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "x.txt").write_text("not an image")
    assert set(Folder(str(tmp_path)).catalogue().column("category")) == {"hat"}
    save_image(tmp_path / "bag" / "a.png", 99)
    with pytest.raises(ValueError, match=r"\(Train, gallery, test, validation\) .*'bag'"):
        Folder(str(tmp_path)).catalogue()


def test_a_folder_without_images_raises(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    with pytest.raises(ValueError, match="bare: no images"):
        Folder(str(tmp_path / "bare")).catalogue()


NAMES = ["my hat.png", 'say "hat".png', "two\nlines.png", "a=b,c.png", "it's.png", "帽子.png", "100%.png", "#1.png"]


def test_files_with_any_name_are_read_from_a_manifest_and_from_folders(tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        save_image(tmp_path / "hüte, 帽子" / name, 10 * number)
    with (tmp_path / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *((f"hüte, 帽子/{name}", 'a "hat"\n=帽') for name in NAMES)])
    by_manifest, by_folder = Folder(str(tmp_path / "manifest.csv")), Folder(str(tmp_path))
    assert sorted(by_manifest.catalogue().column("image")) == sorted(by_folder.catalogue().column("image"))
    assert len(by_manifest.catalogue()) == len(NAMES)
    assert by_manifest.catalogue().categories == ['a "hat" =帽']  # whitespace is collapsed to one blank
    assert by_manifest.image(f"hüte, 帽子/{NAMES[2]}")[0, 0].tolist() == [20, 10, 7]


def test_categories_are_normalised(folder: Path) -> None:
    rows = [" Hat", "hat", "hat ", "HAT", "sun  hat", "sun hat"]
    for number in range(len(rows)):
        save_image(folder / f"{number}.png", 10 * number)
    text = "path,category\n" + "".join(f"{number}.png,{name}\n" for number, name in enumerate(rows))
    (folder / "manifest.csv").write_text(text)
    catalogue = Folder(str(folder / "manifest.csv")).catalogue()
    assert catalogue.column("category").tolist() == ["hat"] * 4 + ["sun hat"] * 2


def test_incomplete_and_repeated_rows_are_skipped(folder: Path) -> None:
    (folder / "manifest.csv").write_text(
        "path,label,x1,y1,x2,y2\na.png,hat,,,,\n,hat,,,,\na.png,bag,,,,\na.png,bag,1,2,9,9\nbelow/b.png,,,,,\n"
    )
    source = Folder(str(folder / "manifest.csv"))
    catalogue = source.catalogue()
    assert catalogue.column("id").tolist() == ["a.png", "a.png#3"]
    assert source.skipped == {
        "row 2": "row 2: path is empty",
        "a.png#2": "row 3: duplicate of a.png with the same box; the first row is kept",
        "below/b.png": "row 5: category is empty",
    }


def test_aliases_of_splits_and_columns_are_read(folder: Path) -> None:
    (folder / "manifest.csv").write_text(
        "path,label,split,near_dup_group\na.png,hat,Validation,007\nbelow/b.png,hat,test,\n"
    )
    catalogue = Folder(str(folder / "manifest.csv")).catalogue()
    assert catalogue.column("split").tolist() == ["val", "query"]
    assert catalogue.column("group").tolist() == ["007", ""]


def test_exact_copies_are_skipped(folder: Path) -> None:
    shutil.copy(folder / "a.png", folder / "copy.png")
    (folder / "manifest.csv").write_text("path,label\na.png,hat\ncopy.png,bag\nbelow/b.png,hat\n")
    source = Folder(str(folder / "manifest.csv"))
    assert source.catalogue().column("id").tolist() == ["a.png", "below/b.png"]
    assert source.skipped == {"copy.png": "copy.png: exact copy of a.png, which is kept"}


def test_the_number_of_further_skipped_rows_is_logged(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = "path,label\na.png,hat\n" + "".join(f"{number}.png,hat\n" for number in range(30))
    (folder / "manifest.csv").write_text(text)
    source = Folder(str(folder / "manifest.csv"))
    source.catalogue()
    assert len(source.skipped) == 30
    assert len(caplog.records) == 21
    assert "Skipped 10 " in caplog.records[-1].getMessage()


@pytest.mark.parametrize(("text", "reason"), [
    ("", "Empty CSV file"),
    ("image,category\n", "none of 0 rows is usable$"),
    ("image,category\nb.png,hat\nc.png,hat\n", r"none of 2 rows is usable; .*b\.png: no such file"),
    ("image,category,box\n", "none of 0 rows is usable$"),
    ("id,image,category\nx,a.png,hat\nx,below/b.png,bag\n", "id='x'"),
    ("name,category\na.png,hat\n", "column 'image' is missing"),
    ("image,category,x1,y1,x2,y2\na.png,hat,9,9,5,5\n", r"row 1: the box \[9.*\] of a\.png has no area"),
    ("image,category,box,x1,y1,x2,y2\na.png,hat,1 1 2 2,1,1,2,2\n", "both a column box and x1, y1, x2, y2"),
    ('image,category\na.png,hat\nb.png,"hat\nc.png,hat\n', "line 3: unclosed quote"),
    ("image,category,category\na.png,hat,bag\n", "columns image, category, category"),
])  # fmt: skip
def test_an_unusable_manifest_raises(folder: Path, text: str, reason: str) -> None:
    (folder / "manifest.csv").write_text(text)
    with pytest.raises(ValueError, match=reason) as raised:
        Folder(str(folder / "manifest.csv")).catalogue()
    assert "manifest.csv" in str(raised.value)


def test_images_keep_the_order_of_the_manifest(folder: Path) -> None:
    names = [f"{number}.png" for number in range(60)]
    for number, name in enumerate(names):
        Image.fromarray(np.full((4, 4), number, dtype=np.uint8)).save(folder / name)
    (folder / "manifest.csv").write_text("image,category\n" + "".join(f"{name},hat\n" for name in names[::-1]))
    source = Folder(str(folder / "manifest.csv"))
    catalogue = source.catalogue()
    assert catalogue.column("id").tolist() == names[::-1]
    assert [source.image(key)[0, 0, 0] for key in catalogue.column("image")] == list(range(60))[::-1]


def test_open_dataset_opens_a_data_set_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(open_dataset("folder", str(folder / "manifest.csv"), 0), Folder)
    street = open_dataset("shop_street", None, 3)
    assert isinstance(street, ShopStreet)
    assert street.seed == 3
    with pytest.raises(FileNotFoundError, match=f"data.root={folder}: "):
        open_dataset("fashion_mnist", str(folder), 0)
    monkeypatch.setattr(FashionMnist, "__init__", lambda self, root, official: None)
    assert isinstance(open_dataset("fashion_mnist", str(folder), 0), FashionMnist)


@pytest.mark.parametrize("root", [None, ""])
def test_folder_without_root_raises(root: str | None) -> None:
    with pytest.raises(ValueError, match=r"data=folder needs data\.root"):
        open_dataset("folder", root, 0)


def test_an_unknown_data_set_raises_with_all_names() -> None:
    with pytest.raises(
        ValueError, match=r"'imagenet'.* shop_street, fashion_mnist, fashion_mnist_official, embeddings, folder"
    ):
        open_dataset("imagenet", None, 0)


def test_a_row_with_a_repeated_id_is_kept_once(folder: Path) -> None:
    (folder / "manifest.csv").write_text("id,path,label\nA,a.png,hat\nA,a.png,hat\nB,below/b.png,hat\n")
    source = Folder(str(folder / "manifest.csv"))
    assert source.catalogue().column("id").tolist() == ["A", "B"]
    assert source.skipped == {"A": "row 2: duplicate of a.png with the same box; the first row is kept"}


def test_nan_boxes_are_whole_images(folder: Path) -> None:
    nan = [float("nan")] * 2
    rows = pa.table({"path": ["a.png"] * 2, "label": ["hat"] * 2, "x1": nan, "y1": nan, "x2": nan, "y2": nan})
    pa.parquet.write_table(rows, folder / "m.parquet")
    source = Folder(str(folder / "m.parquet"))
    assert len(source.catalogue()) == 1
    assert list(source.skipped) == ["a.png#2"]


def test_file_names_that_are_not_utf8_are_skipped(tmp_path: Path) -> None:
    save_image(tmp_path / "hat" / "a.png", 1)
    (tmp_path / "hat" / b"caf\xe9.png".decode(errors="surrogateescape")).write_bytes(b"x")
    source = Folder(str(tmp_path))
    assert source.catalogue().column("id").tolist() == ["hat/a.png"]
    assert list(source.skipped) == ["hat/caf?.png"]


def test_only_filtered_rows_are_compared_to_find_copies(folder: Path) -> None:
    shutil.copy(folder / "a.png", folder / "copy.png")
    (folder / "manifest.csv").write_text("path,label,source\na.png,hat,one\ncopy.png,hat,two\nbelow/b.png,hat,two\n")
    source = Folder(str(folder / "manifest.csv"))
    assert source.catalogue({"source": ["two"], "category": None}).column("id").tolist() == ["copy.png", "below/b.png"]
    assert source.skipped == {}


def test_absolute_paths_are_made_relative(folder: Path) -> None:
    (folder / "manifest.csv").write_text(f"path,label\n{folder}/a.png,hat\n")
    assert Folder(str(folder / "manifest.csv")).catalogue().column("id").tolist() == ["a.png"]


def test_a_bad_box_skips_only_its_row(tmp_path: Path) -> None:
    for name in "abc":
        Image.new("RGB", (40, 40), "red").save(tmp_path / f"{name}.png")
    text = "path,label,x1,y1,x2,y2\na.png,hat,9,9,10,18\nb.png,hat,1,1,abc,9\nc.png,,1,1,5,5\nc.png,bag,1,1,5,5\n"
    (tmp_path / "manifest.csv").write_text(text)
    rows, skipped = Folder(str(tmp_path / "manifest.csv")).list_garments()
    assert rows.column("image").tolist() == ["a.png", "c.png"]
    assert rows.boxes[0].tolist() == [9, 9, 10, 18]
    assert "'abc', which is not a number" in skipped["b.png"]


def test_symlinked_folders_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    Image.new("RGB", (9, 9)).save(tmp_path / "elsewhere" / "1.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "hat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "root")
    rows, _ = Folder(str(tmp_path / "root")).list_garments()
    assert rows.column("image").tolist() == ["hat/1.png"]


@pytest.mark.parametrize("cell", ["2 3 20 30", "[2, 3, 20, 30]", "(2;3;20;30)", "2.0\t3.0 20 30.0"])
def test_a_box_can_be_one_cell(folder: Path, cell: str) -> None:
    (folder / "boxes.csv").write_text(f'path,label,box\na.png,hat,"{cell}"\nbelow/b.png,bag,\n')
    boxes = Folder(str(folder / "boxes.csv")).catalogue().boxes
    assert boxes[0].tolist() == [2, 3, 20, 30]
    assert np.isnan(boxes[1]).all()


def test_a_box_can_be_a_parquet_list(folder: Path) -> None:
    table = pa.table({"path": ["a.png", "below/b.png"], "label": ["hat", "bag"], "box": [[2, 3, 20, 30], None]})
    pa.parquet.write_table(table, folder / "boxes.parquet")
    boxes = Folder(str(folder / "boxes.parquet")).catalogue().boxes
    assert boxes[0].tolist() == [2, 3, 20, 30]
    assert np.isnan(boxes[1]).all()


@pytest.mark.parametrize(("cell", "reason"), [
    ("2 3 20", "'2 3 20', which is not a number"),
    ("left 3 20 30", "'left', which is not a number"),
    ("20 3 2 30", "has no area"),
])  # fmt: skip
def test_an_invalid_box_cell_is_skipped(folder: Path, cell: str, reason: str) -> None:
    (folder / "boxes.csv").write_text(f"path,label,box\na.png,hat,{cell}\nbelow/b.png,bag,\n")
    source = Folder(str(folder / "boxes.csv"))
    assert source.catalogue().column("id").tolist() == ["below/b.png"]
    assert reason in source.skipped["a.png"]


def test_an_encoding_other_than_utf8_raises(folder: Path) -> None:
    (folder / "old.csv").write_bytes("path,label\na.png,外套\n".encode("gbk"))
    with pytest.raises(ValueError, match=r"old\.csv: .*UTF-8"):
        Folder(str(folder / "old.csv")).catalogue()


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_separator_other_than_a_comma_raises(folder: Path, separator: str) -> None:
    (folder / "other.csv").write_text(f"path{separator}label\na.png{separator}hat\n")
    with pytest.raises(ValueError, match=r"other\.csv: only one column"):
        Folder(str(folder / "other.csv")).catalogue()


def test_a_broken_link_is_skipped(tmp_path: Path) -> None:
    save_image(tmp_path / "hat" / "1.png", 1)
    (tmp_path / "hat" / "2.jpg").symlink_to("nowhere.jpg")
    source = Folder(str(tmp_path))
    assert source.catalogue().column("id").tolist() == ["hat/1.png"]
    assert source.skipped["hat/2.jpg"].endswith("no such file")


def test_column_names_are_stripped(folder: Path) -> None:
    (folder / "blanks.csv").write_text("path, label \na.png,hat\n")
    assert Folder(str(folder / "blanks.csv")).catalogue().column("category").tolist() == ["hat"]


def test_an_unreadable_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for label in ("bag", "hat", "shut"):
        (tmp_path / label).mkdir()
        Image.new("RGB", (9, 9), "red" if label == "bag" else "blue").save(tmp_path / label / "1.png")
    original_scandir = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return original_scandir(path)

    monkeypatch.setattr(os, "scandir", scandir)
    rows, skipped = Folder(str(tmp_path)).list_garments()
    assert rows.column("image").tolist() == ["bag/1.png", "hat/1.png"]
    assert skipped == {str(tmp_path / "shut"): "folder cannot be read (Permission denied)"}
