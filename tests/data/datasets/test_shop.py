"""A shop's pictures: Myntra's styles.csv with its quirks, and crawled files with a header."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashion_lsh.data import check
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.shop import Shop

HEADER = "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,productDisplayName"
STYLES = {
    1: "Men,Apparel,Topwear,Tshirts,Blue,Fall,2011,Casual,Plain Crew Tshirt",
    2: "Men,Apparel,Bottomwear,Jeans,NA,Fall,2011,Casual,Jeans, worn, and washed",  # two commas too many
    3: "Men,Apparel,Topwear,Tshirts,,Fall,2011,Casual,Striped POLO T-shirt",  # no colour
    4: "Women,NA,NA,Free Gifts,NA,,,NA,NA",
    5: "Women,Apparel,Topwear,Tops,Red,Fall,2011,Casual,Red Top",  # its picture is missing
}


def draw(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(list(name.encode())).integers(0, 256, (80, 60, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name)


def styles(root: Path, rows: dict[int, str]) -> Path:
    lines = [HEADER, *(f"{number},{row}" for number, row in rows.items())]
    (root / "styles.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    draw(tmp_path / "images", "1.jpg", "2.jpg", "3.jpg")
    Image.new("L", (60, 80), 77).save(tmp_path / "images" / "4.jpg")
    return styles(tmp_path, STYLES)


def categories(made: Catalogue) -> dict[str, str]:
    return dict(zip(made.column("id"), made.column("category"), strict=True))


def test_each_product_is_a_row_and_an_item(root: Path) -> None:
    made = Shop(str(root)).catalogue()
    assert made.column("id").tolist() == ["1", "2", "3", "4"]
    assert made.column("item").tolist() == ["1", "2", "3", "4"]
    assert made.column("picture").tolist() == [f"images/{number}.jpg" for number in (1, 2, 3, 4)]
    assert made.column("supercategory").tolist() == ["Topwear", "Bottomwear", "Topwear", "NA"]
    assert (set(made.column("view")), set(made.column("source")), set(made.column("split"))) == (
        {"shop"}, {"shop"}, {""}
    )  # fmt: skip


def test_commas_in_a_name_shift_nothing(root: Path) -> None:
    assert categories(Shop(str(root)).catalogue())["2"] == "Jeans"
    named = styles(root, {2: "Men,Apparel,Topwear,Tshirts,NA,Fall,2011,Casual,Washed, worn, polo"})
    assert categories(Shop(str(named)).catalogue())["2"] == "Tshirts/polo"  # the name is read to its end


def test_a_line_cut_short_before_its_id_is_named(root: Path) -> None:
    (root / "styles.csv").write_text("gender,articleType,id,productDisplayName\nMen,Jeans,1,Blue\nMen\n")
    listed, left_out = Shop(str(root)).listed()
    assert listed.column("id").tolist() == ["1"]
    assert left_out == {"row 3": "row 3 has no id"}


def test_na_is_a_text(root: Path) -> None:
    made = Shop(str(styles(root, {4: "Women,NA,NA,NA,NA,,,NA,NA"}))).catalogue()
    assert made.column("category").tolist() == ["NA"]


def test_an_id_without_picture_is_named(root: Path) -> None:
    source = Shop(str(root))
    source.catalogue()
    assert list(source.skipped) == ["5"]
    assert source.skipped["5"].endswith("5.jpg: no such file")


def test_a_grey_picture_is_read_in_colour(root: Path) -> None:
    source = Shop(str(root))
    assert "4" in source.catalogue().column("id")
    assert source.picture("images/4.jpg").shape == (80, 60, 3)


@pytest.mark.parametrize(("kind", "name", "category"), [
    ("Tshirts", "Men Blue Polo", "Tshirts/polo"), ("Tshirts", "Men polo-neck Tee", "Tshirts/polo"),
    ("Tshirts", "Marcopolo Men Tee", "Tshirts"), ("Tshirts", "U.S. Polo Assn. Men Red Tee", "Tshirts"),
    ("Tshirts", "U.S. Polo Assn. Men Red Polo", "Tshirts/polo"), ("Shirts", "Men Polo Shirt", "Shirts"),
])  # fmt: skip
def test_polos_are_apart_by_the_word_but_not_by_a_brand(root: Path, kind: str, name: str, category: str) -> None:
    folder = styles(root, {1: f"Men,Apparel,Topwear,{kind},Blue,Fall,2011,Casual,{name}"})
    assert Shop(str(folder)).catalogue().column("category").tolist() == [category]


def test_rows_that_stand_twice_or_lack_a_cell_are_named(root: Path) -> None:
    with (root / "styles.csv").open("a") as file:
        file.write(f"1,{STYLES[1]}\n\n9,Men,Apparel\n,{STYLES[2]}\n")
    source = Shop(str(root))
    assert source.catalogue().column("id").tolist() == ["1", "2", "3", "4"]
    assert list(source.skipped) == ["1#2", "9", "row 10", "5"]
    assert source.skipped["1#2"] == "1 stands in the file before; the first is kept"
    assert source.skipped["9"] == "row 9 has no articleType"
    assert source.skipped["row 10"] == "row 10 has no id"


def test_the_file_may_be_given_with_quotes_and_windows_line_ends(root: Path) -> None:
    before = Shop(str(root)).catalogue().checksum
    lines = [HEADER, *(f"{number},{row}" for number, row in STYLES.items())]
    quoted = (",".join(f'"{cell}"' for cell in line.split(",", 9)) for line in lines)
    (root / "styles.csv").write_bytes("\r\n".join(quoted).encode("utf-8-sig"))
    assert Shop(str(root / "styles.csv")).catalogue().checksum == before


def test_a_crawled_file_has_its_pictures_beside_it(tmp_path: Path) -> None:
    draw(tmp_path, "a.jpg", "below/b.jpg", "c.jpg")
    path = tmp_path / "crawled.csv"
    path.write_text(
        'url,image,label,product\n"https://shop.example/a,1",a.jpg,coat,7\n,below/b.jpg,Coat,7\n,c.jpg,coat,\n'
    )
    source = Shop(str(path))
    made = source.catalogue()
    assert made.column("id").tolist() == ["a.jpg", "below/b.jpg", "c.jpg"]
    assert made.column("picture").tolist() == ["a.jpg", "below/b.jpg", "c.jpg"]
    assert set(made.column("category")) == {"coat"}
    assert made.column("item").tolist() == ["7", "7", ""]
    assert (set(made.column("view")), set(made.column("source"))) == ({"shop"}, {"shop"})
    assert source.picture("below/b.jpg").shape == (80, 60, 3)


@pytest.mark.parametrize("picture", ["picture", "path", "image"])
@pytest.mark.parametrize("category", ["category", "label", "articleType"])
@pytest.mark.parametrize("item", ["item", "product"])
def test_columns_have_these_names_in_any_order(tmp_path: Path, picture: str, category: str, item: str) -> None:
    draw(tmp_path, "a.jpg")
    (tmp_path / "crawled.csv").write_text(f"{item},{category},{picture}\n007,NA,a.jpg\n")
    made = Shop(str(tmp_path / "crawled.csv")).catalogue()
    assert [made.column(name)[0] for name in ("picture", "category", "item")] == ["a.jpg", "NA", "007"]


def test_a_crawled_row_of_another_length_is_left_out_not_shifted(tmp_path: Path) -> None:
    for name in "ab":
        Image.new("RGB", (20, 20)).save(tmp_path / f"{name}.jpg")
    (tmp_path / "crawled.csv").write_text("picture,name,category\na.jpg,Dress, Jeans,Dresses\nb.jpg,Top,Tops\n")
    source = Shop(str(tmp_path / "crawled.csv"))
    assert list(source.catalogue().column("category")) == ["Tops"]
    assert source.skipped["a.jpg"] == "row 2 has 4 cells for 3 columns: quote cells with commas in them"


def test_crawled_rows_that_are_of_no_use_are_named(tmp_path: Path) -> None:
    draw(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "crawled.csv").write_text("path,label\na.jpg,hat\n,hat\nb.jpg,\n\na.jpg,hat\ngone.jpg,hat\n")
    source = Shop(str(tmp_path / "crawled.csv"))
    assert source.catalogue().column("id").tolist() == ["a.jpg"]
    assert list(source.skipped) == ["row 3", "b.jpg", "a.jpg#2", "gone.jpg"]
    assert source.skipped["row 3"] == "row 3 has no picture"
    assert source.skipped["b.jpg"] == "row 4 has no category"
    assert source.skipped["a.jpg#2"] == "a.jpg stands in the file before; the first is kept"
    assert source.skipped["gone.jpg"].endswith("gone.jpg: no such file")


@pytest.mark.parametrize(("content", "reason"), [
    (b"path,colour\na.jpg,red\n", "its columns are path, colour: give it one called category or label or articleType"),
    (b"url,label\n,hat\n", "its columns are url, label: give it one called picture or path or image"),
    (b"", "its columns are none"),
    (b"path,label\n", "none of its 0 rows is of use"),
    (b'path,label\na.jpg,bag\nb.jpg,"coat\nc.jpg,dress\n', "line 3: a quote that opens there is not closed"),
    (b'path,label\na.jpg,bag\nb.jpg,"coat\nc.jpg,"dress\n', "line 3: a quote that opens there is not closed"),
    (b"path,label\n,hat\n", "none of its 1 rows is of use; the first: row 2 has no picture"),
    ("path,label\na.jpg,外套\n".encode("gbk"), "save it as CSV in UTF-8"),
])  # fmt: skip
def test_a_file_of_no_use_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "crawled.csv").write_bytes(content)
    with pytest.raises(ValueError, match=rf"crawled\.csv: .*{reason}"):
        Shop(str(tmp_path / "crawled.csv")).catalogue()


def test_a_folder_without_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file .*styles\.csv: give data\.root a CSV file, or the folder"):
        Shop(str(tmp_path)).catalogue()


def test_the_check_finds_both_layouts(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["shop", str(root)]) == 0
    printed = capsys.readouterr().out
    assert "MISSING" not in printed
    assert "44,446" in printed
    (tmp_path / "crawled.csv").write_text("picture,category\na.png,Tops\n")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert check.main(["shop", str(tmp_path / "crawled.csv")]) == 0
    printed = capsys.readouterr().out
    assert "MISSING" not in printed
    assert "44,446" not in printed
