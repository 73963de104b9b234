"""Assign a split to each garment of a data set, and check the splits."""

from collections.abc import Mapping

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.leaks import check_disjoint, drop_leaks, report_leaks
from fashion_lsh.data.splits import check_splits, split
from fashion_lsh.data.unseen_categories import hold_out_categories


def assign_splits(
    garments: Catalogue,
    ratios: Mapping[str, float],
    seed: int,
    unseen: int | list[str] | None,
    leaks: str,
    gallery: str,
) -> tuple[Catalogue, dict[str, str]]:
    """Assign splits to garments; see GarmentData for the arguments.

    Returns:
        The garments that are kept, with a split each; reason of each dropped garment, by id.

    Raises:
        ValueError: a category is unknown, a split is empty, or splits have leaks.
    """
    rows = split(garments, dict(ratios), seed)
    if unseen is not None:
        rows = hold_out_categories(rows, unseen, seed)
    reasons: dict[str, str] = {}
    if leaks == "drop":
        rows, reasons = drop_leaks(rows)
    if leaks == "report":
        report_leaks(rows)
    else:
        check_disjoint(rows)
    check_splits(rows, gallery, unseen is not None)
    return rows, reasons
