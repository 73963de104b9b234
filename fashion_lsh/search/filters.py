"""Filter rows before the ranking; fold the hits of an item into one, and drop far hits, after it."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from threading import Lock
from typing import NamedTuple

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.connected_components import factorize
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.index.hits import Hits
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.search.row_filter import matching_rows

MAX_SUBSETS = 8  # number of filters whose galleries are kept
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Subset:
    """Rows of a gallery that pass a filter.

    Attributes:
        rows: (n,) int64, their rows in the catalogue of the whole gallery, ascending.
        gallery: gallery of these rows.
    """

    rows: np.ndarray
    gallery: Gallery

    @cached_property
    def items(self) -> np.ndarray:
        """Item number of each row (see `item_numbers`): (n,) int64."""
        return item_numbers(self.gallery.catalogue)

    @cached_property
    def items_and_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Item numbers in ascending order, (n,) int64, and the row of each, (n,) int64."""
        order = np.argsort(self.items, kind="stable")
        return self.items[order], order


class FilteredHits(NamedTuple):
    """Hits of Q queries after all filters.

    Attributes:
        hits: (Q, k) hits; rows of the catalogue of the whole gallery.
        folded: (Q, k) int64, number of other rows of the hit's item that pass the filter in the probed lists; 0 unless
            hits are folded.
        dropped: (Q,) int64, number of hits that were dropped because they are too far.
    """

    hits: Hits
    folded: np.ndarray
    dropped: np.ndarray


class ResultFilters:
    """Filters of a searcher's hits, with a cache of subsets that a change of the gallery clears."""

    def __init__(self) -> None:
        self._catalogue: Catalogue | None = None
        self._subsets: dict[str | None, Subset] = {}
        self._lock = Lock()  # searches in several threads share the cache

    def search(
        self,
        find: Callable[[Gallery, int], Hits],
        gallery: Gallery,
        policy: SearchPolicy,
        probed_lists: np.ndarray,
        k: int,
        where: str | None,
    ) -> FilteredHits:
        """Search the rows that pass a filter, fold items, and drop far hits, as the policy demands.

        Args:
            find: search of Q queries in a gallery for the given number of hits; rows of that gallery's catalogue.
            gallery: whole gallery.
            policy: search policy.
            probed_lists: (Q, C) int64, the lists that `find` probes, padded with -1.
            k: maximum number of hits.
            where: filter that replaces that of the policy; None: that of the policy.

        Raises:
            ValueError: see `row_filter.matching_rows`.
        """
        where = policy.where if where is None else where
        if where is None and policy.ranking is policy:  # no filter; the common case is the fastest
            hits = find(gallery, k)
            return FilteredHits(hits, np.zeros_like(hits.rows), np.zeros(len(hits.rows), np.int64))
        subset = self.subset(gallery, where)
        if policy.unique_items:
            hits = fold_items(partial(find, subset.gallery), k, subset.items)
            folded = count_folded(hits, subset, probed_lists)
        else:
            hits = find(subset.gallery, k)
            folded = np.zeros_like(hits.rows)
        hits, dropped = drop_far(hits, np.inf if policy.max_distance is None else float(policy.max_distance))
        if subset.gallery is not gallery:
            hits = Hits(np.append(subset.rows, -1)[hits.rows], hits.distances)  # row -1 selects the last element
        return FilteredHits(hits, folded, dropped)

    def subset(self, gallery: Gallery, where: str | None) -> Subset:
        """Select the rows that pass a filter; None: all rows.

        Raises:
            ValueError: see `row_filter.matching_rows`.
        """
        with self._lock:
            if gallery.catalogue is not self._catalogue:
                self._catalogue, self._subsets = gallery.catalogue, {}
            subset = self._subsets.get(where)
            if subset is None:
                subset = Subset(np.arange(len(gallery)), gallery) if where is None else _filter(gallery, where)
                if len(self._subsets) >= MAX_SUBSETS:
                    del self._subsets[next(iter(self._subsets))]
                self._subsets[where] = subset
            return subset


