"""Select rows of a merged catalogue, and assign train, val, query and gallery."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.splits import connected_units, split

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """Settings of a merge.

    Attributes:
        max_per_category: Maximum number of garments per category, sampled with the seed; None: no limit.
        min_per_category: Minimum number of separate images or items per category, at least one per split; smaller
            categories are dropped.
        distance: Maximum Hamming distance between fingerprints of near-duplicates; None: do not search for them.
        official: Keep the sources' own splits, including leaks; rows without a split are assigned one.
        ratios: Ratios of the splits (see `splits.split`).
        seed: Random seed.

    Raises:
        ValueError: A number is below its minimum.
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
                raise ValueError(f"{name}={value} is too small; use {minimum} or more")

    @property
    def n_splits(self) -> int:
        """Number of splits with a ratio above 0."""
        return sum(ratio > 0 for ratio in self.ratios.values())


def limit_categories(catalogue: Catalogue, recipe: Recipe) -> tuple[Catalogue, dict[str, str]]:
    """Drop small categories and sample large ones; return reasons for dropped rows: id -> reason.

    Dropped garments that share an image with a kept garment stay in the catalogue with `main` False.
    """
    main, names, units = catalogue.column("main").copy(), catalogue.column("category"), connected_units(catalogue)
    min_per_category = recipe.min_per_category if recipe.official else max(recipe.min_per_category, recipe.n_splits)
    reasons = np.full(len(catalogue), "", dtype=object)
    for number, name in enumerate(catalogue.categories):
        rows = chosen = np.flatnonzero(main & (names == name))
        if recipe.max_per_category is not None and len(rows) > recipe.max_per_category:
            chosen = np.random.default_rng([recipe.seed, number]).permutation(rows)[: recipe.max_per_category]
            reasons[np.setdiff1d(rows, chosen)] = (
                f"not among the {recipe.max_per_category:,} garments sampled from {len(rows):,} of category {name!r}"
            )
        if (n_units := len(np.unique(units[chosen]))) < min_per_category:
            reasons[rows] = (
                f"category {name!r} has {n_units:,} separate images or items, fewer than {min_per_category:,}"
            )
    main &= reasons == ""
    images = catalogue.column("image").astype(str)
    dropped = (reasons != "") & ~np.isin(images, images[main])
    ids = catalogue.column("id")
    kept = catalogue.with_columns(main=main).take(np.flatnonzero(~dropped))
    return kept, {ids[row]: str(reasons[row]) for row in np.flatnonzero(dropped)}


def assign_splits(catalogue: Catalogue, recipe: Recipe) -> Catalogue:
    """Assign splits to rows without one.

    Main garments are split at random, or go to train if their category has too few unassigned ones. Other garments
    follow the main garment of their image, group or item; without one they go to train.
    """
    splits = catalogue.column("split").copy()
    if not recipe.official:
        splits[:] = ""
    main, units, images = catalogue.column("main"), connected_units(catalogue), catalogue.column("image")
    unassigned = np.flatnonzero(main & (splits == ""))
    too_few = _in_small_categories(catalogue.column("category")[unassigned], units[unassigned], recipe.n_splits)
    splits[unassigned[too_few]] = "train"
    if too_few.any():
        log.warning("Assigned %d garments to train: too few of their categories lack a split", too_few.sum())
    unassigned = unassigned[~too_few]
    if len(unassigned):  # pass units as groups: rows may be connected only through rows that are not split here
        subset = catalogue.take(unassigned).with_columns(
            split=[""] * len(unassigned), group=[str(unit) for unit in units[unassigned]]
        )
        splits[unassigned] = split(subset, recipe.ratios, recipe.seed).column("split")
    split_of_unit, split_of_image = (dict(zip(names[main], splits[main], strict=True)) for names in (units, images))
    for row in np.flatnonzero(~main & (splits == "")):
        splits[row] = split_of_image.get(images[row]) or split_of_unit.get(units[row], "train")
    return catalogue.with_columns(split=splits)


def _in_small_categories(categories: np.ndarray, units: np.ndarray, min_units: int) -> np.ndarray:
    """(N,) bool: rows of categories with fewer than `min_units` units, and rows connected to them."""
    too_few = np.zeros(len(units), dtype=bool)
    while small := [
        name for name in set(categories[~too_few]) if len(set(units[~too_few & (categories == name)])) < min_units
    ]:
        too_few |= np.isin(units, units[np.isin(categories.astype(str), small)])
    return too_few
