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
from fashion_lsh.data.datasets.image_files import PictureFiles
from fashion_lsh.data.duplicate_groups import copies_grouped, near_grouped
from fashion_lsh.data.image_scan import Seen, cleaned, scan
from fashion_lsh.data.leaks import on_two_sides
from fashion_lsh.data.merge.recipe import Recipe, bounded, dealt
from fashion_lsh.data.merge.taxonomy import LabelMap
from fashion_lsh.data.splits import LINKS

log = logging.getLogger(__name__)

UNNAMED = "[{}]"  # the category of garments of which only the group is known
UNDER = ("id", "picture", "item", "group")  # columns whose values are told apart by the source's name


@dataclass(frozen=True)
class Listed:
    """What one source lists: its rows, what was seen of their pictures, rows that it left out, id -> reason; how its
    labels are named, and the pixels of a picture."""

    catalogue: Catalogue
    seen: Mapping[str, Seen]
    left_out: Mapping[str, str]
    labels: LabelMap
    picture: Callable[[str], np.ndarray]


@dataclass(frozen=True)
class Merged:
    """One catalogue, and an account of what is not in it.

    Attributes:
        catalogue: rows under `<source>/<id>`; pictures under `<source>/<picture>`.
        seen: what was seen of its pictures.
        left_out: id -> reason.
        unmapped: (source, label) -> (garments, group or "", whether the label map knows the label).
        leaks: (column, value) that stand on two sides of the splits; only official ones have some.
        near: pictures that have a near-duplicate.
        copies: pictures that are the same byte for byte as another of them; only with official splits there are some.
    """

    catalogue: Catalogue
    seen: Mapping[str, Seen]
    left_out: dict[str, str] = field(default_factory=dict)
    unmapped: dict[tuple[str, str], tuple[int, str, bool]] = field(default_factory=dict)
    leaks: list[tuple[str, str]] = field(default_factory=list)
    near: int = 0
    copies: int = 0


def listed(name: str, source: Source, labels: LabelMap, fingerprints: bool) -> Listed:
    """What a source lists, each picture opened once; pictures that are no files get no fingerprint."""
    if isinstance(source, PictureFiles):
        catalogue, left_out = source.listed()
        seen = scan(source.folder, catalogue.column("picture"), fingerprints)
        return Listed(catalogue, seen, left_out, labels, source.picture)
    catalogue = source.catalogue()
    seen = {key: _seen(source.picture(key)) for key in catalogue.column("picture")}
    log.info("%s: %d garments", name, len(catalogue))
    return Listed(catalogue, seen, {}, labels, source.picture)


def merge(sources: Mapping[str, Listed], recipe: Recipe) -> Merged:
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
    seen: dict[str, Seen] = {}
    parts = []
    for name in sorted(sources):
        named = _named(name, sources[name])
        parts.append(named.catalogue)
        left_out |= named.left_out
        unmapped |= named.unmapped
        seen |= {f"{name}/{picture}": what for picture, what in sources[name].seen.items()}
    usable = cleaned(copies_grouped(reduce(Catalogue.joined, parts), seen), seen, copies=recipe.official)
    grouped, near = near_grouped(usable.catalogue, seen, recipe.distance, lambda key: pixels_of(sources, key))
    kept, beyond = bounded(grouped, recipe)
    left_out |= usable.left_out | beyond
    if not kept.column("main").any():
        raise ValueError(
            f"no garment of {', '.join(sources)} is left; of {len(left_out):,} the first: "
            f"{next(iter(left_out.values()), 'none was listed')}"
        )
    rows = dealt(kept, recipe)
    leaks = [(column, name) for column in LINKS for name in on_two_sides(rows, column)]
    pictures = set(rows.column("picture"))
    shown = Counter(seen[name].digest for name in pictures)
    copies = sum(count for count in shown.values() if count > 1)
    return Merged(rows, seen, left_out, unmapped, leaks, len(near & pictures), copies)


def _seen(picture: np.ndarray) -> Seen:
    return Seen(picture.shape[1], picture.shape[0], sha256(picture.tobytes()).hexdigest(), "")


def _named(name: str, listed: Listed) -> Merged:
    """One source's rows in the words of the taxonomy, their ids, pictures, items and groups under its name."""
    own = listed.catalogue
    labels, ids = own.column("category"), own.column("id")
    categories, groups = listed.labels.places(list(labels))
    unknown = listed.labels.unknown(list(labels))
    kept = np.flatnonzero((categories != "") | (groups != ""))
    left_out = {
        f"{name}/{ids[row]}": f"label {labels[row]!r} has none of the categories"
        for row in np.flatnonzero((categories == "") & (groups == ""))
    }
    nameless = Counter(labels[categories == ""])
    group_of = dict(zip(labels, groups, strict=True))
    rows = own.take(kept)
    categories, groups = categories[kept], groups[kept]
    named = rows.having(
        category=[category or UNNAMED.format(group) for category, group in zip(categories, groups, strict=True)],
        supercategory=groups,
        main=rows.column("main") & (categories != ""),
        source=[name] * len(rows),
        **{column: [f"{name}/{value}" if value else "" for value in rows.column(column)] for column in UNDER},
    )
    told = {(name, label): (count, group_of[label], label not in unknown) for label, count in nameless.items()}
    others = {f"{name}/{row}": reason for row, reason in listed.left_out.items()}
    return Merged(named, {}, others | left_out, told)


def pixels_of(sources: Mapping[str, Source | Listed], key: str) -> np.ndarray:
    """(H, W, 3) uint8 of `<source>/<its own key>`.  Raises PictureError."""
    name, _, own = key.partition("/")
    return sources[name].picture(own)
