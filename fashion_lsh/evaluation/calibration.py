"""Calibrate the coverage of the probed lists on a part of val that selected nothing."""

import logging
from dataclasses import dataclass
from typing import Self

import numpy as np

from fashion_lsh.data.calibration_split import CALIBRATION, divide_queries
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.splits import row_components
from fashion_lsh.evaluation.coverage import category_lists, item_lists
from fashion_lsh.evaluation.protocol import encode_split
from fashion_lsh.metrics.retrieval import Relevance
from fashion_lsh.models.encoding import Model
from fashion_lsh.search.coverage import CoverageCalibration, check_size, coverage_scores
from fashion_lsh.search.policy import SearchPolicy
from fashion_lsh.training.processes import Processes

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CalibrationQueries:
    """Queries and gallery rows of the calibration part (see `divide_queries`).

    Relevance is by item; queries without a relevant gallery row are left out. If no query of this part or of the test
    has one, relevance is by category, and all queries are used.

    Attributes:
        query_rows: (q,) int64 rows of the calibration part.
        gallery_rows: (g,) int64 rows of the calibration part.
        relevance: relevance of the gallery rows by item; None: by category.
        groups: (q,) int64 component of linked rows of each query, see `row_components`.
        excluded: number of queries that were left out.
        missing: categories of the training data without a query.
    """

    query_rows: np.ndarray
    gallery_rows: np.ndarray
    relevance: Relevance | None
    groups: np.ndarray
    excluded: int
    missing: tuple[str, ...]

    @classmethod
    def from_data(cls, data: GarmentData) -> Self:
        """Divide the calibration part of the data; images are not read."""
        part, query, gallery = (data.catalogue.take(data.all_rows(name)) for name in (CALIBRATION, "query", "gallery"))
        query_rows, gallery_rows = map(np.flatnonzero, divide_queries(part, query, gallery))
        items, num_queries, relevance = part.column("item"), len(query_rows), None
        has_relevant = Relevance.from_names(items[query_rows], items[gallery_rows]).totals > 0
        if has_relevant.any() and Relevance.from_names(query.column("item"), gallery.column("item")).totals.any():
            query_rows = query_rows[has_relevant]
            relevance = Relevance.from_names(items[query_rows], items[gallery_rows])
        names = set(part.column("category")[query_rows])
        missing = tuple(name for name in data.categories if name not in names)
        groups, excluded = row_components(part)[query_rows], num_queries - len(query_rows)
        return cls(query_rows, gallery_rows, relevance, groups, excluded, missing)


def check_coverage(policy: SearchPolicy, data: GarmentData) -> None:
    """Check before training that the calibration part can promise the coverage of the policy, if it has one.

    Raises:
        ValueError: there is no calibration part, it has too few queries, or a category has no query.
    """
    if policy.coverage is None:
        return
    if not data.calibration:
        raise ValueError(
            f"search.coverage={policy.coverage}: split.calibration=0, no image calibrates it; set split.calibration=0.5"
        )
    queries = CalibrationQueries.from_data(data)
    check_size(policy.coverage, len(np.unique(queries.groups)), queries.missing)


def calibrate(model: Model, data: GarmentData, processes: Processes | None = None) -> CoverageCalibration:
    """Encode the calibration part, and compute the scores of its queries (see `coverage_scores`).

    By item, the lists of the gallery rows are predicted, too. By category, the list of the true category is relevant.
    """
    queries = CalibrationQueries.from_data(data)
    encoded = encode_split(model, data, CALIBRATION, processes=processes)
    probabilities, num_lists = encoded.encoded.probabilities[queries.query_rows], len(model.categories)
    if queries.relevance is not None:
        name, lists = "item", encoded.encoded.predicted[queries.gallery_rows]
        is_relevant = item_lists(queries.relevance, lists, num_lists)
    else:
        name, labels = "category", encoded.catalogue.labels(model.categories)[queries.query_rows]
        is_relevant = category_lists(labels, num_lists)
    scores = coverage_scores(probabilities, is_relevant)
    log.info(
        "Coverage: %d calibration queries in %d groups, by %s; %d without a relevant image are left out",
        len(scores), len(np.unique(queries.groups)), name, queries.excluded,
    )  # fmt: skip
    return CoverageCalibration(scores, queries.groups, name, queries.excluded, queries.missing)
