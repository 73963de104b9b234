"""Pictures of a shop, listed in a CSV file: Myntra's styles.csv, or one that somebody has crawled."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.image_files import ExpectedFile, ImageFiles, PublishedCounts, normalise_spelling
from fashion_lsh.io.files import csv_rows

STYLES_FILE = "styles.csv"
STYLES_COLUMNS = ("id", "articleType", "productDisplayName")  # by these columns styles.csv is known
IMAGE_COLUMNS, CATEGORY_COLUMNS, ITEM_COLUMNS = (
    ("image", "path"),
    ("category", "label", "articleType"),
    ("item", "product"),
)
POLO = re.compile(r"\bpolo\b(?!\s+(?:assn|association|club|ralph)\b)", re.IGNORECASE)  # the garment, no brand


class Product(NamedTuple):
    """A row of the file, and why it is left out, or ""."""

    id: str
    image: str
    category: str
    supercategory: str
    item: str
    problem: str


class Shop(ImageFiles):
    """A picture a product, all of view shop, without splits.

    `styles.csv` of Myntra lies beside `images/<id>.jpg`: category is articleType, supercategory is subCategory, and
    every row is an item; Tshirts whose name holds the word polo are `Tshirts/polo`. Any other file has a header with
    `picture` (or path, image; relative to the file), `category` (or label, articleType) and, where it is known, `item`
    (or product); other columns are not read. Left out are rows without a picture or category, and those that stand
    twice.

    Args:
        root: the folder of styles.csv, or a CSV file.
    """

    licence = "Myntra: MIT, as Kaggle shows it (not confirmed); other pictures: yours to know"

    def __init__(self, root: str) -> None:
        super().__init__(root)
        if self.root.is_dir() or self.root.name == STYLES_FILE:
            self.expected = (
                ExpectedFile(STYLES_FILE, "a line a product"),
                ExpectedFile("images/*.jpg", "a picture a product, named by its id"),
            )
            self.published = PublishedCounts({"": 44_446})  # five of them have no picture

    def list_garments(self) -> tuple[Catalogue, dict[str, str]]:
        file = self.root / STYLES_FILE if self.root.is_dir() else self.root
        if not file.is_file():
            raise FileNotFoundError(f"no file {file}: give data.root a CSV file, or the folder of styles.csv")
        try:
            products = list(_deduplicate(self._products(file)))
            kept = [product for product in products if not product.problem]
            if not kept:
                first = f"; the first: {products[0].problem}" if products else ""
                raise ValueError(f"none of its {len(products)} rows is of use{first}")
        except UnicodeDecodeError as error:
            raise ValueError(f"{file}: {error}: save it as CSV in UTF-8") from error
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
        names = ("id", "image", "supercategory", "item")
        columns = {name: [getattr(product, name) for product in kept] for name in names}
        categories = normalise_spelling([product.category for product in kept])
        constants = {"view": ["shop"] * len(kept), "source": ["shop"] * len(kept)}
        left_out = {product.id: product.problem for product in products if product.problem}
        return Catalogue.from_columns({**columns, "category": categories, **constants}), left_out

    def _products(self, file: Path) -> Iterator[Product]:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            header = [name.strip() for name in next(csv_rows(stream), (1, []))[1]]
            if set(STYLES_COLUMNS) <= set(header):
                yield from _parse_styles(stream, header)
            else:
                yield from _parse_crawled((cells for _, cells in csv_rows(stream, first=2)), header)


def _parse_styles(lines: Iterator[str] | Sequence[str], header: Sequence[str]) -> Iterator[Product]:
    """Myntra's rows; their last cell, the name, may hold commas without quotes."""
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        cells = [cell.strip().strip('"') for cell in line.split(",", len(header) - 1)]
        row = dict(zip(header, cells, strict=False))
        product_id, category = row.get("id", ""), row.get("articleType", "")
        name = product_id or f"row {number}"
        problem = "" if product_id and category else f"row {number} has no {'articleType' if product_id else 'id'}"
        if category.casefold() == "tshirts" and POLO.search(row.get("productDisplayName", "")):
            category = f"{category}/polo"
        yield Product(name, f"images/{name}.jpg", category, row.get("subCategory", ""), name, problem)


def _parse_crawled(rows: Iterator[list[str]], header: Sequence[str]) -> Iterator[Product]:
    """Rows of any file with a header.  ValueError: it names no pictures or categories."""
    for names in (IMAGE_COLUMNS, CATEGORY_COLUMNS):
        if not set(names) & set(header):
            raise ValueError(f"its columns are {', '.join(header) or 'none'}: give it one called {' or '.join(names)}")
    for number, cells in enumerate(rows, start=2):
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        image, category, item = (_first_value(row, names) for names in (IMAGE_COLUMNS, CATEGORY_COLUMNS, ITEM_COLUMNS))
        problem = "" if image and category else f"row {number} has no {'category' if image else 'image'}"
        if len(cells) != len(header):  # a comma too many would shift what comes after it
            problem = f"row {number} has {len(cells)} cells for {len(header)} columns: quote cells with commas in them"
        if any(cells):
            yield Product(image or f"row {number}", image, category, "", item, problem)


def _first_value(row: Mapping[str, str], names: Sequence[str]) -> str:
    """The cell of the first of these columns that the file has."""
    return next((row[name] for name in names if name in row), "")


def _deduplicate(products: Iterator[Product]) -> Iterator[Product]:
    """The same products; of those that stand twice, all but the first get a name of their own and a problem."""
    counts: dict[str, int] = {}
    for product in products:
        counts[product.id] = count = counts.get(product.id, 0) + 1
        if count > 1:
            problem = product.problem or f"{product.id} stands in the file before; the first is kept"
            product = product._replace(id=f"{product.id}#{count}", problem=problem)
        yield product
