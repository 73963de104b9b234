"""Shop reader: Myntra's styles.csv, and crawled files with a header."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fashion_lsh.cli import check
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.shop import Shop
from fashion_lsh.data.schema import COLUMNS

HEADER = "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,productDisplayName"
STYLES = {
    1: "Men,Apparel,Topwear,Tshirts,Blue,Fall,2011,Casual,Plain Crew Tshirt",
    2: "Men,Apparel,Bottomwear,Jeans,NA,Fall,2011,Casual,Jeans, worn, and washed",  # two unquoted commas
    3: "Men,Apparel,Topwear,Tshirts,,Fall,2011,Casual,Striped POLO T-shirt",  # the colour is empty
    4: "Women,NA,NA,Free Gifts,NA,,,NA,NA",
    5: "Women,Apparel,Topwear,Tops,Red,Fall,2011,Casual,Red Top",  # the image is missing
}


def save_images(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(list(name.encode())).integers(0, 256, (80, 60, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / name)


def write_styles(root: Path, rows: dict[int, str]) -> Path:
    lines = [HEADER, *(f"{number},{row}" for number, row in rows.items())]
    (root / "styles.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    save_images(tmp_path / "images", "1.jpg", "2.jpg", "3.jpg")
    Image.new("L", (60, 80), 77).save(tmp_path / "images" / "4.jpg")
    return write_styles(tmp_path, STYLES)


def category_by_id(catalogue: Catalogue) -> dict[str, str]:
    return dict(zip(catalogue.column("id"), catalogue.column("category"), strict=True))


def test_each_product_is_a_row_and_an_item(root: Path) -> None:
    catalogue = Shop(str(root)).catalogue()
    assert catalogue.column("id").tolist() == ["1", "2", "3", "4"]
    assert catalogue.column("item").tolist() == ["1", "2", "3", "4"]
    assert catalogue.column("image").tolist() == [f"images/{number}.jpg" for number in (1, 2, 3, 4)]
    assert catalogue.column("supercategory").tolist() == ["Topwear", "Bottomwear", "Topwear", "NA"]
    assert (set(catalogue.column("view")), set(catalogue.column("source")), set(catalogue.column("split"))) == (
        {"shop"}, {"shop"}, {""}
    )  # fmt: skip


def test_further_columns_are_kept_with_their_types(root: Path, tmp_path: Path) -> None:
    table = Shop(str(root)).catalogue().table
    assert table["baseColour"].to_pylist() == ["Blue", "NA", None, "NA"]
    assert table["year"].to_pylist() == [2011, 2011, 2011, None]
    assert {"gender", "season", "usage", "productDisplayName"} <= set(table.column_names)
    (tmp_path / "crawled.csv").write_text(
        "image,label,price,in_stock,note,split\nimages/1.jpg,coat,9.5,true,,x\nimages/2.jpg,hat,7,false,,y\n"
    )
    table = Shop(str(tmp_path / "crawled.csv")).catalogue().table
    assert table.column_names == [*COLUMNS, "in_stock", "note", "price"]
    assert [table[name].to_pylist() for name in ("in_stock", "note", "price")] == [
        [True, False],
        [None] * 2,
        [9.5, 7.0],
    ]


def test_commas_in_the_last_cell_are_kept(root: Path) -> None:
    assert category_by_id(Shop(str(root)).catalogue())["2"] == "Jeans"
    folder = write_styles(root, {2: "Men,Apparel,Topwear,Tshirts,NA,Fall,2011,Casual,Washed, worn, polo"})
    assert (
        category_by_id(Shop(str(folder)).catalogue())["2"] == "Tshirts/polo"
    )  # the name includes the part after the commas


def test_a_truncated_line_is_skipped(root: Path) -> None:
    (root / "styles.csv").write_text("gender,articleType,id,productDisplayName\nMen,Jeans,1,Blue\nMen\n")
    rows, skipped = Shop(str(root)).list_garments()
    assert rows.column("id").tolist() == ["1"]
    assert skipped == {"row 3": "row 3: id is empty"}


def test_na_is_read_as_a_string(root: Path) -> None:
    catalogue = Shop(str(write_styles(root, {4: "Women,NA,NA,NA,NA,,,NA,NA"}))).catalogue()
    assert catalogue.column("category").tolist() == ["NA"]


def test_a_missing_image_is_skipped(root: Path) -> None:
    source = Shop(str(root))
    source.catalogue()
    assert list(source.skipped) == ["5"]
    assert source.skipped["5"].endswith("5.jpg: no such file")


def test_a_greyscale_image_is_read_as_rgb(root: Path) -> None:
    source = Shop(str(root))
    assert "4" in source.catalogue().column("id")
    assert source.image("images/4.jpg").shape == (80, 60, 3)


@pytest.mark.parametrize(("article_type", "name", "category"), [
    ("Tshirts", "Men Blue Polo", "Tshirts/polo"), ("Tshirts", "Men polo-neck Tee", "Tshirts/polo"),
    ("Tshirts", "Marcopolo Men Tee", "Tshirts"), ("Tshirts", "U.S. Polo Assn. Men Red Tee", "Tshirts"),
    ("Tshirts", "U.S. Polo Assn. Men Red Polo", "Tshirts/polo"), ("Shirts", "Men Polo Shirt", "Shirts"),
])  # fmt: skip
def test_polo_in_the_name_makes_a_category(root: Path, article_type: str, name: str, category: str) -> None:
    folder = write_styles(root, {1: f"Men,Apparel,Topwear,{article_type},Blue,Fall,2011,Casual,{name}"})
    assert Shop(str(folder)).catalogue().column("category").tolist() == [category]


def test_repeated_and_incomplete_rows_are_skipped(root: Path) -> None:
    with (root / "styles.csv").open("a") as file:
        file.write(f"1,{STYLES[1]}\n\n9,Men,Apparel\n,{STYLES[2]}\n")
    source = Shop(str(root))
    assert source.catalogue().column("id").tolist() == ["1", "2", "3", "4"]
    assert list(source.skipped) == ["1#2", "9", "row 10", "5"]
    assert source.skipped["1#2"] == "duplicate of 1; the first row is kept"
    assert source.skipped["9"] == "row 9: articleType is empty"
    assert source.skipped["row 10"] == "row 10: id is empty"


def test_quotes_and_windows_line_ends_are_read(root: Path) -> None:
    before = Shop(str(root)).catalogue().checksum
    lines = [HEADER, *(f"{number},{row}" for number, row in STYLES.items())]
    quoted_lines = (",".join(f'"{cell}"' for cell in line.split(",", 9)) for line in lines)
    (root / "styles.csv").write_bytes("\r\n".join(quoted_lines).encode("utf-8-sig"))
    assert Shop(str(root / "styles.csv")).catalogue().checksum == before


def test_images_of_a_crawled_file_are_relative_to_it(tmp_path: Path) -> None:
    save_images(tmp_path, "a.jpg", "below/b.jpg", "c.jpg")
    path = tmp_path / "crawled.csv"
    path.write_text(
        'url,image,label,product\n"https://shop.example/a,1",a.jpg,coat,7\n,below/b.jpg,Coat,7\n,c.jpg,coat,\n'
    )
    source = Shop(str(path))
    catalogue = source.catalogue()
    assert catalogue.column("id").tolist() == ["a.jpg", "below/b.jpg", "c.jpg"]
    assert catalogue.column("image").tolist() == ["a.jpg", "below/b.jpg", "c.jpg"]
    assert set(catalogue.column("category")) == {"coat"}
    assert catalogue.column("item").tolist() == ["7", "7", ""]
    assert (set(catalogue.column("view")), set(catalogue.column("source"))) == ({"shop"}, {"shop"})
    assert source.image("below/b.jpg").shape == (80, 60, 3)


@pytest.mark.parametrize("image", ["image", "path"])
@pytest.mark.parametrize("category", ["category", "label", "articleType"])
@pytest.mark.parametrize("item", ["item", "product"])
def test_column_aliases_are_read_in_any_order(tmp_path: Path, image: str, category: str, item: str) -> None:
    save_images(tmp_path, "a.jpg")
    (tmp_path / "crawled.csv").write_text(f"{item},{category},{image}\n007,NA,a.jpg\n")
    catalogue = Shop(str(tmp_path / "crawled.csv")).catalogue()
    assert [catalogue.column(name)[0] for name in ("image", "category", "item")] == ["a.jpg", "NA", "007"]


def test_a_crawled_row_of_another_length_is_skipped(tmp_path: Path) -> None:
    for name in "ab":
        Image.new("RGB", (20, 20)).save(tmp_path / f"{name}.jpg")
    (tmp_path / "crawled.csv").write_text("image,name,category\na.jpg,Dress, Jeans,Dresses\nb.jpg,Top,Tops\n")
    source = Shop(str(tmp_path / "crawled.csv"))
    assert list(source.catalogue().column("category")) == ["Tops"]
    assert source.skipped["a.jpg"].startswith("row 2: 4 cells for 3 columns")


def test_unusable_crawled_rows_are_skipped(tmp_path: Path) -> None:
    save_images(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "crawled.csv").write_text("path,label\na.jpg,hat\n,hat\nb.jpg,\n\na.jpg,hat\ngone.jpg,hat\n")
    source = Shop(str(tmp_path / "crawled.csv"))
    assert source.catalogue().column("id").tolist() == ["a.jpg"]
    assert list(source.skipped) == ["row 3", "b.jpg", "a.jpg#2", "gone.jpg"]
    assert source.skipped["row 3"] == "row 3: image is empty"
    assert source.skipped["b.jpg"] == "row 4: category is empty"
    assert source.skipped["a.jpg#2"] == "duplicate of a.jpg; the first row is kept"
    assert source.skipped["gone.jpg"].endswith("gone.jpg: no such file")


@pytest.mark.parametrize(("content", "reason"), [
    (b"path,colour\na.jpg,red\n", "columns=path, colour; .*category or label or articleType"),
    (b"url,label\n,hat\n", "columns=url, label; .*image or path"),
    (b"", "columns=none"),
    (b"path,label\n", "none of 0 rows"),
    (b'path,label\na.jpg,bag\nb.jpg,"coat\nc.jpg,dress\n', "line 3: unclosed quote"),
    (b'path,label\na.jpg,bag\nb.jpg,"coat\nc.jpg,"dress\n', "line 3: unclosed quote"),
    (b"path,label\n,hat\n", "none of 1 rows .*row 2: image is empty"),
    ("path,label\na.jpg,外套\n".encode("gbk"), "UTF-8"),
])  # fmt: skip
def test_an_unusable_file_raises(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "crawled.csv").write_bytes(content)
    with pytest.raises(ValueError, match=rf"crawled\.csv: .*{reason}"):
        Shop(str(tmp_path / "crawled.csv")).catalogue()


def test_a_folder_without_styles_raises(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"styles\.csv: no such file"):
        Shop(str(tmp_path)).catalogue()


def test_the_check_finds_both_layouts(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["shop", str(root)]) == 0
    output = capsys.readouterr().out
    assert "MISSING" not in output
    assert "44,446" in output
    (tmp_path / "crawled.csv").write_text("image,category\na.png,Tops\n")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert check.main(["shop", str(tmp_path / "crawled.csv")]) == 0
    output = capsys.readouterr().out
    assert "MISSING" not in output
    assert "44,446" not in output
