"""Queries that selected nothing, with the first list that has a relevant row, for the study of coverage."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fashion_lsh.data.calibration_split import CALIBRATION, divide_queries
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.splits import row_components
from fashion_lsh.evaluation.coverage import category_lists, item_lists
from fashion_lsh.evaluation.protocol import EncodedSplit
from fashion_lsh.metrics.retrieval import Relevance
from fashion_lsh.models.encoding import Encoded
from fashion_lsh.search.coverage import NEVER, first_relevant, order_lists


@dataclass(frozen=True)
class Pool:
    """Queries to divide into calibration and test.

    Attributes:
        relevance: `item` or `category`, see `coverage_results`.
        encoded: Q encoded queries.
        lists: (Q, C) int64 lists, the most probable first.
        first: (Q,) int64 position of the first list with a relevant row; -1: none.
        groups: (Q,) int64 group of linked images, 0..num_groups - 1; the groups of two pools have the same numbers.
        num_groups: number of groups.
        categories: (Q,) str true categories.
        excluded: number of queries without a relevant row, which were left out.
    """

    relevance: str
    encoded: Encoded
    lists: np.ndarray
    first: np.ndarray
    groups: np.ndarray
    num_groups: int
    categories: np.ndarray
    excluded: int

    def draw_half(self, seed: int) -> np.ndarray:
        """Draw half of the groups with queries, to calibrate: (num_groups,) bool."""
        groups = np.random.default_rng(seed).permutation(np.unique(self.groups))
        is_drawn = np.zeros(self.num_groups, dtype=bool)
        is_drawn[groups[: len(groups) // 2]] = True
        return is_drawn

    def at_first(self, values: np.ndarray) -> np.ndarray:
        """Value of the first list with a relevant row, NEVER if there is none.  (Q, C) -> (Q,) float32."""
        found = values[np.arange(len(self.first)), self.first]
        return np.where(self.first < 0, np.float32(NEVER), found).astype(np.float32)

    def mean_by_category(self, covered: np.ndarray, rows: np.ndarray) -> dict[str, float]:
        """Mean over groups of the mean over their queries, for all queries ("") and by category; NaN without queries.

        covered: (Q,) bool; rows: (Q,) bool, queries to use.
        """
        means = {"": _group_mean(covered[rows], self.groups[rows])}
        for category in sorted(set(self.categories)):
            selected = rows & (self.categories == category)
            means[category] = _group_mean(covered[selected], self.groups[selected])
        return means


def _group_mean(values: np.ndarray, groups: np.ndarray) -> float:
    if not len(values):
        return float("nan")
    _, ids, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return float((np.bincount(ids, weights=values) / sizes).mean())


def build_pools(parts: Mapping[str, EncodedSplit], categories: Sequence[str]) -> Iterator[tuple[Pool, Pool | None]]:
    """Yield the queries of each relevance, and the same with gallery images as queries.

    The second pool shows a shift: it is None if query and gallery images have the same views. By item, its relevant
    rows are the query images.

    Args:
        parts: encoded query and gallery, and the calibration part if there is one.
        categories: categories of the model, in the order of the lists.
    """
    query, gallery = _merge(parts)
    components = row_components(query.catalogue.concatenate(gallery.catalogue))
    groups = np.unique(components, return_inverse=True)[1]
    query_groups, gallery_groups = np.split(groups, [len(query.catalogue)])
    views = [set(part.catalogue.column("view")) for part in (query, gallery)]
    for relevance in ("item", "category"):
        pool = _build_pool(relevance, query, gallery, query_groups, groups.max() + 1, categories)
        shifted = _build_pool(relevance, gallery, query, gallery_groups, groups.max() + 1, categories)
        if len(pool.first):
            yield pool, None if views[0] == views[1] else shifted


def _merge(parts: Mapping[str, EncodedSplit]) -> tuple[EncodedSplit, EncodedSplit]:
    """Queries and gallery, each with the rows of the calibration part."""
    query, gallery = parts["query"], parts["gallery"]
    if CALIBRATION not in parts:
        return query, gallery
    part = parts[CALIBRATION]
    rows = map(np.flatnonzero, divide_queries(part.catalogue, query.catalogue, gallery.catalogue))
    merged = [_append(whole, part, selected) for whole, selected in zip((query, gallery), rows, strict=True)]
    return merged[0], merged[1]


def _append(whole: EncodedSplit, part: EncodedSplit, rows: np.ndarray) -> EncodedSplit:
    catalogue: Catalogue = whole.catalogue.concatenate(part.catalogue.take(rows))
    return EncodedSplit(catalogue, Encoded.concatenate([whole.encoded, part.encoded.take(rows)]), {})


def _build_pool(
    name: str,
    query: EncodedSplit,
    gallery: EncodedSplit,
    groups: np.ndarray,
    num_groups: int,
    categories: Sequence[str],
) -> Pool:
    labels, lists = query.catalogue.labels(categories), order_lists(query.encoded.probabilities)
    if name == "item":
        relevance = Relevance.from_names(query.catalogue.column("item"), gallery.catalogue.column("item"))
        is_scored = relevance.totals > 0
        is_relevant = item_lists(relevance, gallery.encoded.predicted, len(categories))
    else:
        is_scored, is_relevant = labels >= 0, category_lists(labels, len(categories))
    return Pool(
        name, query.encoded.take(is_scored), lists[is_scored], first_relevant(lists, is_relevant)[is_scored],
        groups[is_scored], num_groups, query.catalogue.column("category")[is_scored].astype(str),
        int((~is_scored).sum()),
    )  # fmt: skip
