"""Which rows of a merged catalogue stay, and who of them trains, tunes, asks and is searched."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.splits import connected_units, split

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """How sources become one catalogue.

    Attributes:
        max_per_category: garments of a category at most, drawn by the seed; None: all.
        min_per_category: separate images or items a category needs, one for each split at least, or it is left out.
        distance: bits that the fingerprints of near-duplicates may differ in; None: they are not looked for.
        official: keep the splits that the sources come with, leaks and all; rows without one are dealt.
        ratios: of the splits (see `splits.split`).
        seed: of what is drawn.

    Raises:
        ValueError: a number is below what it may be.
    """

    max_per_category: int | None
    min_per_category: int
    distance: int | None
    official: bool
    ratios: Mapping[str, float]
    seed: int

    def __post_init__(self) -> None:
        for name, minimum in (("max_per_category", 1), ("min_per_category", 0), ("distance", 0), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise ValueError(f"{name}={value}: give {minimum} or more")

    @property
    def n_splits(self) -> int:
        """How many splits get a share."""
        return sum(ratio > 0 for ratio in self.ratios.values())


def limit_categories(catalogue: Catalogue, recipe: Recipe) -> tuple[Catalogue, dict[str, str]]:
    """Categories that are large enough, none larger than it may be; and why the other rows are left out.

    In a picture with garments that stay, the others stay too, but are not what it is about.
    """
    main, names, units = catalogue.column("main").copy(), catalogue.column("category"), connected_units(catalogue)
    min_per_category = recipe.min_per_category if recipe.official else max(recipe.min_per_category, recipe.n_splits)
    reasons = np.full(len(catalogue), "", dtype=object)
    for number, name in enumerate(catalogue.categories):
        rows = chosen = np.flatnonzero(main & (names == name))
        if recipe.max_per_category is not None and len(rows) > recipe.max_per_category:
            chosen = np.random.default_rng([recipe.seed, number]).permutation(rows)[: recipe.max_per_category]
            reasons[np.setdiff1d(rows, chosen)] = (
                f"{recipe.max_per_category:,} of the {len(rows):,} garments of category {name!r} were drawn"
            )
        if (n_units := len(np.unique(units[chosen]))) < min_per_category:
            reasons[rows] = f"category {name!r} has {n_units:,} separate pictures or items, under {min_per_category:,}"
    main &= reasons == ""
    images = catalogue.column("image").astype(str)
    dropped = (reasons != "") & ~np.isin(images, images[main])
    ids = catalogue.column("id")
    kept = catalogue.with_columns(main=main).take(np.flatnonzero(~dropped))
    return kept, {ids[row]: str(reasons[row]) for row in np.flatnonzero(dropped)}


def assign_splits(catalogue: Catalogue, recipe: Recipe) -> Catalogue:
    """Splits for rows without one: main garments are dealt, but those of categories of which too few are left beside
    official splits train; others go where those go that they share a picture, group or item with, or train, too."""
    splits = catalogue.column("split").copy()
    if not recipe.official:
        splits[:] = ""
    main, units, images = catalogue.column("main"), connected_units(catalogue), catalogue.column("image")
    unassigned = np.flatnonzero(main & (splits == ""))
    too_few = _in_small_categories(catalogue.column("category")[unassigned], units[unassigned], recipe.n_splits)
    splits[unassigned[too_few]] = "train"
    if too_few.any():
        log.warning("%d garments without a split train: of their categories too few have none", too_few.sum())
    unassigned = unassigned[~too_few]
    if len(unassigned):  # rows that hang together through others, which are not dealt, are dealt together
        subset = catalogue.take(unassigned).with_columns(
            split=[""] * len(unassigned), group=[str(unit) for unit in units[unassigned]]
        )
        splits[unassigned] = split(subset, recipe.ratios, recipe.seed).column("split")
    split_of_unit, split_of_image = (dict(zip(names[main], splits[main], strict=True)) for names in (units, images))
    for row in np.flatnonzero(~main & (splits == "")):
        splits[row] = split_of_image.get(images[row]) or split_of_unit.get(units[row], "train")
    return catalogue.with_columns(split=splits)


def _in_small_categories(categories: np.ndarray, units: np.ndarray, min_units: int) -> np.ndarray:
    """(N,) bool: rows of categories with fewer units than `least`, and what hangs together with them."""
    too_few = np.zeros(len(units), dtype=bool)
    while small := [
        name for name in set(categories[~too_few]) if len(set(units[~too_few & (categories == name)])) < min_units
    ]:
        too_few |= np.isin(units, units[np.isin(categories.astype(str), small)])
    return too_few
