"""Merge sources into one catalogue: map labels, remove exact copies, assign splits without leaks."""

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

UNKNOWN_IN_GROUP = "[{}]"  # template of the category of a garment with a known group but an unknown category
PREFIXED_COLUMNS = ("id", "image", "item", "group")  # columns whose values are made unique by the prefix <source>/


@dataclass(frozen=True)
class ScannedSource:
    """Input of `merge` for one source.

    Attributes:
        catalogue: Rows with the labels of the source as categories.
        image_infos: Scan result of each image, by key.
        skipped: Skipped rows: id -> reason.
        labels: Label map of the source.
        image: Loads an image by key, (H, W, 3) uint8.
    """

    catalogue: Catalogue
    image_infos: Mapping[str, ImageInfo]
    skipped: Mapping[str, str]
    labels: LabelMap
    image: Callable[[str], np.ndarray]


@dataclass(frozen=True)
class Merged:
    """Result of `merge`: the merged catalogue, and a record of skipped rows, duplicates and leaks.

    Attributes:
        catalogue: Rows with ids `<source>/<id>` and images `<source>/<image>`.
        image_infos: Scan result of each image, by key.
        skipped: Skipped rows: id -> reason.
        unmapped: Labels without a category: (source, label) -> (number of garments, group or "", whether the label map
            contains the label).
        leaks: (column, value) pairs that occur in several splits; empty unless published splits are kept.
        near_duplicates: Number of images with a near-duplicate.
        copies: Number of images that are byte-identical to another image; 0 unless published splits are kept.
    """

    catalogue: Catalogue
    image_infos: Mapping[str, ImageInfo]
    skipped: dict[str, str] = field(default_factory=dict)
    unmapped: dict[tuple[str, str], tuple[int, str, bool]] = field(default_factory=dict)
    leaks: list[tuple[str, str]] = field(default_factory=list)
    near_duplicates: int = 0
    copies: int = 0


def scan_source(name: str, source: Source, labels: LabelMap, fingerprints: bool) -> ScannedSource:
    """List the garments of a source and scan each image once; only image files get a perceptual hash."""
    if isinstance(source, ImageFiles):
        catalogue, skipped = source.list_garments()
        image_infos = scan(source.folder, catalogue.column("image"), fingerprints)
        return ScannedSource(source.correct_boxes(catalogue, image_infos), image_infos, skipped, labels, source.image)
    catalogue = source.catalogue()
    image_infos = {key: _scan_pixels(source.image(key)) for key in catalogue.column("image")}
    log.info("%s: %d garments", name, len(catalogue))
    return ScannedSource(catalogue, image_infos, {}, labels, source.image)


def merge(sources: Mapping[str, ScannedSource], recipe: Recipe) -> Merged:
    """Merge sources into one catalogue; deterministic given sources and recipe.

    Of exact copies one is kept: an image with a category before an image without, then by the order of SPLIT_PRIORITY.
    Rows linked to a removed copy by group or item are linked to the kept copy. If published splits are kept, all copies
    are kept, in one group. Near-duplicates share a group, so that assigned splits do not separate them.

    Args:
        sources: Scanned sources by name.
        recipe: Settings of the merge.

    Raises:
        ValueError: No garment is left, or a category is too small to split.
    """
    skipped: dict[str, str] = {}
    unmapped: dict[tuple[str, str], tuple[int, str, bool]] = {}
    image_infos: dict[str, ImageInfo] = {}
    catalogues = []
    for name in sorted(sources):
        mapped = _map_labels(name, sources[name])
        catalogues.append(mapped.catalogue)
        skipped |= mapped.skipped
        unmapped |= mapped.unmapped
        image_infos |= {f"{name}/{image}": info for image, info in sources[name].image_infos.items()}
    all_rows = group_exact_copies(reduce(Catalogue.concatenate, catalogues), image_infos)
    usable = clean_catalogue(all_rows, image_infos, keep_copies=recipe.keep_official_splits)
    grouped_rows, near_duplicates = group_near_duplicates(
        usable.catalogue, image_infos, recipe.max_distance, lambda key: load_image(sources, key)
    )
    limited_rows, dropped = limit_categories(grouped_rows, recipe)
    skipped |= usable.skipped | dropped
    if not limited_rows.column("main").any():
        raise ValueError(
            f"no garment of {', '.join(sources)} is left; {len(skipped):,} were skipped, the first reason is: "
            f"{next(iter(skipped.values()), 'no garment was listed')}"
        )
    rows = assign_splits(limited_rows, recipe)
    leaks = [(column, name) for column in LINK_COLUMNS for name in find_leaks(rows, column)]
    images = set(rows.column("image"))
    digest_counts = Counter(image_infos[key].digest for key in images)
    copies = sum(count for count in digest_counts.values() if count > 1)
    return Merged(rows, image_infos, skipped, unmapped, leaks, len(near_duplicates & images), copies)


def _scan_pixels(image: np.ndarray) -> ImageInfo:
    return ImageInfo(image.shape[1], image.shape[0], sha256(image.tobytes()).hexdigest(), "")


def _map_labels(name: str, source: ScannedSource) -> Merged:
    """Map the labels of a source to the 30 categories, and add the prefix `<source>/` to PREFIXED_COLUMNS."""
    catalogue = source.catalogue
    labels, ids = catalogue.column("category"), catalogue.column("id")
    categories, groups = source.labels.lookup(list(labels))
    unmatched = source.labels.count_unmatched(list(labels))
    mapped_rows = np.flatnonzero((categories != "") | (groups != ""))
    skipped = {
        f"{name}/{ids[row]}": f"label {labels[row]!r} maps to no category"
        for row in np.flatnonzero((categories == "") & (groups == ""))
    }
    unmapped_counts = Counter(labels[categories == ""])
    label_groups = dict(zip(labels, groups, strict=True))
    rows = catalogue.take(mapped_rows)
    categories, groups = categories[mapped_rows], groups[mapped_rows]
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
        (name, label): (count, label_groups[label], label not in unmatched) for label, count in unmapped_counts.items()
    }
    source_skipped = {f"{name}/{row}": reason for row, reason in source.skipped.items()}
    return Merged(mapped, {}, source_skipped | skipped, unmapped)


def load_image(sources: Mapping[str, Source | ScannedSource], key: str) -> np.ndarray:
    """Load the image with key `<source>/<key in the source>`, (H, W, 3) uint8.  Raises ImageError."""
    name, _, image_key = key.partition("/")
    return sources[name].image(image_key)
