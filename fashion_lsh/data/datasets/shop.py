"""Shop images listed in a CSV file: Myntra's styles.csv, or a file with crawled products."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.image_files import ExpectedFile, ImageFiles, PublishedCounts, normalise_spelling
from fashion_lsh.data.schema import COLUMN_ALIASES, COLUMNS, infer_type
from fashion_lsh.io.files import csv_rows

STYLES_FILE = "styles.csv"
STYLES_COLUMNS = ("id", "articleType", "productDisplayName")  # a file with these columns is read as styles.csv
IMAGE_COLUMNS, CATEGORY_COLUMNS, ITEM_COLUMNS = (
    ("image", "path"),
    ("category", "label", "articleType"),
    ("item", "product"),
)
POLO_REGEX = re.compile(r"\bpolo\b(?!\s+(?:assn|association|club|ralph)\b)", re.IGNORECASE)  # excludes brand names


class Product(NamedTuple):
    """Product in the CSV file; `problem` is the reason to skip the product, or ""; `cells`: all cells by column."""

    id: str
    image: str
    category: str
    supercategory: str
    item: str
    problem: str
    cells: Mapping[str, str]


class Shop(ImageFiles):
    """Shop images: one image per product, view `shop`, without splits.

    For Myntra, `styles.csv` is next to `images/<id>.jpg`. The category is articleType, the supercategory is
    subCategory, and each row is an item. Tshirts with the word polo in the product name become `Tshirts/polo`.
    Other files need a header with `image` (or `path`), `category` (or `label`, `articleType`) and optionally `item` (or
    `product`). Image paths are relative to the file. Columns whose names are not those of a Catalogue are kept, for
    filters of a search (baseColour, season, …). Duplicate rows, and rows without an image or a category, are skipped.

    Args:
        root: Folder of styles.csv, or a CSV file.
    """

    licence = "Myntra: MIT according to Kaggle (not confirmed); other images: check with their owner"

    def __init__(self, root: str) -> None:
        super().__init__(root)
        if self.root.is_dir() or self.root.name == STYLES_FILE:
            self.expected = (
                ExpectedFile(STYLES_FILE, "one row per product"),
                ExpectedFile("images/*.jpg", "one image per product, named by its id"),
            )
            self.published = PublishedCounts({"": 44_446})  # five of these products have no image

    def list_garments(self) -> tuple[Catalogue, dict[str, str]]:
        file = self.root / STYLES_FILE if self.root.is_dir() else self.root
        if not file.is_file():
            raise FileNotFoundError(f"{file}: no such file; set data.root to a CSV file or to the folder of styles.csv")
        try:
            products = list(_deduplicate(self._products(file)))
            usable = [product for product in products if not product.problem]
            if not usable:
                hint = f"; the first problem is: {products[0].problem}" if products else ""
                raise ValueError(f"none of {len(products)} rows is usable{hint}")
        except UnicodeDecodeError as error:
            raise ValueError(f"{file}: {error}; save the file as CSV in UTF-8") from error
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
        names = ("id", "image", "supercategory", "item")
        columns = {name: [getattr(product, name) for product in usable] for name in names}
        categories = normalise_spelling([product.category for product in usable])
        constants = {"view": ["shop"] * len(usable), "source": ["shop"] * len(usable)}
        skipped = {product.id: product.problem for product in products if product.problem}
        further = {name for product in usable for name in product.cells} - {*COLUMNS, *COLUMN_ALIASES, ""}
        kept = {name: infer_type([product.cells.get(name, "") for product in usable]) for name in sorted(further)}
        return Catalogue.from_columns({**columns, "category": categories, **constants, **kept}), skipped

    def _products(self, file: Path) -> Iterator[Product]:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            header = [name.strip() for name in next(csv_rows(stream), (1, []))[1]]
            if set(STYLES_COLUMNS) <= set(header):
                yield from _parse_styles(stream, header)
            else:
                yield from _parse_crawled((cells for _, cells in csv_rows(stream, first=2)), header)


def _parse_styles(lines: Iterator[str] | Sequence[str], header: Sequence[str]) -> Iterator[Product]:
    """Parse styles.csv, whose last cell (the name) may contain unquoted commas."""
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        cells = [cell.strip().strip('"') for cell in line.split(",", len(header) - 1)]
        row = dict(zip(header, cells, strict=False))
        product_id, category = row.get("id", ""), row.get("articleType", "")
        row_id = product_id or f"row {number}"
        problem = "" if product_id and category else f"row {number}: {'articleType' if product_id else 'id'} is empty"
        if category.casefold() == "tshirts" and POLO_REGEX.search(row.get("productDisplayName", "")):
            category = f"{category}/polo"
        yield Product(row_id, f"images/{row_id}.jpg", category, row.get("subCategory", ""), row_id, problem, row)


def _parse_crawled(rows: Iterator[list[str]], header: Sequence[str]) -> Iterator[Product]:
    """Parse the rows of a CSV file other than styles.csv.

    Raises:
        ValueError: the image or category column is missing.
    """
    for names in (IMAGE_COLUMNS, CATEGORY_COLUMNS):
        if not set(names) & set(header):
            raise ValueError(f"columns={', '.join(header) or 'none'}; add a column named {' or '.join(names)}")
    for number, cells in enumerate(rows, start=2):
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        image, category, item = (_first_value(row, names) for names in (IMAGE_COLUMNS, CATEGORY_COLUMNS, ITEM_COLUMNS))
        problem = "" if image and category else f"row {number}: {'category' if image else 'image'} is empty"
        if len(cells) != len(header):  # an unquoted comma shifts all later cells
            problem = f"row {number}: {len(cells)} cells for {len(header)} columns; quote cells that contain commas"
        if any(cells):
            yield Product(image or f"row {number}", image, category, "", item, problem, row)


def _first_value(row: Mapping[str, str], names: Sequence[str]) -> str:
    """Return the cell of the first of these columns that exists in the file, or ""."""
    return next((row[name] for name in names if name in row), "")


def _deduplicate(products: Iterator[Product]) -> Iterator[Product]:
    """Give each repeated product a unique id, and set its `problem`."""
    counts: dict[str, int] = {}
    for product in products:
        counts[product.id] = count = counts.get(product.id, 0) + 1
        if count > 1:
            problem = product.problem or f"duplicate of {product.id}; the first row is kept"
            product = product._replace(id=f"{product.id}#{count}", problem=problem)
        yield product
