"""Several sources as one catalogue: names in common words, copies found, splits without leaks."""

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

UNKNOWN_IN_GROUP = "[{}]"  # the category of garments of which only the group is known
PREFIXED_COLUMNS = ("id", "image", "item", "group")  # columns whose values are told apart by the source's name


@dataclass(frozen=True)
class ScannedSource:
    """What one source lists: its rows, what was seen of their pictures, rows that it left out, id -> reason; how its
    labels are named, and the pixels of a picture."""

    catalogue: Catalogue
    scanned: Mapping[str, ImageInfo]
    left_out: Mapping[str, str]
    labels: LabelMap
    image: Callable[[str], np.ndarray]


@dataclass(frozen=True)
class Merged:
    """One catalogue, and an account of what is not in it.

    Attributes:
        catalogue: rows under `<source>/<id>`; pictures under `<source>/<picture>`.
        scanned: what was seen of its pictures.
        left_out: id -> reason.
        unmapped: (source, label) -> (garments, group or "", whether the label map knows the label).
        leaks: (column, value) that stand on two sides of the splits; only official ones have some.
        near_duplicates: pictures that have a near-duplicate.
        copies: pictures that are the same byte for byte as another of them; only with official splits there are some.
    """

    catalogue: Catalogue
    scanned: Mapping[str, ImageInfo]
    left_out: dict[str, str] = field(default_factory=dict)
    unmapped: dict[tuple[str, str], tuple[int, str, bool]] = field(default_factory=dict)
    leaks: list[tuple[str, str]] = field(default_factory=list)
    near_duplicates: int = 0
    copies: int = 0


def scan_source(name: str, source: Source, labels: LabelMap, fingerprints: bool) -> ScannedSource:
    """What a source lists, each picture opened once; pictures that are no files get no fingerprint."""
    if isinstance(source, ImageFiles):
        catalogue, left_out = source.list_garments()
        scanned = scan(source.folder, catalogue.column("image"), fingerprints)
        return ScannedSource(catalogue, scanned, left_out, labels, source.image)
    catalogue = source.catalogue()
    scanned = {key: _scan_pixels(source.image(key)) for key in catalogue.column("image")}
    log.info("%s: %d garments", name, len(catalogue))
    return ScannedSource(catalogue, scanned, {}, labels, source.image)


def merge(sources: Mapping[str, ScannedSource], recipe: Recipe) -> Merged:
    """Sources, by name, as one catalogue.

    The same sources and recipe give the same catalogue everywhere. Of exact copies the first stays, one that is
    classified before others, of these one that asks; what hung on the others hangs on it. With official splits all
    stay, as they were published, in one group. Near-duplicates share a group, so that they stand on one side of the
    splits that are dealt.

    Raises:
        ValueError: nothing is left, or a category is too small to be split.
    """
    left_out: dict[str, str] = {}
    unmapped: dict[tuple[str, str], tuple[int, str, bool]] = {}
    scanned: dict[str, ImageInfo] = {}
    parts = []
    for name in sorted(sources):
        mapped = _map_labels(name, sources[name])
        parts.append(mapped.catalogue)
        left_out |= mapped.left_out
        unmapped |= mapped.unmapped
        scanned |= {f"{name}/{image}": info for image, info in sources[name].scanned.items()}
    usable = clean_catalogue(
        group_exact_copies(reduce(Catalogue.concatenate, parts), scanned), scanned, keep_copies=recipe.official
    )
    with_groups, near_duplicates = group_near_duplicates(
        usable.catalogue, scanned, recipe.distance, lambda key: load_image(sources, key)
    )
    kept, over_limits = limit_categories(with_groups, recipe)
    left_out |= usable.left_out | over_limits
    if not kept.column("main").any():
        raise ValueError(
            f"no garment of {', '.join(sources)} is left; of {len(left_out):,} the first: "
            f"{next(iter(left_out.values()), 'none was listed')}"
        )
    rows = assign_splits(kept, recipe)
    leaks = [(column, name) for column in LINK_COLUMNS for name in find_leaks(rows, column)]
    images = set(rows.column("image"))
    digest_counts = Counter(scanned[name].digest for name in images)
    copies = sum(count for count in digest_counts.values() if count > 1)
    return Merged(rows, scanned, left_out, unmapped, leaks, len(near_duplicates & images), copies)


def _scan_pixels(image: np.ndarray) -> ImageInfo:
    return ImageInfo(image.shape[1], image.shape[0], sha256(image.tobytes()).hexdigest(), "")


def _map_labels(name: str, source: ScannedSource) -> Merged:
    """One source's rows in the words of the taxonomy, their ids, pictures, items and groups under its name."""
    catalogue = source.catalogue
    labels, ids = catalogue.column("category"), catalogue.column("id")
    categories, groups = source.labels.lookup(list(labels))
    unknown = source.labels.unknown(list(labels))
    kept = np.flatnonzero((categories != "") | (groups != ""))
    left_out = {
        f"{name}/{ids[row]}": f"label {labels[row]!r} has none of the categories"
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
    source_left_out = {f"{name}/{row}": reason for row, reason in source.left_out.items()}
    return Merged(mapped, {}, source_left_out | left_out, unmapped)


def load_image(sources: Mapping[str, Source | ScannedSource], key: str) -> np.ndarray:
    """(H, W, 3) uint8 of `<source>/<its own key>`.  Raises ImageError."""
    name, _, image_key = key.partition("/")
    return sources[name].image(image_key)
