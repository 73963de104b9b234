"""Result of a search with one query image."""

from typing import Any, NamedTuple

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.index.hits import Hits


class Hit(NamedTuple):
    """Garment of the gallery that is similar to a query.

    Attributes:
        id: id of the garment.
        path: image file; relative to the root of the data set, or absolute for an image added to the gallery.
        category: labelled category; "" if unknown.
        item: id of the item, equal for images of the same item; "" if unknown.
        distance: distance to the query, by the distance of the search policy.
        row: row in the catalogue of the gallery.
    """

    id: str
    path: str
    category: str
    item: str
    distance: float
    row: int


class SearchResult(NamedTuple):
    """Result of one query.

    Attributes:
        category: predicted category.
        probability: softmax probability of the predicted category.
        runner_up: second most probable category; "" if the model has a single category.
        runner_up_probability: softmax probability of the runner-up; 0 if the model has a single category.
        hits: at most k hits by ascending distance; fewer if the probed lists have fewer garments.
        box: given or detected box of the garment, xyxy in pixels; None for the whole image.
    """

    category: str
    probability: float
    runner_up: str
    runner_up_probability: float
    hits: tuple[Hit, ...]
    box: tuple[float, ...] | None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, ready for JSON; each hit is a dict, too."""
        return self._asdict() | {"hits": [hit._asdict() for hit in self.hits]}


def garment_hits(hits: Hits, gallery: Catalogue) -> tuple[Hit, ...]:
    """Look up the garments of one query's hits, (1, K), in the catalogue of the gallery."""
    found = zip(hits.rows[0].tolist(), hits.distances[0].tolist(), strict=True)
    garments = [(gallery.row(row), distance, row) for row, distance in found if row >= 0]
    return tuple(
        Hit(garment["id"], garment["image"], garment["category"], garment["item"], distance, row)
        for garment, distance, row in garments
    )