def _filter(gallery: Gallery, where: str) -> Subset:
    rows = matching_rows(where, gallery.catalogue.table)
    if not len(rows):
        log.warning("search.where=%s: 0 of %d garments pass the filter", where, len(gallery))
    return Subset(rows, take_rows(gallery, rows))


def take_rows(gallery: Gallery, rows: np.ndarray) -> Gallery:
    """Create a gallery of some catalogue rows, (n,) int64 ascending, that shares the embeddings."""
    index_rows, list_ids, vectors = gallery.index.contents()
    index = gallery.index.empty()
    index.add(vectors[rows], list_ids[rows], index_rows[rows])
    return Gallery(index, gallery.embeddings, gallery.catalogue.take(rows), gallery.fingerprint)


def item_numbers(catalogue: Catalogue) -> np.ndarray:
    """Number the items, or the groups of copies of rows without an item: (N,) int64.

    Rows of one item have equal numbers. A row without item and group has a number of its own.
    """
    items, groups = (catalogue.column(name) for name in ("item", "group"))
    return factorize(np.where(items != "", "item " + items, np.where(groups != "", "group " + groups, "")))


def fold_items(find: Callable[[int], Hits], k: int, items: np.ndarray) -> Hits:
    """Find the nearest hit of each of the k nearest items: the search of a query is widened until there are k items.

    Args:
        find: search for the given number of hits of Q queries.
        k: number of items.
        items: (N,) int64, item number of each row.

    Returns:
        (Q, k) hits, padded if the probed lists have fewer items.
    """
    count, hits = k, find(k)
    unique = [_first_of_each_item(hits.at(query), items, k) for query in range(len(hits.rows))]
    while count < len(items):
        incomplete = [query for query, found in enumerate(unique) if found.rows[0, -1] < 0 <= hits.rows[query, -1]]
        if not incomplete:
            break
        count = min(2 * count, len(items))
        hits = find(count)
        for query in incomplete:  # the others keep their hits, which do not depend on the batch
            unique[query] = _first_of_each_item(hits.at(query), items, k)
    return Hits.concatenate(unique, k)


def _first_of_each_item(hits: Hits, items: np.ndarray, k: int) -> Hits:
    """Keep the first hit of each item.  (1, K) hits -> (1, k) hits."""
    hit_items = items[hits.rows[0, hits.rows[0] >= 0]]
    first = np.sort(np.unique(hit_items, return_index=True)[1])[:k]
    return Hits(hits.rows[:, first], hits.distances[:, first]).pad(k)


def count_folded(hits: Hits, subset: Subset, probed_lists: np.ndarray) -> np.ndarray:
    """Count the other rows of each hit's item in the probed lists.

    Args:
        hits: (Q, k) hits; rows of the subset.
        subset: subset that was searched.
        probed_lists: (Q, C) int64, padded with -1.

    Returns:
        (Q, k) int64; 0 for padding.
    """
    folded = np.zeros_like(hits.rows)
    items, rows = subset.items_and_rows
    for query, rank in np.argwhere(hits.rows >= 0):
        item = subset.items[hits.rows[query, rank]]
        first, last = np.searchsorted(items, (item, item + 1))
        folded[query, rank] = np.isin(subset.gallery.lists[rows[first:last]], probed_lists[query]).sum() - 1
    return folded


def drop_far(hits: Hits, max_distance: float) -> tuple[Hits, np.ndarray]:
    """Replace hits beyond a distance by padding; also return their number, (Q,) int64."""
    is_far = (hits.rows >= 0) & (hits.distances > np.float32(max_distance))
    kept = Hits(np.where(is_far, -1, hits.rows), np.where(is_far, np.float32(np.inf), hits.distances))
    return kept, is_far.sum(axis=1)
