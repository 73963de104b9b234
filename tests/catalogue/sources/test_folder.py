"""A user's own pictures: what is of no use is named and left out, the rest serves."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashion_lsh.catalogue.catalogue import Catalogue
from fashion_lsh.catalogue.pictures import PictureError
from fashion_lsh.catalogue.sources import open_source
from fashion_lsh.catalogue.sources.fashion_mnist import FashionMnist
from fashion_lsh.catalogue.sources.folder import Folder
from fashion_lsh.catalogue.sources.shop_street import ShopStreet

MANIFEST = """id,picture,category,x1,y1,x2,y2
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
    """A manifest beside pictures of 40 x 32 pixels, some of no use."""
    (tmp_path / "below").mkdir()
    Image.new("RGB", (40, 32), (9, 8, 7)).save(tmp_path / "a.png")
    Image.new("RGB", (40, 32), (1, 2, 3)).save(tmp_path / "below" / "b.png")
    Image.effect_noise((40, 32), 50).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-200])
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "manifest.csv").write_text(MANIFEST)
    return tmp_path


def test_bad_pictures_and_boxes_are_skipped_with_reasons(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = Folder(str(folder / "manifest.csv"))
    with caplog.at_level(logging.WARNING):
        kept = source.catalogue()
    assert kept.column("id").tolist() == ["fine", "boxed", "reaching", "inside"]
    assert list(source.skipped) == ["off", "thin", "missing", "text", "empty", "cut", "folder"]
    assert source.skipped["off"] == "a.png: box [40.0, 0.0, 60.0, 30.0] lies off the picture, 40 x 32 pixels: check it"
    assert source.skipped["missing"] == f"{folder / 'nothing.png'}: no such file"
    for name in ("text", "empty", "cut"):
        assert source.skipped[name].startswith(f"{folder / name}.jpg: no readable picture (")
    assert [record.getMessage() for record in caplog.records] == [
        f"skipped {name}: {reason}" for name, reason in source.skipped.items()
    ]


def test_every_row_that_is_kept_has_a_picture(folder: Path) -> None:
    source = Folder(str(folder / "manifest.csv"))
    shapes = {source.picture(key).shape for key in source.catalogue().column("picture")}
    assert shapes == {(32, 40, 3)}
    assert source.picture("below/b.png")[0, 0].tolist() == [1, 2, 3]
    assert source.picture(str(folder / "a.png"))[0, 0].tolist() == [9, 8, 7]  # an absolute path stays one
    with pytest.raises(PictureError, match=r"text\.jpg: no readable picture"):
        source.picture("text.jpg")


def test_what_was_skipped_is_forgotten_once_it_is_mended(folder: Path) -> None:
    source = Folder(str(folder / "manifest.csv"))
    source.catalogue()
    Image.new("RGB", (40, 32)).save(folder / "nothing.png")
    assert "missing" in source.catalogue().column("id")
    assert "missing" not in source.skipped


def test_parquet_manifest_serves_as_well(folder: Path) -> None:
    Catalogue.open(folder / "manifest.csv").save(folder / "manifest.parquet")
    one, other = (Folder(str(folder / f"manifest.{kind}")).catalogue() for kind in ("csv", "parquet"))
    assert one.checksum == other.checksum


def test_home_folder_may_be_abbreviated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert len(Folder("~/manifest.csv").catalogue()) == 4


@pytest.mark.parametrize("name", ["nothing.csv", "below"])
def test_missing_manifest_is_named(folder: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=rf"no catalogue at {folder / name}: give a \.parquet or \.csv file"):
        Folder(str(folder / name)).catalogue()


@pytest.mark.parametrize(("text", "reason"), [
    ("", "Empty CSV file"),
    ("picture,category\n", r"none of the 0 rows of .*manifest\.csv is of use$"),
    ("picture,category\nb.png,hat\nc.png,hat\n", r"none of the 2 rows .* is of use; the first: .*b\.png: no such file"),
    ("picture,category\na.png,hat\na.png,bag\n", "id 'a.png' stands in the catalogue more than once"),
    ("picture,category,x1,y1,x2,y2\na.png,hat,9,9,5,5\n", r"box \[9.*\] of 'a.png' has no area"),
])  # fmt: skip
def test_manifest_of_no_use_is_named(folder: Path, text: str, reason: str) -> None:
    (folder / "manifest.csv").write_text(text)
    with pytest.raises(ValueError, match=reason) as caught:
        Folder(str(folder / "manifest.csv")).catalogue()
    assert "manifest.csv" in str(caught.value)


def test_many_pictures_keep_their_order(folder: Path) -> None:
    names = [f"{number}.png" for number in range(60)]
    for number, name in enumerate(names):
        Image.fromarray(np.full((4, 4), number, dtype=np.uint8)).save(folder / name)
    (folder / "manifest.csv").write_text("picture,category\n" + "".join(f"{name},hat\n" for name in names[::-1]))
    source = Folder(str(folder / "manifest.csv"))
    kept = source.catalogue()
    assert kept.column("id").tolist() == names[::-1]
    assert [source.picture(key)[0, 0, 0] for key in kept.column("picture")] == list(range(60))[::-1]


def test_source_is_opened_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(open_source("folder", str(folder / "manifest.csv"), 0), Folder)
    street = open_source("shop_street", None, 3)
    assert isinstance(street, ShopStreet)
    assert street.seed == 3
    with pytest.raises(FileNotFoundError, match="does not hold Fashion-MNIST's four files"):
        open_source("fashion_mnist", str(folder), 0)
    monkeypatch.setattr(FashionMnist, "__init__", lambda self, root: None)
    assert isinstance(open_source("fashion_mnist", str(folder), 0), FashionMnist)


@pytest.mark.parametrize("root", [None, ""])
def test_folder_without_root_asks_for_it(root: str | None) -> None:
    with pytest.raises(ValueError, match=r"data=folder needs data\.root: give the manifest"):
        open_source("folder", root, 0)


def test_unknown_source_is_named_with_those_that_are_known() -> None:
    with pytest.raises(
        ValueError, match="data set 'imagenet' is unknown: known are shop_street, fashion_mnist, folder"
    ):
        open_source("imagenet", None, 0)
