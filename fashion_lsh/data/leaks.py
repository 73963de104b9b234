"""Find, drop and report leaks: images, groups and items that occur in several splits."""

import logging

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.connected_components import factorize
from fashion_lsh.data.splits import LINK_COLUMNS

log = logging.getLogger(__name__)


def check_disjoint(catalogue: Catalogue) -> None:
    """Check that no image, group or item occurs in several splits (see `find_leaks`).

    Raises:
        ValueError: an image, group or item occurs in several splits.
    """
    for column in LINK_COLUMNS:
        if names := find_leaks(catalogue, column):
            split_names = " and ".join(
                sorted(set(_get_partitions(catalogue, column)[catalogue.column(column) == names[0]]))
            )
            raise ValueError(
                f"{column}={names[0]!r}: shared by {split_names}; put all these rows in one split, drop them "
                "from train (split.leaks=drop), or keep the published splits with their leaks (split=official)"
            )


def find_leaks(catalogue: Catalogue, column: str) -> list[str]:
    """List the values of `column` (image, group or item) that occur in several splits, sorted.

    Query and gallery may share groups and items, so for these columns they count as one split. They may not share
    images.
    """
    names, partitions = catalogue.column(column), _get_partitions(catalogue, column)
    rows = np.flatnonzero((names != "") & (partitions != ""))
    value_ids, partition = factorize(names[rows]), factorize(partitions[rows])
    first_partition = np.zeros(value_ids.max(initial=-1) + 1, dtype=np.int64)
    # assigned in reverse order, so that the first row of each value takes precedence
    first_partition[value_ids[::-1]] = partition[::-1]
    return sorted(set(names[rows[first_partition[value_ids] != partition]]))


def _get_partitions(catalogue: Catalogue, column: str) -> np.ndarray:
    """Split of each row, (N,) str; query and gallery are one partition unless the column is `image`."""
    splits = catalogue.column("split")
    return splits if column == "image" else np.where(np.isin(splits, ["query", "gallery"]), "query and gallery", splits)


def drop_leaks(catalogue: Catalogue) -> tuple[Catalogue, dict[str, str]]:
    """Drop leaking rows from train and val.

    A row of val is dropped if it shares an image, group or item with query or gallery; a row of train if it shares one
    with val, query or gallery.

    Returns:
        The remaining rows; reasons for dropped rows: id -> reason.
    """
    reasons: dict[str, str] = {}
    splits, ids = catalogue.column("split"), catalogue.column("id")
    is_kept = np.ones(len(catalogue), dtype=bool)
    for lower, higher_splits in (("val", ["query", "gallery"]), ("train", ["val", "query", "gallery"])):
        in_higher = is_kept & np.isin(splits, higher_splits)
        for column in LINK_COLUMNS:
            names = catalogue.column(column)
            in_lower = is_kept & (splits == lower) & (names != "")
            is_leak = in_lower & np.isin(names.astype(str), names[in_higher].astype(str))
            reasons |= {ids[row]: f"{lower} shares {column} {names[row]!r} with {' or '.join(higher_splits)}"
                        for row in np.flatnonzero(is_leak)}  # fmt: skip
            is_kept &= ~is_leak
    return catalogue.take(np.flatnonzero(is_kept)), reasons


def report_leaks(catalogue: Catalogue) -> None:
    """Log how many images, groups and items occur in several splits."""
    for column in LINK_COLUMNS:
        if names := find_leaks(catalogue, column):
            rows = np.isin(catalogue.column(column).astype(str), names)
            log.warning(
                "Leak: several splits share %d values of %s (for example %s; %d garments): scores are too optimistic",
                len(names), column, names[0], rows.sum(),
            )  # fmt: skip
