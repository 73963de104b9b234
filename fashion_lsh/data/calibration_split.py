"""Divide val into rows that select and rows that calibrate, and the latter into queries and gallery."""

from typing import Final

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.splits import divide_items, divide_rows

CALIBRATION: Final = "calibration"


def divide_val(catalogue: Catalogue, ratio: float, seed: int) -> dict[str, np.ndarray]:
    """Divide the main rows of val: `val` selects epochs, rates and temperature, `calibration` selects nothing.

    Each category is divided. Main rows linked by image, group or item are in the same part. A category with a single
    group of linked rows stays in `val`.

    Args:
        catalogue: rows with splits.
        ratio: ratio of the calibration part in each category, counted in groups of linked rows, 0..1.
        seed: random seed.

    Returns:
        Catalogue rows by part, (n,) int64, ascending.

    Raises:
        ValueError: `ratio` is above 0, but every category has a single group of linked rows.
    """
    rows = catalogue.rows("val")
    if not ratio:
        return {"val": rows, CALIBRATION: rows[:0]}
    parts = divide_rows(catalogue.take(rows), {"val": 1 - ratio, CALIBRATION: ratio}, seed)
    if not (parts == CALIBRATION).any():
        raise ValueError(
            f"split.calibration={ratio:g}: no category of val has two groups of linked images; add images, or raise "
            "split.ratios.val"
        )
    return {name: rows[parts == name] for name in ("val", CALIBRATION)}


def divide_queries(calibration: Catalogue, query: Catalogue, gallery: Catalogue) -> tuple[np.ndarray, np.ndarray]:
    """Select the queries and the gallery rows of the calibration part, as similar as possible to those of the test.

    Images of an item are divided like those in query and gallery (see `divide_items`). All garments without an item are
    queries. Only the views of the queries and of the gallery are used: with street images as queries, for example,
    shop images do not calibrate.

    Args:
        calibration: n rows of the calibration part.
        query: queries of the test.
        gallery: gallery of the test.

    Returns:
        Queries and gallery rows, two (n,) bool.
    """
    views = calibration.column("view")
    parts = np.full(len(calibration), "query", dtype=object)
    parts = divide_items(calibration, parts, len(query) / (len(query) + len(gallery)))
    is_query, is_gallery = (
        (parts == name) & np.isin(views, list(set(rows.column("view"))))
        for name, rows in (("query", query), ("gallery", gallery))
    )
    return is_query, is_gallery
