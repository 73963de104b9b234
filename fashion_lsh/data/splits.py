"""Assign garments to train, val, query and gallery."""

import logging
from collections.abc import Iterable, Mapping

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.connected_components import components_by_value

log = logging.getLogger(__name__)

# rows with an equal value in one of these columns must not be in both training and test splits
LINK_COLUMNS = ("image", "group", "item")


def split(catalogue: Catalogue, ratios: Mapping[str, float], seed: int) -> Catalogue:
    """Assign each row to a split, stratified by category and without leaks.

    Rows linked by image, group or item are either all in train, all in val, or all in query and gallery. If items are
    known, the images of each item in query and gallery are then divided: street images become queries, shop images
    gallery images, and other images are divided by the ratios of query and gallery. Query and gallery thus share items
    but no images.  Deterministic given the rows, the order of the rows and the seed.

    Args:
        catalogue: rows without splits. If all rows have a split, the splits are kept, and a missing val split is taken
            from train.
        ratios: ratio of each split in each category, counted in groups of linked rows (see `row_components`); 0: an
            empty split.
        seed: random seed.

    Raises:
        ValueError: only some rows have a split, a category has fewer groups of linked rows than there are splits, or
            all ratios are 0.
    """
    has_split = catalogue.column("split") != ""
    if has_split.all():
        result = _split_off_val(catalogue, ratios, seed)
        if result is catalogue:
            log.info("Using the splits of the data; split.ratios is ignored")
        else:
            log.info("Using the splits of the data; val is taken from train (split.ratios.val)")
        return result
    if has_split.any():
        raise ValueError(
            f"column 'split': set in {int(has_split.sum())} of {len(catalogue)} rows; set it in all rows or in none"
        )
    positive_ratios = {name: ratio for name, ratio in ratios.items() if ratio > 0}
    if not positive_ratios:
        raise ValueError(f"split.ratios={dict(ratios)}: all splits are empty; set train, val and query above 0")
    splits = _assign_components(
        catalogue.column("category"), row_components(catalogue), positive_ratios, np.random.default_rng(seed)
    )
    if ratios.get("query") and ratios.get("gallery"):
        splits = divide_items(catalogue, splits, ratios["query"] / (ratios["query"] + ratios["gallery"]))
    return catalogue.with_columns(split=splits)


def check_splits(catalogue: Catalogue, gallery: str, unseen: bool = False) -> None:
    """Check that the splits can be trained on and searched.

    No split may be empty, at least two categories must occur, and query and gallery must have a category in common.
    Query categories that are missing in the gallery or in train are logged.

    Args:
        catalogue: catalogue with splits.
        gallery: split used as the gallery.
        unseen: whether the categories of the queries are excluded from training on purpose.

    Raises:
        ValueError: one of these conditions is not met.
    """
    for name in ("train", "val", "query", gallery):
        if not len(catalogue.rows(name)):
            scope = " of unseen categories" if unseen and name in ("query", "gallery") else ""
            hint = ", or search the training images (split=gallery_is_train)" if name == "gallery" else ""
            raise ValueError(
                f"split {name!r}: no garments{scope}; raise split.ratios.{name}, or add rows{scope} to this split{hint}"
            )
    if len(catalogue.categories) < 2:
        raise ValueError(f"only one category, {catalogue.categories[0]!r}; add images of another category")
    split_names = ("train", "query", gallery)
    train_categories, query_categories, gallery_categories = (
        set(catalogue.column("category")[catalogue.rows(name)]) for name in split_names
    )
    if not query_categories & gallery_categories:
        raise ValueError(f"split {gallery!r}: no garment of a query category; add garments of these categories")
    if missing := sorted(query_categories - gallery_categories):
        log.warning(
            "No %s images of %s: queries of these categories have no relevant images and are not scored",
            gallery,
            ", ".join(missing),
        )
    if not unseen and (missing := sorted(query_categories - train_categories)):
        log.warning(
            "No training images of %s: queries of these categories cannot be classified correctly",
            ", ".join(missing),
        )


def _split_off_val(catalogue: Catalogue, ratios: Mapping[str, float], seed: int) -> Catalogue:
    """If val is missing, split it off from train by ratio; a category with a single component stays in train."""
    splits = catalogue.column("split").copy()
    train_val_ratios = {name: ratios.get(name, 0) for name in ("train", "val")}
    if (splits == "val").any() or not all(train_val_ratios.values()):
        return catalogue
    train = np.flatnonzero(splits == "train")
    splits[train] = divide_rows(catalogue.take(train), train_val_ratios, seed)
    return catalogue.with_columns(split=splits) if (splits == "val").any() else catalogue


