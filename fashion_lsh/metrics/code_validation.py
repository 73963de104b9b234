"""mAP of the codes of a validation split, for choosing the best epoch."""

from typing import NamedTuple

import numpy as np

from fashion_lsh.io.rows import evenly_spaced
from fashion_lsh.metrics.ranking import ALL
from fashion_lsh.metrics.retrieval import Relevance, score_codes

MIN_ITEM_QUERIES = 20  # with fewer queries that have a relevant item, relevance is by category
MAX_QUERIES, MAX_GALLERY = 1_000, 10_000  # size of the sample


class ValidationMap(NamedTuple):
    """mAP of codes on validation images.

    Attributes:
        relevance: `item` or `category`.
        value: tie-aware mAP over the whole ranking; NaN if no query has a relevant row.
    """

    relevance: str
    value: float


def validation_map(
    codes: np.ndarray,
    categories: np.ndarray,
    items: np.ndarray,
    is_query_view: np.ndarray | None = None,
    within_category: bool = False,
) -> ValidationMap:
    """Search one part of the validation images among the others, by Hamming distance alone.

    Images of the query view are the queries if both views occur; otherwise every second image of each item or category.
    A sample of at most MAX_QUERIES queries and MAX_GALLERY gallery images is evenly spaced.

    Args:
        codes: (N, W) uint8 packed codes.
        categories: (N,) int categories, -1 for none.
        items: (N,) int items, equal for images of the same item.
        is_query_view: (N,) bool, True for images in the view of queries; None if the views are not known.
        within_category: search only among the images of the query's category.
    """
    for name, labels in (("item", items), ("category", categories)):
        queries, gallery = _split(labels, is_query_view)
        relevance = Relevance(labels[queries], labels[gallery])
        if name == "category" or (relevance.totals > 0).sum() >= MIN_ITEM_QUERIES:
            break

    def in_category(block: slice) -> np.ndarray:
        return categories[queries][block, None] == categories[gallery]

    find_probed = in_category if within_category else None
    scores = score_codes(codes[queries], codes[gallery], relevance, find_probed, (ALL,))["map", ALL]
    return ValidationMap(name, float(np.nanmean(scores)) if (relevance.totals > 0).any() else np.nan)


def _split(labels: np.ndarray, is_query_view: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows of queries and of the gallery, int64 each."""
    if is_query_view is None or is_query_view.all() or not is_query_view.any():
        order = np.argsort(labels, kind="stable")
        _, first, counts = np.unique(labels[order], return_index=True, return_counts=True)
        is_query_view = np.empty(len(labels), dtype=bool)
        is_query_view[order] = (np.arange(len(labels)) - np.repeat(first, counts)) % 2 == 1
    return _evenly_spaced(is_query_view, MAX_QUERIES), _evenly_spaced(~is_query_view, MAX_GALLERY)


def _evenly_spaced(mask: np.ndarray, count: int) -> np.ndarray:
    """At most `count` evenly spaced positions of True values, (n,) int64."""
    rows = np.flatnonzero(mask)
    return rows[evenly_spaced(len(rows), count)]
