"""Who trains, who tunes, who asks and who is searched."""

import logging
from collections.abc import Iterable, Mapping

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.components import linked

log = logging.getLogger(__name__)

LINKS = ("picture", "group", "item")  # what two rows may share


def split(catalogue: Catalogue, shares: Mapping[str, float], seed: int) -> Catalogue:
    """Fill the split column: seeded, stratified by category, nothing shared.

    Rows that share a picture, a group or an item go the same way; where items are known, an item's pictures are
    then dealt to query and gallery in turn (street pictures ask, shop pictures are searched), so that the two share
    items but no picture.  The same rows in the same order are split the same way everywhere.

    Args:
        catalogue: rows without splits. One that has them all is given back as it is, but for a val that is missing:
            its share is taken from train.
        shares: how much of each category goes to each split, counted in what must stay together; 0 leaves one empty.
        seed: of the draw.

    Raises:
        ValueError: some rows have a split and some not, a category is too small to give each split one, or all shares
            are 0.
    """
    given = catalogue.column("split") != ""
    if given.all():
        log.info("the data come with splits of their own: of split.shares, that of val counts, where they have no val")
        return _with_val(catalogue, shares, seed)
    if given.any():
        raise ValueError(f"{int(given.sum())} of {len(catalogue)} rows have a split: give one to all rows or to none")
    wanted = {name: share for name, share in shares.items() if share > 0}
    if not wanted:
        raise ValueError(f"shares={dict(shares)} leave every split empty: give train, val and query more than 0")
    splits = _deal_units(catalogue.column("category"), units_of(catalogue), wanted, np.random.default_rng(seed))
    if shares.get("query") and shares.get("gallery"):
        splits = _deal_items(catalogue, splits, shares["query"] / (shares["query"] + shares["gallery"]))
    return catalogue.having(split=splits)


def check_parts(catalogue: Catalogue, searched: str, unseen: bool = False) -> None:
    """See that all four parts are there, two categories at least, and that one which asks is searched.

    What asks and is not searched, or was never trained, is told in the log.

    Args:
        catalogue: split.
        searched: the split that is searched.
        unseen: nothing that asks is to be trained.

    Raises:
        ValueError: a part is empty, there is one category, or nothing is to be found.
    """
    for name in ("train", "val", "query", searched):
        if not len(catalogue.rows(name)):
            of = ", of unseen categories" if unseen and name in ("query", "gallery") else ""
            further = ", or search the training pictures (split=gallery_is_train)" if name == "gallery" else ""
            raise ValueError(
                f"split {name!r} is empty: give it a share (split.shares.{name}) or rows of its own{of}{further}"
            )
    if len(catalogue.categories) < 2:
        raise ValueError(f"there is one category, {catalogue.categories[0]!r}: give pictures of two at least")
    parts = ("train", "query", searched)
    trained, asking, there = (set(catalogue.column("category")[catalogue.rows(name)]) for name in parts)
    if not asking & there:
        raise ValueError(f"no {searched} picture is of a category that asks: there is nothing to be found")
    if absent := sorted(asking - there):
        log.warning(
            "no %s picture of %s: its queries have nothing to find, and are not scored", searched, ", ".join(absent)
        )
    if not unseen and (strange := sorted(asking - trained)):
        log.warning("no training picture of %s: its queries cannot be named right", ", ".join(strange))


def _with_val(catalogue: Catalogue, shares: Mapping[str, float], seed: int) -> Catalogue:
    """Where splits are given but no val, move its share of train there; a category of one unit stays in train."""
    splits = catalogue.column("split").copy()
    parts = {name: shares.get(name, 0) for name in ("train", "val")}
    if (splits == "val").any() or not all(parts.values()):
        return catalogue
    train = np.flatnonzero(splits == "train")
    categories, units = catalogue.column("category")[train], units_of(catalogue.take(train))
    dealt = np.ones(len(train), dtype=bool)
    while single := [name for name in set(categories[dealt]) if len(set(units[dealt & (categories == name)])) < 2]:
        dealt &= ~np.isin(units, units[np.isin(categories.astype(str), single)])
    if not dealt.any():
        return catalogue
    splits[train[dealt]] = _deal_units(categories[dealt], units[dealt], parts, np.random.default_rng(seed))
    return catalogue.having(split=splits)


