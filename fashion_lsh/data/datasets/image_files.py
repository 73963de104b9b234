"""Base class and helpers of data sets that read image files."""

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple
from unicodedata import normalize

import numpy as np

from fashion_lsh.data.catalogue import Catalogue, Filters
from fashion_lsh.data.duplicate_groups import group_exact_copies
from fashion_lsh.data.image_scan import clean_catalogue, scan
from fashion_lsh.data.images import open_image

log = logging.getLogger(__name__)

SPLIT_ALIASES = {  # test images are queries
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "query": "query", "test": "query", "gallery": "gallery",
}  # fmt: skip
MAX_LOGGED = 20  # skipped rows listed in the log
MISSING_IMAGE = "image not found"  # first words of the reason for a missing image


class ExpectedFile(NamedTuple):
    """File or folder of a data set as published: glob pattern below the root (alternatives separated by `|`) and its
    content."""

    pattern: str
    description: str
    required: bool = True


class PublishedCounts(NamedTuple):
    """Published size of a data set by split; "" stands for no split, `all` for all splits."""

    counts: Mapping[str, int]
    unit: Literal["garments", "images"] = "garments"


class ImageFiles(ABC):
    """Data set of image files below a folder. `catalogue` opens each file once and fills `skipped`: id -> reason.

    Attributes:
        licence: Terms of use, or "".
        expected: Published files, for data sets with a fixed layout.
        published: Published size, if known.
        keep_copies: Keep all byte-identical files, in one group; otherwise keep one of each.
    """

    licence: ClassVar[str] = ""
    expected: tuple[ExpectedFile, ...] = ()
    published: PublishedCounts | None = None
    keep_copies = False

    def __init__(self, root: str) -> None:
        self.root = Path(root).expanduser()
        self.folder = self.root if self.root.is_dir() else self.root.parent
        self.skipped: dict[str, str] = {}
        self.checksum = ""  # of the images' bytes; set by `catalogue`

    def catalogue(self, filters: Filters = None) -> Catalogue:
        """Return filtered rows (see `Catalogue.filter`) with readable images and boxes that overlap them.

        Raises:
            FileNotFoundError: The root does not exist.
            ValueError: The annotations cannot be read, or no row is usable.
        """
        garments, skipped = self.list_garments()
        rows = garments.filter(filters)
        scanned = scan(self.folder, rows.column("image"))
        rows = group_exact_copies(rows, scanned) if self.keep_copies else rows
        kept, unusable, self.checksum = clean_catalogue(rows, scanned, self.keep_copies)
        self.skipped = {**skipped, **unusable}
        for name, reason in list(self.skipped.items())[:MAX_LOGGED]:
            log.warning("Skipped %s: %s", name, reason)
        if len(self.skipped) > MAX_LOGGED:
            log.warning("Skipped %d more; a run lists all of them in skipped.csv", len(self.skipped) - MAX_LOGGED)
        if not len(kept):
            first = f"; the first problem is: {next(iter(self.skipped.values()))}" if self.skipped else ""
            raise ValueError(f"{self.root}: none of {len(self.skipped)} rows is usable{first}")
        return kept

    @abstractmethod
    def list_garments(self) -> tuple[Catalogue, Mapping[str, str]]:
        """Return the annotated rows without opening images, and reasons for skipped ones: id -> reason."""

    def image(self, key: str) -> np.ndarray:
        """Load an image: (H, W, 3) uint8 RGB, upright.  Raises ImageError."""
        return open_image(self.folder / key)


def normalise_spelling(names: Sequence[str]) -> list[str]:
    """Collapse whitespace in category names, and use the most frequent spelling of names that differ only in case."""
    normalised = [" ".join(normalize("NFC", name).split()) for name in names]  # ö may be one or two code points
    counts = Counter(normalised)
    spelling: dict[str, str] = {}
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        spelling.setdefault(name.casefold(), name)
    return [spelling[name.casefold()] for name in normalised]


def report_unreadable(errors: Iterable[OSError]) -> dict[str, str]:
    """Log folders that cannot be read, and return path -> reason."""
    reasons = {str(error.filename): f"folder cannot be read ({error.strerror})" for error in errors}
    for folder, reason in reasons.items():
        log.warning("Skipped %s: %s", folder, reason)
    return reasons
