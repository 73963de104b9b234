"""Measured coverage: ratio of the queries with a relevant row in a probed list."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fashion_lsh.metrics.results import Result
from fashion_lsh.metrics.retrieval import Relevance
from fashion_lsh.metrics.statistics import item_interval
from fashion_lsh.search.coverage import first_relevant


def item_lists(relevance: Relevance, gallery_lists: np.ndarray, num_lists: int) -> np.ndarray:
    """Mark the lists with a row that is relevant to each query: (Q, C) bool.

    Args:
        relevance: relevance of N gallery rows to Q queries.
        gallery_lists: (N,) int64 list of each gallery row; -1: in no list.
        num_lists: number C of lists.
    """
    num_labels = 1 + max(relevance.query.max(initial=-1), relevance.gallery.max(initial=-1))
    has_label = np.zeros((num_labels + 1, num_lists), dtype=bool)  # the last row is that of label -1
    rows = (relevance.gallery >= 0) & (gallery_lists >= 0)
    has_label[relevance.gallery[rows], gallery_lists[rows]] = True
    return np.asarray(has_label[relevance.query])


def category_lists(labels: np.ndarray, num_lists: int) -> np.ndarray:
    """Mark the list of the true category of each query.  (Q,) int64, -1: no list -> (Q, C) bool."""
    return labels[:, None] == np.arange(num_lists)


def coverage_results(
    lists: np.ndarray,
    labels: np.ndarray,
    items: np.ndarray,
    relevance: Mapping[str, Relevance],
    gallery_lists: np.ndarray,
    **fields: Any,
) -> list[Result]:
    """Coverage by relevance, coverage of one list, and the mean number of probed lists.

    By `category` a query is covered if the list of its true category is probed, by `item` if a probed list has a row of
    its item. Queries whose category has no list, or without a relevant row in the data, are left out.

    Args:
        lists: (Q, C) int64 probed lists, the most probable first, padded with -1.
        labels: (Q,) int64 true categories; -1: the category has no list.
        items: (Q,) str items, for the intervals.
        relevance: relevance by name, see `relevance_by_column`.
        gallery_lists: (N,) int64 list of each gallery row.
        fields: further fields of each Result.
    """
    num_lists = lists.shape[1]
    marks = {"category": (category_lists(labels, num_lists), labels >= 0)}
    if "item" in relevance:
        marks["item"] = item_lists(relevance["item"], gallery_lists, num_lists), relevance["item"].totals > 0
    results = [Result("lists_probed", float((lists >= 0).sum(axis=1).mean()), **fields)]
    for name, (is_relevant, is_scored) in marks.items():
        if not is_scored.any():
            continue
        position = np.where(is_scored, first_relevant(lists, is_relevant), np.nan)
        for metric, covered in (("coverage", position >= 0), ("one_list_coverage", position == 0)):
            values = np.where(is_scored, covered, np.nan)
            bounds, num_scored = item_interval(values, items), int(is_scored.sum())
            results.append(Result(metric, float(np.nanmean(values)), *bounds, relevance=name, n=num_scored, **fields))
    return results
