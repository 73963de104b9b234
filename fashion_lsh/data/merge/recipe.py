"""Which rows of a merged catalogue stay, and who of them trains, tunes, asks and is searched."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.splits import split, units_of

log = logging.getLogger(__name__)


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

    @property
    def parts(self) -> int:
        """How many splits get a share."""
        return sum(share > 0 for share in self.shares.values())


def bounded(catalogue: Catalogue, recipe: Recipe) -> tuple[Catalogue, dict[str, str]]:
    """Categories that are large enough, none larger than it may be; and why the other rows are left out.

    In a picture with garments that stay, the others stay too, but are not what it is about.
    """
    main, names, units = catalogue.column("main").copy(), catalogue.column("category"), units_of(catalogue)
    least = recipe.least if recipe.official else max(recipe.least, recipe.parts)
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
    kept = catalogue.having(main=main).take(np.flatnonzero(~alone))
    return kept, {ids[row]: str(why[row]) for row in np.flatnonzero(alone)}


def dealt(catalogue: Catalogue, recipe: Recipe) -> Catalogue:
    """Splits for rows without one: main garments are dealt, but those of categories of which too few are left beside
    official splits train; others go where those go that they share a picture, group or item with, or train, too."""
    splits = catalogue.column("split").copy()
    if not recipe.official:
        splits[:] = ""
    main, units, pictures = catalogue.column("main"), units_of(catalogue), catalogue.column("picture")
    free = np.flatnonzero(main & (splits == ""))
    few = _few(catalogue.column("category")[free], units[free], recipe.parts)
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
