"""Assign garments to train, val, query and gallery."""

import logging
from collections.abc import Iterable, Mapping

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.connected_components import components_by_value

log = logging.getLogger(__name__)

LINK_COLUMNS = ("image", "group", "item")  # rows that share a value must share a split


def split(catalogue: Catalogue, ratios: Mapping[str, float], seed: int) -> Catalogue:
    """Fill the split column: seeded, stratified by category, without leaks.

    Rows that share an image, group or item get the same split. If items are known, the images of a test item are then
    assigned to query and gallery (street images to query, shop images to gallery, others in turn), so these share items
    but no images.  Deterministic given the rows, their order and the seed.

    Args:
        catalogue: rows without splits. If all rows have a split, the splits are kept, and a missing val is taken from
            train.
        ratios: ratio of each split per category, counted in units that must stay together; 0 leaves a split empty.
        seed: seed of the assignment.

    Raises:
        ValueError: only some rows have a split, a category has fewer units than there are splits, or all ratios are 0.
    """
    given = catalogue.column("split") != ""
    if given.all():
        log.info("Using the splits given in the data; split.ratios.val is used only if the data have no val split")
        return _split_off_val(catalogue, ratios, seed)
    if given.any():
        raise ValueError(f"column 'split': set in {int(given.sum())} of {len(catalogue)} rows; set it in all or none")
    positive = {name: ratio for name, ratio in ratios.items() if ratio > 0}
    if not positive:
        raise ValueError(f"split.ratios={dict(ratios)}: all splits are empty; set train, val and query above 0")
    splits = _assign_units(
        catalogue.column("category"), connected_units(catalogue), positive, np.random.default_rng(seed)
    )
    if ratios.get("query") and ratios.get("gallery"):
        splits = _assign_items(catalogue, splits, ratios["query"] / (ratios["query"] + ratios["gallery"]))
    return catalogue.with_columns(split=splits)


def check_splits(catalogue: Catalogue, gallery: str, unseen: bool = False) -> None:
    """Check that no split is empty, and that there are two categories and one shared by query and gallery.

    Query categories that are missing in the gallery or in train are logged.

    Args:
        catalogue: catalogue with splits.
        gallery: split used as the gallery.
        unseen: query categories are not trained on purpose.

    Raises:
        ValueError: a split is empty, there is only one category, or query and gallery share no category.
    """
    for name in ("train", "val", "query", gallery):
        if not len(catalogue.rows(name)):
            scope = " of unseen categories" if unseen and name in ("query", "gallery") else ""
            hint = ", or search the training images (split=gallery_is_train)" if name == "gallery" else ""
            raise ValueError(
                f"split {name!r}: no garments{scope}; raise split.ratios.{name}, or add rows{scope} to it{hint}"
            )
    if len(catalogue.categories) < 2:
        raise ValueError(f"only one category, {catalogue.categories[0]!r}; add images of another")
    parts = ("train", "query", gallery)
    train_categories, query_categories, gallery_categories = (
        set(catalogue.column("category")[catalogue.rows(name)]) for name in parts
    )
    if not query_categories & gallery_categories:
        raise ValueError(f"split {gallery!r}: no garment of a query category; add garments of these categories")
    if absent := sorted(query_categories - gallery_categories):
        log.warning(
            "No %s images of %s: their queries have no relevant images and are not scored", gallery, ", ".join(absent)
        )
    if not unseen and (not_trained := sorted(query_categories - train_categories)):
        log.warning("No training images of %s: their queries cannot be classified correctly", ", ".join(not_trained))


def _split_off_val(catalogue: Catalogue, ratios: Mapping[str, float], seed: int) -> Catalogue:
    """Split off a missing val from train by ratio; a category with a single unit stays in train."""
    splits = catalogue.column("split").copy()
    parts = {name: ratios.get(name, 0) for name in ("train", "val")}
    if (splits == "val").any() or not all(parts.values()):
        return catalogue
    train = np.flatnonzero(splits == "train")
    categories, units = catalogue.column("category")[train], connected_units(catalogue.take(train))
    eligible = np.ones(len(train), dtype=bool)
    while too_small := [
        name for name in set(categories[eligible]) if len(set(units[eligible & (categories == name)])) < 2
    ]:
        eligible &= ~np.isin(units, units[np.isin(categories.astype(str), too_small)])
    if not eligible.any():
        return catalogue
    splits[train[eligible]] = _assign_units(categories[eligible], units[eligible], parts, np.random.default_rng(seed))
    return catalogue.with_columns(split=splits)


