"""Settings of a merge; limit the sizes of categories and assign splits."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.splits import row_components, split

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """Settings of a merge.

    Attributes:
        max_per_category: Maximum number of garments per category, sampled with the seed; None: no limit.
        min_per_category: Minimum number of groups of linked images per category (see `row_components`); smaller
            categories are dropped. Unless published splits are kept, the minimum is at least the number of splits.
        max_distance: Maximum Hamming distance, in bits, between the perceptual hashes of near-duplicates; None: do not
            search for near-duplicates.
        keep_official_splits: Keep the published splits, including their leaks. Rows without a published split are
            assigned to one.
        ratios: Ratio of each split (see `splits.split`).
        seed: Random seed.

    Raises:
        ValueError: A value is below its minimum.
    """

    max_per_category: int | None
    min_per_category: int
    max_distance: int | None
    keep_official_splits: bool
    ratios: Mapping[str, float]
    seed: int

    def __post_init__(self) -> None:
        for name, minimum in (("max_per_category", 1), ("min_per_category", 0), ("max_distance", 0), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise ValueError(f"{name}={value} is too small; use {minimum} or more")

    @property
    def num_splits(self) -> int:
        """Number of splits with a ratio above 0."""
        return sum(ratio > 0 for ratio in self.ratios.values())


def limit_categories(catalogue: Catalogue, recipe: Recipe) -> tuple[Catalogue, dict[str, str]]:
    """Drop the garments of small categories, and sample the garments of large categories.

    A dropped garment that shares an image with a kept garment stays in the catalogue with `main` False.

    Returns:
        The remaining rows; reasons for dropped rows: id -> reason.
    """
    main, names, components = catalogue.column("main").copy(), catalogue.column("category"), row_components(catalogue)
    min_per_category = recipe.min_per_category
    if not recipe.keep_official_splits:
        min_per_category = max(min_per_category, recipe.num_splits)
    reasons = np.full(len(catalogue), "", dtype=object)
    for index, name in enumerate(catalogue.categories):
        rows = sampled_rows = np.flatnonzero(main & (names == name))
        if recipe.max_per_category is not None and len(rows) > recipe.max_per_category:
            sampled_rows = np.random.default_rng([recipe.seed, index]).permutation(rows)[: recipe.max_per_category]
            reasons[np.setdiff1d(rows, sampled_rows)] = (
                f"not among the {recipe.max_per_category:,} garments sampled from {len(rows):,} of category {name!r}"
            )
        if (num_components := len(np.unique(components[sampled_rows]))) < min_per_category:
            reasons[rows] = (
                f"category {name!r} has {num_components:,} groups of linked images, fewer than {min_per_category:,}"
            )
    main &= reasons == ""
    images = catalogue.column("image").astype(str)
    is_dropped = (reasons != "") & ~np.isin(images, images[main])
    ids = catalogue.column("id")
    remaining = catalogue.with_columns(main=main).take(np.flatnonzero(~is_dropped))
    return remaining, {ids[row]: str(reasons[row]) for row in np.flatnonzero(is_dropped)}


def assign_splits(catalogue: Catalogue, recipe: Recipe) -> Catalogue:
    """Assign a split to each row without one.

    Main garments are split at random by ratio. The garments of a category with too few unassigned garments are assigned
    to train. Any other garment gets the split of the main garment of its image, group or item, or train if there is no
    main garment.
    """
    splits = catalogue.column("split").copy()
    if not recipe.keep_official_splits:
        splits[:] = ""
    main, components, images = catalogue.column("main"), row_components(catalogue), catalogue.column("image")
    unassigned = np.flatnonzero(main & (splits == ""))
    is_small = _has_small_category(catalogue.column("category")[unassigned], components[unassigned], recipe.num_splits)
    splits[unassigned[is_small]] = "train"
    if is_small.any():
        log.warning(
            "Assigned %d garments to train: their categories have too few unassigned garments for all splits",
            is_small.sum(),
        )
    unassigned = unassigned[~is_small]
    if len(
        unassigned
    ):  # components are passed as groups, because rows may be linked only through rows outside this subset
        subset = catalogue.take(unassigned).with_columns(
            split=[""] * len(unassigned), group=[str(component) for component in components[unassigned]]
        )
        splits[unassigned] = split(subset, recipe.ratios, recipe.seed).column("split")
    component_splits, image_splits = (
        dict(zip(names[main], splits[main], strict=True)) for names in (components, images)
    )
    for row in np.flatnonzero(~main & (splits == "")):
        splits[row] = image_splits.get(images[row]) or component_splits.get(components[row], "train")
    return catalogue.with_columns(split=splits)


def _has_small_category(categories: np.ndarray, components: np.ndarray, min_components: int) -> np.ndarray:
    """Mark rows whose component contains a category with fewer than `min_components` components, (N,) bool."""
    is_small = np.zeros(len(components), dtype=bool)
    while small_categories := [
        name
        for name in set(categories[~is_small])
        if len(set(components[~is_small & (categories == name)])) < min_components
    ]:
        is_small |= np.isin(components, components[np.isin(categories.astype(str), small_categories)])
    return is_small