def divide_rows(catalogue: Catalogue, ratios: Mapping[str, float], seed: int) -> np.ndarray:
    """Divide rows into two parts by the ratios, stratified by category: name of the part of each row, (N,) str.

    Linked rows (see `row_components`) are in the same part. A category with a single component stays in the first part.
    """
    categories, components = catalogue.column("category"), row_components(catalogue)
    is_eligible = np.ones(len(catalogue), dtype=bool)
    # removing the components of a small category can make other categories too small
    while small_categories := [
        name for name in set(categories[is_eligible]) if len(set(components[is_eligible & (categories == name)])) < 2
    ]:
        is_eligible &= ~np.isin(components, components[np.isin(categories.astype(str), small_categories)])
    parts = np.full(len(catalogue), next(iter(ratios)), dtype=object)
    if is_eligible.any():
        parts[is_eligible] = _assign_components(
            categories[is_eligible], components[is_eligible], ratios, np.random.default_rng(seed)
        )
    return parts


def row_components(catalogue: Catalogue) -> np.ndarray:
    """Connected component of each row, (N,) int64; rows are linked by equal image, group or item."""
    return components_by_value([catalogue.column(name) for name in LINK_COLUMNS])


def _assign_components(
    categories: np.ndarray, components: np.ndarray, ratios: Mapping[str, float], rng: np.random.Generator
) -> np.ndarray:
    """Assign a split to each row, (N,) str: the components of each category are shuffled and divided by the ratios.

    A component with several categories is assigned with its rarest category, and counts in the ratios of all its
    categories.
    """
    _, component_index = np.unique(components, return_inverse=True)
    components_by_category = {name: np.unique(component_index[categories == name]) for name in sorted(set(categories))}
    shuffled = {
        name: rng.permutation(category_components) for name, category_components in components_by_category.items()
    }
    assigned = np.full(component_index.max() + 1, -1)
    for name in sorted(shuffled, key=lambda name: len(shuffled[name])):
        category_components = shuffled[name]
        unassigned = category_components[assigned[category_components] < 0]
        current = np.bincount(assigned[category_components][assigned[category_components] >= 0], minlength=len(ratios))
        assigned[unassigned] = np.repeat(
            np.arange(len(ratios)), _remaining(_apportion(len(category_components), ratios.values()), current)
        )
        if len(np.unique(assigned[category_components])) < len(ratios):
            raise ValueError(
                f"category {name!r}: {len(category_components)} groups of linked images are too few for {len(ratios)} "
                "splits; add images, or exclude the category (data.categories, or --min-per-category of fashion_lsh "
                "merge)"
            )
    return np.array(list(ratios), dtype=object)[assigned[component_index]]


def _remaining(target: np.ndarray, current: np.ndarray) -> np.ndarray:
    """Number of components to add to each split; if too few components are left, the largest numbers are reduced."""
    remaining = np.maximum(target - current, 0)
    while remaining.sum() > target.sum() - current.sum():
        remaining[np.argmax(remaining)] -= 1
    return remaining


def _apportion(count: int, ratios: Iterable[float]) -> np.ndarray:
    """Divide `count` into integers proportional to the ratios, each at least 1 if `count` is large enough."""
    weights = np.array(list(ratios))
    ideal = count * weights / weights.sum()
    counts = np.maximum(min(1, count // len(weights)), np.floor(ideal)).astype(np.int64)
    while counts.sum() < count:
        counts[np.argmax(ideal - counts)] += 1
    while counts.sum() > count:
        counts[np.argmax(np.where(counts > 1, counts - ideal, -np.inf))] -= 1
    return counts


def divide_items(catalogue: Catalogue, splits: np.ndarray, query_ratio: float) -> np.ndarray:
    """Divide the images of items in query and gallery: by view if both views occur, otherwise by `query_ratio`.

    All garments of an image get the same split. If an item has only one image, the image keeps its split unless its
    view determines the split.
    """
    items, views, images = (catalogue.column(name) for name in ("item", "view", "image"))
    is_test = np.isin(splits, ["query", "gallery"])
    has_item = is_test & (items != "")
    is_query: dict[str, bool] = {}  # image -> whether the image is a query
    if {"street", "shop"} <= set(views[has_item]):
        has_view = has_item & np.isin(views, ["street", "shop"])
        is_query = dict(zip(images[has_view], views[has_view] == "street", strict=True))
    for names in _images_by_item(items[has_item], images[has_item]):
        num_queries = min(max(1, round(query_ratio * len(names))), len(names) - 1)
        num_queries -= sum(is_query.get(name, False) for name in names)
        unassigned = [name for name in names if name not in is_query] if len(names) > 1 else []
        is_query |= {name: index < num_queries for index, name in enumerate(unassigned)}
    split_names = {True: "query", False: "gallery"}
    splits = splits.copy()
    splits[is_test] = [
        split_names[is_query[image]] if image in is_query else name
        for image, name in zip(images[is_test], splits[is_test], strict=True)
    ]
    return splits


def _images_by_item(items: np.ndarray, images: np.ndarray) -> list[list[str]]:
    """List the images of each item; items and images are sorted by name."""
    images_by_item: dict[str, set[str]] = {}
    for item, image in zip(items, images, strict=True):
        images_by_item.setdefault(item, set()).add(image)
    return [sorted(images_by_item[item]) for item in sorted(images_by_item)]