def connected_units(catalogue: Catalogue) -> np.ndarray:
    """(N,) int64: unit of each row, a connected component of rows linked by image, group or item."""
    return components_by_value([catalogue.column(name) for name in LINK_COLUMNS])


def _assign_units(
    categories: np.ndarray, units: np.ndarray, ratios: Mapping[str, float], rng: np.random.Generator
) -> np.ndarray:
    """(N,) split of each row: the units of each category are shuffled and divided by the ratios.

    A unit of several categories is assigned with the rarest, and counts towards the ratios of the others.
    """
    _, unit_index = np.unique(units, return_inverse=True)
    units_by_category = {name: np.unique(unit_index[categories == name]) for name in sorted(set(categories))}
    shuffled = {name: rng.permutation(category_units) for name, category_units in units_by_category.items()}
    assigned = np.full(unit_index.max() + 1, -1)
    for name in sorted(shuffled, key=lambda name: len(shuffled[name])):
        category_units = shuffled[name]
        unassigned = category_units[assigned[category_units] < 0]
        current = np.bincount(assigned[category_units][assigned[category_units] >= 0], minlength=len(ratios))
        assigned[unassigned] = np.repeat(
            np.arange(len(ratios)), _remaining(_apportion(len(category_units), ratios.values()), current)
        )
        if len(np.unique(assigned[category_units])) < len(ratios):
            raise ValueError(
                f"category {name!r}: {len(category_units)} separate images or items are too few for {len(ratios)} "
                "splits; add images, or exclude the category (data.categories, or --min-per-category of fashion_lsh "
                "merge)"
            )
    return np.array(list(ratios), dtype=object)[assigned[unit_index]]


def _remaining(target: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Units each split still gets; if they exceed the unassigned ones, the largest numbers are reduced first."""
    remaining = np.maximum(target - current, 0)
    while remaining.sum() > target.sum() - current.sum():
        remaining[np.argmax(remaining)] -= 1
    return remaining


def _apportion(count: int, ratios: Iterable[float]) -> np.ndarray:
    """Integers that sum to `count`, close to the ratios, each at least 1 if `count` suffices."""
    weights = np.array(list(ratios))
    ideal = count * weights / weights.sum()
    counts = np.maximum(min(1, count // len(weights)), np.floor(ideal)).astype(np.int64)
    while counts.sum() < count:
        counts[np.argmax(ideal - counts)] += 1
    while counts.sum() > count:
        counts[np.argmax(np.where(counts > 1, counts - ideal, -np.inf))] -= 1
    return counts


def _assign_items(catalogue: Catalogue, splits: np.ndarray, query_ratio: float) -> np.ndarray:
    """Assign images of test items to query and gallery: by view if both views occur, otherwise by `query_ratio`.

    All garments of an image get the same split; the only image of an item keeps its split unless its view decides.
    """
    items, views, images = (catalogue.column(name) for name in ("item", "view", "image"))
    test = np.isin(splits, ["query", "gallery"])
    known = test & (items != "")
    is_query: dict[str, bool] = {}  # by image
    if {"street", "shop"} <= set(views[known]):
        with_view = known & np.isin(views, ["street", "shop"])
        is_query = dict(zip(images[with_view], views[with_view] == "street", strict=True))
    for names in _images_by_item(items[known], images[known]):
        n_queries = min(max(1, round(query_ratio * len(names))), len(names) - 1)
        n_queries -= sum(is_query.get(name, False) for name in names)
        unassigned = [name for name in names if name not in is_query] if len(names) > 1 else []
        is_query |= {name: index < n_queries for index, name in enumerate(unassigned)}
    split_names = {True: "query", False: "gallery"}
    splits = splits.copy()
    splits[test] = [
        split_names[is_query[p]] if p in is_query else s for p, s in zip(images[test], splits[test], strict=True)
    ]
    return splits


def _images_by_item(items: np.ndarray, images: np.ndarray) -> list[list[str]]:
    """Images of each item; items and images sorted by name."""
    images_by_item: dict[str, set[str]] = {}
    for item, image in zip(items, images, strict=True):
        images_by_item.setdefault(item, set()).add(image)
    return [sorted(images_by_item[item]) for item in sorted(images_by_item)]
