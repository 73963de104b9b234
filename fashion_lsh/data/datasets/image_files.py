"""What all data sets of picture files share."""

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

SPLIT_ALIASES = {  # what others call the splits; a test set asks
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "query": "query", "test": "query", "gallery": "gallery",
}  # fmt: skip
MAX_LOGGED = 20  # of the rows left out, so many are named in the log


MISSING_IMAGE = "no such picture"  # how the reason begins of a row whose picture is not there


class ExpectedFile(NamedTuple):
    """A file or folder of a data set as it is published: a pattern below its root, or several that are as good, parted
    by `|`; and what it holds."""

    pattern: str
    description: str
    required: bool = True


class PublishedCounts(NamedTuple):
    """How much there is of a data set as it was published, by split; "" for what has none, `all` for all splits."""

    counts: Mapping[str, int]
    unit: Literal["garments", "images"] = "garments"


class ImageFiles(ABC):
    """Pictures below a folder.  `catalogue` opens each once; what is of no use stands in `skipped`: id -> reason.

    Attributes:
        licence: terms of use, of a data set that has some.
        expected: what is published, of a data set with a layout of its own.
        published: how much, where that is known.
        keep_copies: pictures that are the same byte for byte stay, in one group; else one of them does.
    """

    licence: ClassVar[str] = ""
    expected: tuple[ExpectedFile, ...] = ()
    published: PublishedCounts | None = None
    keep_copies = False

    def __init__(self, root: str) -> None:
        self.root = Path(root).expanduser()
        self.folder = self.root if self.root.is_dir() else self.root.parent
        self.skipped: dict[str, str] = {}
        self.checksum = ""  # of the pictures' bytes, once they have been opened

    def catalogue(self, filters: Filters = None) -> Catalogue:
        """The rows wanted (see `Catalogue.filter`) whose pictures open and whose boxes lie on them.

        Raises:
            FileNotFoundError: there is no such folder or file.
            ValueError: it cannot be read, or no row is of use.
        """
        garments, left_out = self.list_garments()
        rows = garments.filter(filters)
        scanned = scan(self.folder, rows.column("image"))
        rows = group_exact_copies(rows, scanned) if self.keep_copies else rows
        kept, unusable, self.checksum = clean_catalogue(rows, scanned, self.keep_copies)
        self.skipped = {**left_out, **unusable}
        for name, reason in list(self.skipped.items())[:MAX_LOGGED]:
            log.warning("skipped %s: %s", name, reason)
        if len(self.skipped) > MAX_LOGGED:
            log.warning("skipped %d more; a run names all of them in skipped.csv", len(self.skipped) - MAX_LOGGED)
        if not len(kept):
            first = f"; the first: {next(iter(self.skipped.values()))}" if self.skipped else ""
            raise ValueError(f"none of the {len(self.skipped)} rows of {self.root} is of use{first}")
        return kept

    @abstractmethod
    def list_garments(self) -> tuple[Catalogue, Mapping[str, str]]:
        """The rows that are named, their pictures not opened yet; and those left out already: id -> reason."""

    def image(self, key: str) -> np.ndarray:
        """(H, W, 3) uint8 RGB, upright.  Raises ImageError."""
        return open_image(self.folder / key)


def normalise_spelling(names: Sequence[str]) -> list[str]:
    """Category names without outer and double blanks; of names that differ in case alone, the commonest spelling."""
    normalised = [" ".join(normalize("NFC", name).split()) for name in names]  # ö is one sign, or o and two dots
    counts = Counter(normalised)
    spelling: dict[str, str] = {}
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        spelling.setdefault(name.casefold(), name)
    return [spelling[name.casefold()] for name in normalised]


def report_unreadable(errors: Iterable[OSError]) -> dict[str, str]:
    """Folders that could not be read, by path: why; each named in the log."""
    reasons = {str(error.filename): f"a folder that cannot be read ({error.strerror})" for error in errors}
    for folder, reason in reasons.items():
        log.warning("%s: %s: what lies in it is left out", folder, reason)
    return reasons
