"""Result of a search with one query image."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.index.hits import Hits
from fashion_lsh.search.filters import FilteredHits


class Hit(NamedTuple):
    """Garment of the gallery that is similar to a query.

    Attributes:
        id: id of the garment.
        path: image file; relative to the root of the data set, or absolute for an image added to the gallery.
        category: labelled category; "" if unknown.
        item: id of the item, equal for images of the same item; "" if unknown.
        distance: distance to the query, by the distance of the search policy.
        row: row in the catalogue of the gallery.
        folded: number of other garments of the item in the probed lists, if the policy returns one hit per item.
    """

    id: str
    path: str
    category: str
    item: str
    distance: float
    row: int
    folded: int = 0


class SearchResult(NamedTuple):
    """Result of one query.

    Attributes:
        category: predicted category.
        probability: softmax probability of the predicted category.
        runner_up: second most probable category; "" if the model has a single category.
        runner_up_probability: softmax probability of the runner-up; 0 if the model has a single category.
        hits: at most k hits by ascending distance; fewer if the probed lists have fewer garments that pass the filters.
        box: given or detected box of the garment, xyxy in pixels; None for the whole image.
        dropped: number of the k nearest hits that were dropped as farther than `max_distance` of the policy.
    """

    category: str
    probability: float
    runner_up: str
    runner_up_probability: float
    hits: tuple[Hit, ...]
    box: tuple[float, ...] | None
    dropped: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, ready for JSON; each hit is a dict, too."""
        return self._asdict() | {"hits": [hit._asdict() for hit in self.hits]}


def garment_hits(hits: Hits, gallery: Catalogue, folded: Sequence[int]) -> tuple[Hit, ...]:
    """Look up the garments of one query's hits, (1, K), in the catalogue of the gallery.  folded: see Hit, (K,)."""
    found = zip(hits.rows[0].tolist(), hits.distances[0].tolist(), folded, strict=True)
    garments = [(gallery.row(row), distance, row, count) for row, distance, count in found if row >= 0]
    return tuple(
        Hit(garment["id"], garment["image"], garment["category"], garment["item"], distance, row, count)
        for garment, distance, row, count in garments
    )


def query_result(
    categories: Sequence[str],
    probabilities: np.ndarray,
    found: FilteredHits,
    gallery: Catalogue,
    box: tuple[float, ...] | None,
) -> SearchResult:
    """Combine the probabilities, (C,), and the hits, (1, k), of one query to a result."""
    names = [*categories, ""]
    first, second = (*np.argsort(-probabilities, kind="stable")[:2], -1)[:2]
    return SearchResult(
        names[first],
        float(probabilities[first]),
        names[second],
        float(probabilities[second]) if second >= 0 else 0.0,
        garment_hits(found.hits, gallery, found.folded[0].tolist()),
        box,
        int(found.dropped[0]),
    )
