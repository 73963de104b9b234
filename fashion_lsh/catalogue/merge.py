"""Several sources as one catalogue: names in common words, copies found, splits without leaks."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from hashlib import sha256

import numpy as np

from fashion_lsh.catalogue.catalogue import Catalogue
from fashion_lsh.catalogue.copies import copies_grouped, near_grouped
from fashion_lsh.catalogue.leaks import on_two_sides
from fashion_lsh.catalogue.scan import Seen, cleaned, scan
from fashion_lsh.catalogue.sources import Source
from fashion_lsh.catalogue.sources.picture_files import PictureFiles
from fashion_lsh.catalogue.splits import LINKS, split, units_of
from fashion_lsh.catalogue.taxonomy import LabelMap

log = logging.getLogger(__name__)

UNNAMED = "[{}]"  # the category of garments of which only the group is known
UNDER = ("id", "picture", "item", "group")  # columns whose values are told apart by the source's name


@dataclass(frozen=True)
class Recipe:
    """How sources become one catalogue.

    Attributes:
        most: garments of a category at most, drawn by the seed; None: all.
        least: separate pictures or items that a category needs, one for each split at least, or it is left out.
        distance: bits that the fingerprints of near-duplicates may differ in; None: they are not looked for.
        official: keep the splits that the sources come with, leaks and all; rows without one are dealt.
        shares: of the splits (see `splits.split`).
        seed: of what is drawn.

    Raises:
        ValueError: a number is below what it may be.
    """

    most: int | None
    least: int
    distance: int | None
    official: bool
    shares: Mapping[str, float]
    seed: int

    def __post_init__(self) -> None:
        for name, least in (("most", 1), ("least", 0), ("distance", 0), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}={value}: give {least} or more")


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
        names = list(dict.fromkeys(catalogue.column("picture")))
        return Listed(catalogue, scan(source.folder, names, fingerprints), left_out, labels, source.picture)
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
    grouped, near = near_grouped(usable.catalogue, seen, recipe.distance, lambda key: _pixels(sources, key))
    bounded, beyond = _bounded(grouped, recipe)
    left_out |= usable.left_out | beyond
    if not bounded.column("main").any():
        raise ValueError(
            f"no garment of {', '.join(sources)} is left; of {len(left_out):,} the first: "
            f"{next(iter(left_out.values()), 'none was listed')}"
        )
    dealt = _dealt(bounded, recipe)
    leaks = [(column, name) for column in LINKS for name in on_two_sides(dealt, column)]
    pictures = set(dealt.column("picture"))
    shown = Counter(seen[name].digest for name in pictures)
    copies = sum(count for count in shown.values() if count > 1)
    return Merged(dealt, seen, left_out, unmapped, leaks, len(near & pictures), copies)


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


def _bounded(catalogue: Catalogue, recipe: Recipe) -> tuple[Catalogue, dict[str, str]]:
    """Categories that are large enough, none larger than it may be; and why the other rows are left out.

    In a picture with garments that stay, the others stay too, but are not what it is about.
    """
    main, names, units = catalogue.column("main").copy(), catalogue.column("category"), units_of(catalogue)
    least = recipe.least if recipe.official else max(recipe.least, sum(share > 0 for share in recipe.shares.values()))
    why = np.full(len(catalogue), "", dtype=object)
    for number, name in enumerate(catalogue.categories):
        rows = drawn = np.flatnonzero(main & (names == name))
        if recipe.most is not None and len(rows) > recipe.most:
            drawn = np.random.default_rng([recipe.seed, number]).permutation(rows)[: recipe.most]
            why[np.setdiff1d(rows, drawn)] = (
                f"{recipe.most:,} of the {len(rows):,} garments of category {name!r} were drawn"
            )
        if (separate := len(np.unique(units[drawn]))) < least:
            why[rows] = f"category {name!r} has {separate:,} separate pictures or items, under {least:,}"
    main &= why == ""
    pictures = catalogue.column("picture").astype(str)
    alone = (why != "") & ~np.isin(pictures, pictures[main])
    ids = catalogue.column("id")
    bounded = catalogue.having(main=main).take(np.flatnonzero(~alone))
    return bounded, {ids[row]: str(why[row]) for row in np.flatnonzero(alone)}


def _pixels(sources: Mapping[str, Listed], key: str) -> np.ndarray:
    name, _, own = key.partition("/")
    return sources[name].picture(own)


def _dealt(catalogue: Catalogue, recipe: Recipe) -> Catalogue:
    """Splits for rows without one: main garments are dealt, but those of categories of which too few are left beside
    official splits train; others go where those go that they share a picture, group or item with, or train, too."""
    splits = catalogue.column("split").copy()
    if not recipe.official:
        splits[:] = ""
    main, units, pictures = catalogue.column("main"), units_of(catalogue), catalogue.column("picture")
    free = np.flatnonzero(main & (splits == ""))
    few = _few(catalogue.column("category")[free], units[free], sum(share > 0 for share in recipe.shares.values()))
    splits[free[few]] = "train"
    if few.any():
        log.warning("%d garments without a split train: of their categories too few have none", few.sum())
    free = free[~few]
    if len(free):  # rows that hang together through others, which are not dealt, are dealt together
        own = catalogue.take(free).having(split=[""] * len(free), group=[str(unit) for unit in units[free]])
        splits[free] = split(own, recipe.shares, recipe.seed).column("split")
    of_unit, of_picture = (dict(zip(names[main], splits[main], strict=True)) for names in (units, pictures))
    for row in np.flatnonzero(~main & (splits == "")):
        splits[row] = of_picture.get(pictures[row]) or of_unit.get(units[row], "train")
    return catalogue.having(split=splits)


def _few(categories: np.ndarray, units: np.ndarray, least: int) -> np.ndarray:
    """(N,) bool: rows of categories with fewer units than `least`, and what hangs together with them."""
    few = np.zeros(len(units), dtype=bool)
    while short := [name for name in set(categories[~few]) if len(set(units[~few & (categories == name)])) < least]:
        few |= np.isin(units, units[np.isin(categories.astype(str), short)])
    return few
