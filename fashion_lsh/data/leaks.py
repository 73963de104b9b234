"""Leaks: images, groups and items shared by several splits."""

import logging

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.connected_components import factorize
from fashion_lsh.data.splits import LINK_COLUMNS

log = logging.getLogger(__name__)


def check_disjoint(catalogue: Catalogue) -> None:
    """Check that no image, group or item leaks between splits (see `find_leaks`).

    Raises:
        ValueError: there is a leak; names the first one.
    """
    for column in LINK_COLUMNS:
        if names := find_leaks(catalogue, column):
            where = " and ".join(sorted(set(_partitions(catalogue, column)[catalogue.column(column) == names[0]])))
            raise ValueError(
                f"{column}={names[0]!r}: shared by {where}; put all its rows in one split, drop them from train "
                "(split.leaks=drop), or keep the published splits with their leaks (split=official)"
            )


def find_leaks(catalogue: Catalogue, column: str) -> list[str]:
    """List the values of `column` (image, group or item) that several splits share, sorted.

    Query and gallery count as one split for groups and items, which they may share; they may not share images.
    """
    names, partitions = catalogue.column(column), _partitions(catalogue, column)
    known = np.flatnonzero((names != "") & (partitions != ""))
    value_ids, partition = factorize(names[known]), factorize(partitions[known])
    first_partition = np.zeros(value_ids.max(initial=-1) + 1, dtype=np.int64)
    first_partition[value_ids[::-1]] = partition[::-1]  # split of the first row of each value
    return sorted(set(names[known[first_partition[value_ids] != partition]]))


def _partitions(catalogue: Catalogue, column: str) -> np.ndarray:
    splits = catalogue.column("split")
    return splits if column == "image" else np.where(np.isin(splits, ["query", "gallery"]), "query and gallery", splits)


def drop_leaks(catalogue: Catalogue) -> tuple[Catalogue, dict[str, str]]:
    """Drop rows of train that share an image, group or item with val, query or gallery, and rows of val likewise.

    Returns:
        The remaining rows; the dropped rows, id -> reason.
    """
    reasons: dict[str, str] = {}
    splits, ids = catalogue.column("split"), catalogue.column("id")
    kept = np.ones(len(catalogue), dtype=bool)
    for lower, higher_splits in (("val", ["query", "gallery"]), ("train", ["val", "query", "gallery"])):
        in_higher = kept & np.isin(splits, higher_splits)
        for column in LINK_COLUMNS:
            names = catalogue.column(column)
            shared = kept & (splits == lower) & (names != "") & np.isin(names.astype(str), names[in_higher].astype(str))
            reasons |= {ids[row]: f"{lower} shares {column} {names[row]!r} with {' or '.join(higher_splits)}"
                        for row in np.flatnonzero(shared)}  # fmt: skip
            kept &= ~shared
    return catalogue.take(np.flatnonzero(kept)), reasons


def report_leaks(catalogue: Catalogue) -> None:
    """Log the number of leaking images, groups and items."""
    for column in LINK_COLUMNS:
        if names := find_leaks(catalogue, column):
            rows = np.isin(catalogue.column(column).astype(str), names)
            log.warning(
                "Leak: several splits share %d values of %s (for example %s; %d garments): scores are too optimistic",
                len(names), column, names[0], rows.sum(),
            )  # fmt: skip
