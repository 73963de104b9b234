"""What the parts of DeepFashion's benchmark of 50 categories share."""

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
TEE, LONG_SLEEVE = "Tee", "long sleeve"  # a category, and the attribute that parts it


class Category(NamedTuple):
    """A name, and what it dresses: upper | lower | full."""

    name: str
    kind: str


OFFICIAL_CATEGORIES = (  # numbers 1 to 50
    *(Category(name, "upper") for name in UPPER),
    *(Category(name, "lower") for name in LOWER),
    *(Category(name, "full") for name in FULL),
)


class Annotation(NamedTuple):
    """What the files say of a picture: category's number from 1, box, published split, whether it has long sleeves."""

    number: str
    box: Sequence[str]
    split: str
    long_sleeved: bool


class FiftyCategories(ImageFiles):
    """What both parts of the benchmark share."""

    licence = LICENCE
    annotation_folders: ClassVar[tuple[str, ...]]  # folders, the first that has a file is taken
    source: ClassVar[str]

    def list_garments(self) -> tuple[Catalogue, Reasons]:
        annotations, left_out = self._read_annotations()
        locations, missing = find_images(self.root, annotations)
        rows = ((path, self._row(path, location, annotations[path])) for path, location in locations.items())
        return files.build_catalogue(rows, left_out | missing)

    @abstractmethod
    def _read_annotations(self) -> tuple[dict[str, Annotation], Reasons]:
        """By picture; and why others are left out."""

    @cached_property
    def names(self) -> list[Category]:
        """Categories by number; the first has number 1."""
        return read_categories(self._file("list_category_cloth.txt"))

    def _file(self, name: str) -> Path:
        return files.find_file(self.root, name, *self.annotation_folders)

    def _row(self, path: str, location: str, annotation: Annotation) -> Mapping[str, Any] | str:
        """The columns of a garment, or why it is of no use."""
        known, box = category_by_number(annotation.number, self.names), parse_box(annotation.box)
        split = SPLIT_ALIASES.get(annotation.split.lower())
        if known is None:
            return f"its category {annotation.number!r} is none of 1 to {len(self.names)}"
        if box is None:
            return f"its box {' '.join(annotation.box)} is no box with an area"
        if split is None:
            return f"its split {annotation.split!r} is unknown"
        return {
            "image": location,
            "category": f"{TEE}/{LONG_SLEEVE}" if known.name == TEE and annotation.long_sleeved else known.name,
            "supercategory": known.kind, "item": "", "group": path.rpartition("/")[0],
            "split": split, "view": "", "source": self.source, "box": box,
        }  # fmt: skip


def read_categories(path: Path) -> list[Category]:
    """Categories 1 to 50 in order, of `list_category_cloth.txt`; the official ones where a copy has another number.

    Some copies leave out the four without pictures, and still number by all 50.
    """
    given = files.read_names(path)
    if len(given) != len(OFFICIAL_CATEGORIES):
        log.warning(
            "%s has %d categories: numbers are read by the official %d", path, len(given), len(OFFICIAL_CATEGORIES)
        )
        return list(OFFICIAL_CATEGORIES)
    if [name for name, _ in given] != [name for name, _ in OFFICIAL_CATEGORIES]:
        log.warning("%s names other categories than the official ones: its own are taken", path)
    unknown = next((kind for _, kind in given if not files.parse_clothes_type(kind)), None)
    if unknown is not None:
        raise ValueError(f"{path}: category_type {unknown!r} is none of 1, 2, 3: give the official file")
    return [Category(name, files.parse_clothes_type(kind)) for name, kind in given]


def category_by_number(number: str, names: Sequence[Category]) -> Category | None:
    """The category of a number that counts from 1, in decimals; None: there is none."""
    index = int(number) if number.isdecimal() else 0
    return names[index - 1] if 1 <= index <= len(names) else None


def long_sleeve_index(names: Sequence[str]) -> int | None:
    """Position of the attribute `long sleeve`, or `long_sleeve`, from 0; None: there is none."""
    return next((index for index, name in enumerate(names) if name.replace("_", " ") == LONG_SLEEVE), None)
