"""Base class and helpers of data sets with image files."""

import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple
from unicodedata import normalize

import numpy as np

from fashion_lsh.data.catalogue import Catalogue, Filters
from fashion_lsh.data.duplicate_groups import group_exact_copies
from fashion_lsh.data.image_scan import ImageInfo, clean_catalogue, scan
from fashion_lsh.data.images import open_image

log = logging.getLogger(__name__)

SPLIT_ALIASES = {  # published name -> split; test images are queries
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "query": "query", "test": "query", "gallery": "gallery",
}  # fmt: skip
MAX_LOGGED = 20  # maximum number of skipped rows in the log
MISSING_IMAGE = "image not found"  # prefix of the reason for a missing image


class ExpectedFile(NamedTuple):
    """File or folder of a published data set.

    Attributes:
        pattern: Glob pattern below the root, or several patterns separated by `|`; a pattern of folders ends in `/`.
        description: Content of the file or folder.
        required: Whether the data set cannot be read without the file.
    """

    pattern: str
    description: str
    required: bool = True

    def paths(self, folder: Path) -> Iterator[Path]:
        """Yield the matching files and folders."""
        for pattern in self.pattern.split("|"):
            yield from folder.glob(pattern)

    def status(self, folder: Path) -> Literal["present", "missing", "optional"]:
        """Return whether the file exists; `optional`: absent and not required."""
        if next(self.paths(folder), None) is not None:
            return "present"
        return "missing" if self.required else "optional"


class PublishedCounts(NamedTuple):
    """Published size of a data set.

    Attributes:
        counts: Number of garments or images by split; "" stands for no split, `all` for all splits.
        unit: Unit of the counts.
    """

    counts: Mapping[str, int]
    unit: Literal["garments", "images"] = "garments"


class DetectionOnly(NamedTuple):
    """Annotations that only the scoring of a detector uses.

    Attributes:
        crowds: Rows of crowds: boxes of regions with several garments that are not annotated one by one.
        images: Images without garments: key -> split, or "" if the data have no splits.
    """

    crowds: Catalogue
    images: Mapping[str, str]


class ImageFiles(ABC):
    """Base class of data sets with image files below a folder.

    Attributes:
        licence: Terms of use, or "".
        expected: Published files, for data sets with a fixed layout.
        published: Published size; None: unknown.
        keep_copies: Whether all byte-identical files are kept, in one group; otherwise one of them is kept.
        skipped: Rows skipped by `catalogue`: id -> reason.
        checksum: Checksum of the image bytes, set by `catalogue`.
        detection_only: Annotations for the scoring of a detector, set by `catalogue`; None: the data set has none.
    """

    licence: ClassVar[str] = ""
    expected: tuple[ExpectedFile, ...] = ()
    published: PublishedCounts | None = None
    keep_copies = False

    def __init__(self, root: str) -> None:
        self.root = Path(root).expanduser()
        self.folder = self.root if self.root.is_dir() else self.root.parent
        self.skipped: dict[str, str] = {}
        self.checksum = ""
        self.detection_only: DetectionOnly | None = None

    def catalogue(self, filters: Filters = None) -> Catalogue:
        """Return the filtered rows (see `Catalogue.filter`) with a readable image and a box that overlaps the image.

        Raises:
            FileNotFoundError: The root does not exist.
            ValueError: The annotations cannot be read, or no row is usable.
        """
        garments, skipped = self.list_garments()
        rows = garments.filter(filters)
        image_infos = scan(self.folder, rows.column("image"))
        rows = self.correct_boxes(rows, image_infos)
        rows = group_exact_copies(rows, image_infos) if self.keep_copies else rows
        usable_rows, unusable, self.checksum = clean_catalogue(rows, image_infos, self.keep_copies)
        self.skipped = {**skipped, **unusable}
        for name, reason in list(self.skipped.items())[:MAX_LOGGED]:
            log.warning("Skipped %s: %s", name, reason)
        if len(self.skipped) > MAX_LOGGED:
            log.warning(
                "Skipped %d more rows; a run lists all skipped rows in skipped.csv", len(self.skipped) - MAX_LOGGED
            )
        if not len(usable_rows):
            hint = f"; the first problem is: {next(iter(self.skipped.values()))}" if self.skipped else ""
            raise ValueError(f"{self.root}: none of {len(self.skipped)} rows is usable{hint}")
        return usable_rows

    @abstractmethod
    def list_garments(self) -> tuple[Catalogue, Mapping[str, str]]:
        """Return the annotated rows without opening images, and reasons for skipped rows: id -> reason."""

    def correct_boxes(self, rows: Catalogue, image_infos: Mapping[str, ImageInfo]) -> Catalogue:  # noqa: ARG002
        """Correct the boxes of rows by the scan results of the images; the default changes nothing."""
        return rows

    def image(self, key: str) -> np.ndarray:
        """Load an image by key, (H, W, 3) uint8 RGB, with the EXIF orientation applied.  Raises ImageError."""
        return open_image(self.folder / key)


def normalise_spelling(names: Sequence[str]) -> list[str]:
    """Collapse whitespace in category names; names that differ only in case get the most frequent spelling."""
    # NFC, because characters such as ö may be one or two code points
    normalised = [" ".join(normalize("NFC", name).split()) for name in names]
    counts = Counter(normalised)
    spellings: dict[str, str] = {}
    for name in sorted(counts, key=lambda name: (-counts[name], name)):
        spellings.setdefault(name.casefold(), name)
    return [spellings[name.casefold()] for name in normalised]


def report_unreadable(errors: Iterable[OSError]) -> dict[str, str]:
    """Log the folders that cannot be read, and return reasons: path -> reason."""
    reasons = {str(error.filename): f"folder cannot be read ({error.strerror})" for error in errors}
    for folder, reason in reasons.items():
        log.warning("Skipped %s: %s", folder, reason)
    return reasons
