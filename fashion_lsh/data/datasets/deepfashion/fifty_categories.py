"""Base class of the DeepFashion readers with 50 categories."""

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets.deepfashion import files as files
from fashion_lsh.data.datasets.deepfashion.files import LICENCE, Reasons
from fashion_lsh.data.datasets.deepfashion.image_paths import find_images
from fashion_lsh.data.datasets.image_files import SPLIT_ALIASES, ImageFiles
from fashion_lsh.data.schema import parse_box

log = logging.getLogger(__name__)

UPPER = (
    "Anorak", "Blazer", "Blouse", "Bomber", "Button-Down", "Cardigan", "Flannel", "Halter", "Henley", "Hoodie",
    "Jacket", "Jersey", "Parka", "Peacoat", "Poncho", "Sweater", "Tank", "Tee", "Top", "Turtleneck",
)  # fmt: skip
LOWER = (
    "Capris", "Chinos", "Culottes", "Cutoffs", "Gauchos", "Jeans", "Jeggings", "Jodhpurs", "Joggers", "Leggings",
    "Sarong", "Shorts", "Skirt", "Sweatpants", "Sweatshorts", "Trunks",
)  # fmt: skip
FULL = (
    "Caftan", "Cape", "Coat", "Coverup", "Dress", "Jumpsuit", "Kaftan", "Kimono", "Nightdress", "Onesie", "Robe",
    "Romper", "Shirtdress", "Sundress",
)  # fmt: skip
TEE, LONG_SLEEVE = "Tee", "long sleeve"  # category that the attribute divides into two categories


class Category(NamedTuple):
    """Category of the 50.

    Attributes:
        name: Name of the category.
        body_part: upper, lower or full.
    """

    name: str
    body_part: str


OFFICIAL_CATEGORIES = (  # in order of their numbers, 1 to 50
    *(Category(name, "upper") for name in UPPER),
    *(Category(name, "lower") for name in LOWER),
    *(Category(name, "full") for name in FULL),
)


class Annotation(NamedTuple):
    """Annotation of one image.

    Attributes:
        number: Number of the category, from 1.
        box: Box, xyxy in pixels.
        split: Published split.
        long_sleeved: Whether the garment is a tee with the attribute `long sleeve`.
    """

    number: str
    box: Sequence[str]
    split: str
    long_sleeved: bool


class FiftyCategories(ImageFiles):
    """Base class of the coarse and the fine reader; subclasses read the annotations."""

    licence = LICENCE
    annotation_folders: ClassVar[tuple[str, ...]]  # annotation files are searched in this order
    source: ClassVar[str]

    def list_garments(self) -> tuple[Catalogue, Reasons]:
        annotations, skipped = self._read_annotations()
        locations, missing = find_images(self.root, annotations)
        rows = ((path, self._row(path, location, annotations[path])) for path, location in locations.items())
        return files.build_catalogue(rows, skipped | missing)

    @abstractmethod
    def _read_annotations(self) -> tuple[dict[str, Annotation], Reasons]:
        """Return annotations by image path, and reasons for skipped images."""

    @cached_property
    def names(self) -> list[Category]:
        """Categories in order of their numbers, from 1."""
        return read_categories(self._file("list_category_cloth.txt"))

    def _file(self, name: str) -> Path:
        return files.find_file(self.root, name, *self.annotation_folders)

    def _row(self, path: str, location: str, annotation: Annotation) -> Mapping[str, Any] | str:
        """Return the columns of a garment, or the reason to skip the garment."""
        category, box = category_by_number(annotation.number, self.names), parse_box(annotation.box)
        split = SPLIT_ALIASES.get(annotation.split.lower())
        if category is None:
            return f"category number {annotation.number!r} is not in 1..{len(self.names)}"
        if box is None:
            return f"box {' '.join(annotation.box)} has no area"
        if split is None:
            return f"unknown split {annotation.split!r}"
        return {
            "image": location,
            "category": f"{TEE}/{LONG_SLEEVE}" if category.name == TEE and annotation.long_sleeved else category.name,
            "supercategory": category.body_part, "item": "", "group": path.rpartition("/")[0],
            "split": split, "view": "", "source": self.source, "box": box,
        }  # fmt: skip


def read_categories(path: Path) -> list[Category]:
    """Read categories 1 to 50 from `list_category_cloth.txt`.

    If the file does not have 50 categories, the official categories are returned: some copies omit the four categories
    without images but use the official numbers.

    Raises:
        ValueError: A category_type is not 1, 2 or 3.
    """
    entries = files.read_names(path)
    if len(entries) != len(OFFICIAL_CATEGORIES):
        log.warning("%s: %d categories; using the official %d categories", path, len(entries), len(OFFICIAL_CATEGORIES))
        return list(OFFICIAL_CATEGORIES)
    if [name for name, _ in entries] != [name for name, _ in OFFICIAL_CATEGORIES]:
        log.warning("%s: names differ from the official categories; using the names of the file", path)
    unknown_type = next((cell for _, cell in entries if not files.parse_clothes_type(cell)), None)
    if unknown_type is not None:
        raise ValueError(f"{path}: category_type {unknown_type!r} is not 1, 2 or 3; use the official file")
    return [Category(name, files.parse_clothes_type(cell)) for name, cell in entries]


def category_by_number(number: str, names: Sequence[Category]) -> Category | None:
    """Return the category with a number (decimal, from 1); None if the number is out of range."""
    index = int(number) if number.isdecimal() else 0
    return names[index - 1] if 1 <= index <= len(names) else None


def long_sleeve_index(names: Sequence[str]) -> int | None:
    """Return the index of the attribute `long sleeve` (or `long_sleeve`); None if the attribute is missing."""
    return next((index for index, name in enumerate(names) if name.replace("_", " ") == LONG_SLEEVE), None)
