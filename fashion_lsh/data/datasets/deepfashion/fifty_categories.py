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
from fashion_lsh.data.datasets.deepfashion.images import on_disk
from fashion_lsh.data.datasets.image_files import SPLIT_WORDS, PictureFiles
from fashion_lsh.data.schema import box_of

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
TEE, LONG = "Tee", "long sleeve"  # a category, and the attribute that parts it


class Category(NamedTuple):
    """A name, and what it dresses: upper | lower | full."""

    name: str
    kind: str


OFFICIAL = (  # numbers 1 to 50
    *(Category(name, "upper") for name in UPPER),
    *(Category(name, "lower") for name in LOWER),
    *(Category(name, "full") for name in FULL),
)


class Facts(NamedTuple):
    """What the files say of a picture: category's number from 1, box, published split, whether it has long sleeves."""

    number: str
    box: Sequence[str]
    split: str
    long: bool


class FiftyCategories(PictureFiles):
    """What both parts of the benchmark share."""

    licence = LICENCE
    annotations: ClassVar[tuple[str, ...]]  # folders, the first that has a file is taken
    source: ClassVar[str]

    def listed(self) -> tuple[Catalogue, Reasons]:
        facts, left_out = self._facts()
        places, gone = on_disk(self.root, facts)
        rows = ((path, self._row(path, place, facts[path])) for path, place in places.items())
        return files.gathered(rows, left_out | gone)

    @abstractmethod
    def _facts(self) -> tuple[dict[str, Facts], Reasons]:
        """By picture; and why others are left out."""

    @cached_property
    def names(self) -> list[Category]:
        """Categories by number; the first has number 1."""
        return known_categories(self._file("list_category_cloth.txt"))

    def _file(self, name: str) -> Path:
        return files.find(self.root, name, *self.annotations)

    def _row(self, path: str, place: str, facts: Facts) -> Mapping[str, Any] | str:
        """The columns of a garment, or why it is of no use."""
        known, box = named(facts.number, self.names), box_of(facts.box)
        split = SPLIT_WORDS.get(facts.split.lower())
        if known is None:
            return f"its category {facts.number!r} is none of 1 to {len(self.names)}"
        if box is None:
            return f"its box {' '.join(facts.box)} is no box with an area"
        if split is None:
            return f"its split {facts.split!r} is unknown"
        return {
            "picture": place, "category": f"{TEE}/{LONG}" if known.name == TEE and facts.long else known.name,
            "supercategory": known.kind, "item": "", "group": path.rpartition("/")[0],
            "split": split, "view": "", "source": self.source, "box": box,
        }  # fmt: skip


def known_categories(path: Path) -> list[Category]:
    """Categories 1 to 50 in order, of `list_category_cloth.txt`; the official ones where a copy has another number.

    Some copies leave out the four without pictures, and still number by all 50.
    """
    given = files.read_names(path)
    if len(given) != len(OFFICIAL):
        log.warning("%s has %d categories: numbers are read by the official %d", path, len(given), len(OFFICIAL))
        return list(OFFICIAL)
    if [name for name, _ in given] != [name for name, _ in OFFICIAL]:
        log.warning("%s names other categories than the official ones: its own are taken", path)
    unknown = next((kind for _, kind in given if not files.kind_of(kind)), None)
    if unknown is not None:
        raise ValueError(f"{path}: category_type {unknown!r} is none of 1, 2, 3: give the official file")
    return [Category(name, files.kind_of(kind)) for name, kind in given]


def named(number: str, names: Sequence[Category]) -> Category | None:
    """The category of a number that counts from 1, in decimals; None: there is none."""
    place = int(number) if number.isdecimal() else 0
    return names[place - 1] if 1 <= place <= len(names) else None


def place_of_long_sleeves(names: Sequence[str]) -> int | None:
    """Position of the attribute `long sleeve`, or `long_sleeve`, from 0; None: there is none."""
    return next((place for place, name in enumerate(names) if name.replace("_", " ") == LONG), None)
