"""Who trains, who tunes, who asks and who is searched."""

from collections.abc import Iterable, Mapping

import numpy as np

from fashion_lsh.catalogue.catalogue import Catalogue


def split(catalogue: Catalogue, shares: Mapping[str, float], seed: int) -> Catalogue:
    """Fill the split column: seeded, stratified by category, nothing shared.

    Rows that share a picture, a group or an item go the same way; where items are known, an item's pictures are
    then dealt to query and gallery in turn (street pictures ask, shop pictures are searched), so that the two share
    items but no picture.

    Args:
        catalogue: rows without splits; one that has them all is given back as it is.
        shares: how much of each category goes to each split; a share of 0 leaves the split empty.
        seed: of the draw.

    Raises:
        ValueError: some rows have a split and some not, or a category is too small to give each split one.
    """
    given = catalogue.column("split") != ""
    if given.all():
        return catalogue
    if given.any():
        raise ValueError(f"{int(given.sum())} of {len(catalogue)} rows have a split: give one to all rows or to none")
    units = _units(catalogue)
    rng = np.random.default_rng(seed)
    splits = _deal_units(catalogue.column("category"), units, {name: s for name, s in shares.items() if s > 0}, rng)
    if shares.get("query") and shares.get("gallery"):
        splits = _deal_items(catalogue, splits, shares["query"] / (shares["query"] + shares["gallery"]))
    return catalogue.having(split=splits)


def check_disjoint(catalogue: Catalogue) -> None:
    """See that no picture, group or item is on two sides.

    Sides are train, val and query + gallery; query and gallery may share items and groups, but no picture.

    Raises:
        ValueError: names the first thing that is on two sides.
    """
    splits = catalogue.column("split")
    sides = np.where(np.isin(splits, ["query", "gallery"]), "query and gallery", splits)
    for column in ("picture", "group", "item"):
        _check_one_side(column, catalogue.column(column), splits if column == "picture" else sides)


def _check_one_side(column: str, names: np.ndarray, sides: np.ndarray) -> None:
    known = names != ""
    _, number = np.unique(names[known].astype(str), return_inverse=True)
    pairs = np.unique(np.stack([number, np.unique(sides[known].astype(str), return_inverse=True)[1]]), axis=1)
    twice = np.flatnonzero(np.bincount(pairs[0]) > 1) if pairs.size else np.array([])
    if twice.size:
        rows = number == twice[0]
        where = " and ".join(sorted(set(sides[known][rows])))
        raise ValueError(f"{column} {names[known][rows][0]!r} is both in {where}: put all its rows on one side")


def _units(catalogue: Catalogue) -> np.ndarray:
    """(N,) int64: rows with the same number share a picture, group or item, directly or through others."""
    unit = np.arange(len(catalogue))
    links = [_links(catalogue.column(name)) for name in ("picture", "group", "item")]
    changed = True
    while changed:  # hand the smallest number around until nothing moves
        before = unit.copy()
        for link in links:
            smallest = np.full(link.max(initial=-1) + 1, len(unit))
            np.minimum.at(smallest, link, unit)
            unit = smallest[link]
        changed = bool((unit != before).any())
    return unit


def _links(names: np.ndarray) -> np.ndarray:
    """(N,) int64: equal names get one number; empty names one each."""
    _, number = np.unique(names.astype(str), return_inverse=True)
    unknown = names == ""
    return np.where(unknown, number.max(initial=0) + 1 + np.arange(len(names)), number)


def _deal_units(
    categories: np.ndarray, units: np.ndarray, shares: Mapping[str, float], rng: np.random.Generator
) -> np.ndarray:
    """(N,) split of each row: the units of each category, shuffled and cut by the shares."""
    splits = np.empty(len(units), dtype=object)
    _, first, number = np.unique(units, return_index=True, return_inverse=True)
    for category in sorted(set(categories)):
        mine = np.flatnonzero(categories[first] == category)
        if len(mine) < len(shares):
            raise ValueError(
                f"category {category!r} has {len(mine)} separate pictures or items, but {len(shares)} splits need one "
                "each: add pictures, or leave the category out (data.categories)"
            )
        deal = _cut(len(mine), list(shares.values()))
        names = np.repeat(np.array(list(shares), dtype=object), deal)
        of_unit = dict(zip(rng.permutation(mine), names, strict=True))
        rows = np.isin(number, mine)
        splits[rows] = [of_unit[unit] for unit in number[rows]]
    return splits


def _cut(count: int, shares: Iterable[float]) -> np.ndarray:
    """Whole numbers that add up to `count`, near the shares, none below 1."""
    weights = np.array(list(shares))
    ideal = count * weights / weights.sum()
    deal = np.maximum(1, np.floor(ideal)).astype(np.int64)
    while deal.sum() < count:
        deal[np.argmax(ideal - deal)] += 1
    while deal.sum() > count:
        deal[np.argmax(np.where(deal > 1, deal - ideal, -np.inf))] -= 1
    return deal


def _deal_items(catalogue: Catalogue, splits: np.ndarray, query_share: float) -> np.ndarray:
    """Deal the pictures of each test item to query and gallery: by view where known, else in turn by the share."""
    items, views, pictures = (catalogue.column(name) for name in ("item", "view", "picture"))
    splits = splits.copy()
    test = np.isin(splits, ["query", "gallery"]) & (items != "")
    splits[test & (views == "street")] = "query"
    splits[test & (views == "shop")] = "gallery"
    for item in sorted(set(items[test & (views == "")])):
        rows = np.flatnonzero(test & (items == item) & (views == ""))
        names = sorted(set(pictures[rows]))
        asking = min(max(1, round(query_share * len(names))), len(names) - 1)
        splits[rows] = np.where(np.isin(pictures[rows], names[:asking]), "query", "gallery")
    return splits
