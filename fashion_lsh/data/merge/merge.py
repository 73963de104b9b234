"""Merge sources into one catalogue: map labels, remove duplicates, assign splits without leaks."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from hashlib import sha256

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets import Source
from fashion_lsh.data.datasets.image_files import ImageFiles
from fashion_lsh.data.duplicate_groups import group_exact_copies, group_near_duplicates
from fashion_lsh.data.image_scan import ImageInfo, clean_catalogue, scan
from fashion_lsh.data.leaks import find_leaks
from fashion_lsh.data.merge.recipe import Recipe, assign_splits, limit_categories
from fashion_lsh.data.merge.taxonomy import LabelMap
from fashion_lsh.data.splits import LINK_COLUMNS

log = logging.getLogger(__name__)

UNKNOWN_IN_GROUP = "[{}]"  # category of garments whose group only is known
PREFIXED_COLUMNS = ("id", "image", "item", "group")  # made unique with the prefix <source>/


@dataclass(frozen=True)
class ScannedSource:
    """Input of `merge` for one source: rows, scans by image, skipped rows (id -> reason), label map, image loader."""

    catalogue: Catalogue
    scanned: Mapping[str, ImageInfo]
    skipped: Mapping[str, str]
    labels: LabelMap
    image: Callable[[str], np.ndarray]


@dataclass(frozen=True)
class Merged:
    """Merged catalogue, and a record of skipped rows, duplicates and leaks.

    Attributes:
        catalogue: Rows with ids `<source>/<id>` and images `<source>/<image>`.
        scanned: Scan of each image, by key.
        skipped: Skipped rows: id -> reason.
        unmapped: (source, label) -> (garments, group or "", whether the label map contains the label).
        leaks: (column, value) present in two splits; only with official splits.
        near_duplicates: Number of images with a near-duplicate.
        copies: Number of images byte-identical to another one; only with official splits.
    """

    catalogue: Catalogue
    scanned: Mapping[str, ImageInfo]
    skipped: dict[str, str] = field(default_factory=dict)
    unmapped: dict[tuple[str, str], tuple[int, str, bool]] = field(default_factory=dict)
    leaks: list[tuple[str, str]] = field(default_factory=list)
    near_duplicates: int = 0
    copies: int = 0


def scan_source(name: str, source: Source, labels: LabelMap, fingerprints: bool) -> ScannedSource:
    """List a source and scan each image once; only image files get a fingerprint."""
    if isinstance(source, ImageFiles):
        catalogue, skipped = source.list_garments()
        scanned = scan(source.folder, catalogue.column("image"), fingerprints)
        return ScannedSource(catalogue, scanned, skipped, labels, source.image)
    catalogue = source.catalogue()
    scanned = {key: _scan_pixels(source.image(key)) for key in catalogue.column("image")}
    log.info("%s: %d garments", name, len(catalogue))
    return ScannedSource(catalogue, scanned, {}, labels, source.image)


def merge(sources: Mapping[str, ScannedSource], recipe: Recipe) -> Merged:
    """Merge sources, given by name, into one catalogue; deterministic given sources and recipe.

    Of exact copies the first is kept; images with a category come first, and among them queries. The groups and items
    of the removed copies are linked to the kept one. With official splits all copies are kept, in one group.
    Near-duplicates share a group, so that assigned splits do not separate them.

    Raises:
        ValueError: No garment is left, or a category is too small to split.
    """
    skipped: dict[str, str] = {}
    unmapped: dict[tuple[str, str], tuple[int, str, bool]] = {}
    scanned: dict[str, ImageInfo] = {}
    parts = []
    for name in sorted(sources):
        mapped = _map_labels(name, sources[name])
        parts.append(mapped.catalogue)
        skipped |= mapped.skipped
        unmapped |= mapped.unmapped
        scanned |= {f"{name}/{image}": info for image, info in sources[name].scanned.items()}
    usable = clean_catalogue(
        group_exact_copies(reduce(Catalogue.concatenate, parts), scanned), scanned, keep_copies=recipe.official
    )
    with_groups, near_duplicates = group_near_duplicates(
        usable.catalogue, scanned, recipe.distance, lambda key: load_image(sources, key)
    )
    kept, over_limits = limit_categories(with_groups, recipe)
    skipped |= usable.skipped | over_limits
    if not kept.column("main").any():
        raise ValueError(
            f"no garment of {', '.join(sources)} is left; {len(skipped):,} were skipped, the first reason is: "
            f"{next(iter(skipped.values()), 'no garment was listed')}"
        )
    rows = assign_splits(kept, recipe)
    leaks = [(column, name) for column in LINK_COLUMNS for name in find_leaks(rows, column)]
    images = set(rows.column("image"))
    digest_counts = Counter(scanned[name].digest for name in images)
    copies = sum(count for count in digest_counts.values() if count > 1)
    return Merged(rows, scanned, skipped, unmapped, leaks, len(near_duplicates & images), copies)


def _scan_pixels(image: np.ndarray) -> ImageInfo:
    return ImageInfo(image.shape[1], image.shape[0], sha256(image.tobytes()).hexdigest(), "")


def _map_labels(name: str, source: ScannedSource) -> Merged:
    """Map one source's labels to the taxonomy and prefix ids, images, items and groups with its name."""
    catalogue = source.catalogue
    labels, ids = catalogue.column("category"), catalogue.column("id")
    categories, groups = source.labels.lookup(list(labels))
    unknown = source.labels.unknown(list(labels))
    kept = np.flatnonzero((categories != "") | (groups != ""))
    skipped = {
        f"{name}/{ids[row]}": f"label {labels[row]!r} maps to no category"
        for row in np.flatnonzero((categories == "") & (groups == ""))
    }
    unmapped_counts = Counter(labels[categories == ""])
    group_of = dict(zip(labels, groups, strict=True))
    rows = catalogue.take(kept)
    categories, groups = categories[kept], groups[kept]
    mapped = rows.with_columns(
        category=[
            category or UNKNOWN_IN_GROUP.format(group) for category, group in zip(categories, groups, strict=True)
        ],
        supercategory=groups,
        main=rows.column("main") & (categories != ""),
        source=[name] * len(rows),
        **{
            column: [f"{name}/{value}" if value else "" for value in rows.column(column)] for column in PREFIXED_COLUMNS
        },
    )
    unmapped = {
        (name, label): (count, group_of[label], label not in unknown) for label, count in unmapped_counts.items()
    }
    source_skipped = {f"{name}/{row}": reason for row, reason in source.skipped.items()}
    return Merged(mapped, {}, source_skipped | skipped, unmapped)


def load_image(sources: Mapping[str, Source | ScannedSource], key: str) -> np.ndarray:
    """Load the image `<source>/<key in the source>`: (H, W, 3) uint8.  Raises ImageError."""
    name, _, image_key = key.partition("/")
    return sources[name].image(image_key)