def units_of(catalogue: Catalogue) -> np.ndarray:
    """(N,) int64: rows with the same number share a picture, group or item, directly or through others."""
    return linked([catalogue.column(name) for name in LINKS])


def _deal_units(
    categories: np.ndarray, units: np.ndarray, shares: Mapping[str, float], rng: np.random.Generator
) -> np.ndarray:
    """(N,) split of each row: the units of each category, shuffled and cut by the shares.

    A unit of several categories is dealt with the rarest of them, and counts in the deal of the others.
    """
    _, number = np.unique(units, return_inverse=True)
    of_category = {name: np.unique(number[categories == name]) for name in sorted(set(categories))}
    shuffled = {name: rng.permutation(mine) for name, mine in of_category.items()}
    dealt = np.full(number.max() + 1, -1)
    for name in sorted(shuffled, key=lambda name: len(shuffled[name])):
        mine = shuffled[name]
        free = mine[dealt[mine] < 0]
        there = np.bincount(dealt[mine][dealt[mine] >= 0], minlength=len(shares))
        dealt[free] = np.repeat(np.arange(len(shares)), _missing(_cut(len(mine), shares.values()), there))
        if len(np.unique(dealt[mine])) < len(shares):
            raise ValueError(
                f"category {name!r} has {len(mine)} separate pictures or items, too few to give each of {len(shares)} "
                "splits one: add pictures, or leave the category out (data.categories; of the command merge --least)"
            )
    return np.array(list(shares), dtype=object)[dealt[number]]


def _missing(wanted: np.ndarray, there: np.ndarray) -> np.ndarray:
    """What each split still gets: as many in all as are free, the splits that have most of theirs last."""
    missing = np.maximum(wanted - there, 0)
    while missing.sum() > wanted.sum() - there.sum():
        missing[np.argmax(missing)] -= 1
    return missing


def _cut(count: int, shares: Iterable[float]) -> np.ndarray:
    """Whole numbers that add up to `count`, near the shares, none below 1 if there are enough."""
    weights = np.array(list(shares))
    ideal = count * weights / weights.sum()
    deal = np.maximum(min(1, count // len(weights)), np.floor(ideal)).astype(np.int64)
    while deal.sum() < count:
        deal[np.argmax(ideal - deal)] += 1
    while deal.sum() > count:
        deal[np.argmax(np.where(deal > 1, deal - ideal, -np.inf))] -= 1
    return deal


def _deal_items(catalogue: Catalogue, splits: np.ndarray, query_share: float) -> np.ndarray:
    """Deal the pictures of the test items to query and gallery: by view where both occur, else in turn by the share.

    A picture goes one way with all its garments; an item's only picture, if no view decides, stays where it is.
    """
    items, views, pictures = (catalogue.column(name) for name in ("item", "view", "picture"))
    test = np.isin(splits, ["query", "gallery"])
    known = test & (items != "")
    asks: dict[str, bool] = {}  # picture: it is a query
    if {"street", "shop"} <= set(views[known]):
        seen = known & np.isin(views, ["street", "shop"])
        asks = dict(zip(pictures[seen], views[seen] == "street", strict=True))
    for names in _pictures_of_items(items[known], pictures[known]):
        asking = min(max(1, round(query_share * len(names))), len(names) - 1)
        asking -= sum(asks.get(name, False) for name in names)
        free = [name for name in names if name not in asks] if len(names) > 1 else []
        asks |= {name: place < asking for place, name in enumerate(free)}
    side = {True: "query", False: "gallery"}
    splits = splits.copy()
    splits[test] = [side[asks[p]] if p in asks else s for p, s in zip(pictures[test], splits[test], strict=True)]
    return splits


def _pictures_of_items(items: np.ndarray, pictures: np.ndarray) -> list[list[str]]:
    """The pictures of each item, both in the order of their names."""
    found: dict[str, set[str]] = {}
    for item, picture in zip(items, pictures, strict=True):
        found.setdefault(item, set()).add(picture)
    return [sorted(found[item]) for item in sorted(found)]
