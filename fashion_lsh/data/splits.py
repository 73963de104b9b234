"""Who trains, who tunes, who asks and who is searched."""

import logging
from collections.abc import Iterable, Mapping

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.connected_components import components_by_value

log = logging.getLogger(__name__)

LINK_COLUMNS = ("image", "group", "item")  # what two rows may share


def split(catalogue: Catalogue, ratios: Mapping[str, float], seed: int) -> Catalogue:
    """Fill the split column: seeded, stratified by category, nothing shared.

    Rows that share a picture, a group or an item go the same way; where items are known, an item's pictures are
    then dealt to query and gallery in turn (street pictures ask, shop pictures are searched), so that the two share
    items but no picture.  The same rows in the same order are split the same way everywhere.

    Args:
        catalogue: rows without splits. One that has them all is given back as it is, but for a val that is missing:
            its share is taken from train.
        ratios: how much of each category goes to each split, counted in what must stay together; 0 leaves one empty.
        seed: of the draw.

    Raises:
        ValueError: some rows have a split and some not, a category is too small to give each split one, or all shares
            are 0.
    """
    given = catalogue.column("split") != ""
    if given.all():
        log.info("the data come with splits of their own: of split.ratios, that of val counts, where they have no val")
        return _split_off_val(catalogue, ratios, seed)
    if given.any():
        raise ValueError(f"{int(given.sum())} of {len(catalogue)} rows have a split: give one to all rows or to none")
    positive = {name: ratio for name, ratio in ratios.items() if ratio > 0}
    if not positive:
        raise ValueError(f"split.ratios={dict(ratios)} leave every split empty: give train, val and query more than 0")
    splits = _assign_units(
        catalogue.column("category"), connected_units(catalogue), positive, np.random.default_rng(seed)
    )
    if ratios.get("query") and ratios.get("gallery"):
        splits = _assign_items(catalogue, splits, ratios["query"] / (ratios["query"] + ratios["gallery"]))
    return catalogue.with_columns(split=splits)


def check_splits(catalogue: Catalogue, gallery: str, unseen: bool = False) -> None:
    """See that all four parts are there, two categories at least, and that one which asks is searched.

    What asks and is not searched, or was never trained, is told in the log.

    Args:
        catalogue: split.
        gallery: the split that is searched.
        unseen: nothing that asks is to be trained.

    Raises:
        ValueError: a part is empty, there is one category, or nothing is to be found.
    """
    for name in ("train", "val", "query", gallery):
        if not len(catalogue.rows(name)):
            scope = ", of unseen categories" if unseen and name in ("query", "gallery") else ""
            hint = ", or search the training pictures (split=gallery_is_train)" if name == "gallery" else ""
            raise ValueError(
                f"split {name!r} is empty: give it a share (split.ratios.{name}) or rows of its own{scope}{hint}"
            )
    if len(catalogue.categories) < 2:
        raise ValueError(f"there is one category, {catalogue.categories[0]!r}: give pictures of two at least")
    parts = ("train", "query", gallery)
    train_categories, query_categories, gallery_categories = (
        set(catalogue.column("category")[catalogue.rows(name)]) for name in parts
    )
    if not query_categories & gallery_categories:
        raise ValueError(f"no {gallery} picture is of a category that asks: there is nothing to be found")
    if absent := sorted(query_categories - gallery_categories):
        log.warning(
            "no %s picture of %s: its queries have nothing to find, and are not scored", gallery, ", ".join(absent)
        )
    if not unseen and (not_trained := sorted(query_categories - train_categories)):
        log.warning("no training picture of %s: its queries cannot be named right", ", ".join(not_trained))


def _split_off_val(catalogue: Catalogue, ratios: Mapping[str, float], seed: int) -> Catalogue:
    """Where splits are given but no val, move its share of train there; a category of one unit stays in train."""
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
    """(N,) int64: rows with the same number share a picture, group or item, directly or through others."""
    return components_by_value([catalogue.column(name) for name in LINK_COLUMNS])


def _assign_units(
    categories: np.ndarray, units: np.ndarray, ratios: Mapping[str, float], rng: np.random.Generator
) -> np.ndarray:
    """(N,) split of each row: the units of each category, shuffled and cut by the shares.

    A unit of several categories is dealt with the rarest of them, and counts in the deal of the others.
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
                f"category {name!r} has {len(category_units)} separate pictures or items, too few to give each of "
                f"{len(ratios)} splits one: add pictures, or leave the category out (data.categories; "
                "--min-per-category of the command merge)"
            )
    return np.array(list(ratios), dtype=object)[assigned[unit_index]]


def _remaining(target: np.ndarray, current: np.ndarray) -> np.ndarray:
    """What each split still gets: as many in all as are free, the splits that have most of theirs last."""
    remaining = np.maximum(target - current, 0)
    while remaining.sum() > target.sum() - current.sum():
        remaining[np.argmax(remaining)] -= 1
    return remaining


def _apportion(count: int, ratios: Iterable[float]) -> np.ndarray:
    """Whole numbers that add up to `count`, near the shares, none below 1 if there are enough."""
    weights = np.array(list(ratios))
    ideal = count * weights / weights.sum()
    counts = np.maximum(min(1, count // len(weights)), np.floor(ideal)).astype(np.int64)
    while counts.sum() < count:
        counts[np.argmax(ideal - counts)] += 1
    while counts.sum() > count:
        counts[np.argmax(np.where(counts > 1, counts - ideal, -np.inf))] -= 1
    return counts


def _assign_items(catalogue: Catalogue, splits: np.ndarray, query_ratio: float) -> np.ndarray:
    """Deal the pictures of the test items to query and gallery: by view where both occur, else in turn by the share.

    A picture goes one way with all its garments; an item's only picture, if no view decides, stays where it is.
    """
    items, views, images = (catalogue.column(name) for name in ("item", "view", "image"))
    test = np.isin(splits, ["query", "gallery"])
    known = test & (items != "")
    is_query: dict[str, bool] = {}  # picture: it is a query
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
    """The pictures of each item, both in the order of their names."""
    images_by_item: dict[str, set[str]] = {}
    for item, image in zip(items, images, strict=True):
        images_by_item.setdefault(item, set()).add(image)
    return [sorted(images_by_item[item]) for item in sorted(images_by_item)]
