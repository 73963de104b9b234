"""What stands on two sides of a split."""

import logging

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.connected_components import factorize
from fashion_lsh.data.splits import LINK_COLUMNS

log = logging.getLogger(__name__)


def check_disjoint(catalogue: Catalogue) -> None:
    """See that no picture, group or item is on two sides (see `find_leaks`).

    Raises:
        ValueError: names the first thing that is on two sides.
    """
    for column in LINK_COLUMNS:
        if names := find_leaks(catalogue, column):
            where = " and ".join(sorted(set(_partitions(catalogue, column)[catalogue.column(column) == names[0]])))
            raise ValueError(
                f"{column} {names[0]!r} is both in {where}: put all its rows on one side, or leave those of train out "
                "(split.leaks=drop), or keep the splits as they were published, leaks and all (split=official)"
            )


def find_leaks(catalogue: Catalogue, column: str) -> list[str]:
    """The pictures, groups or items, by `column`, that stand on two sides, sorted.

    Sides are train, val and query + gallery; query and gallery may share items and groups, but no picture.
    """
    names, partitions = catalogue.column(column), _partitions(catalogue, column)
    known = np.flatnonzero((names != "") & (partitions != ""))
    value_ids, partition = factorize(names[known]), factorize(partitions[known])
    first_partition = np.zeros(value_ids.max(initial=-1) + 1, dtype=np.int64)
    first_partition[value_ids[::-1]] = partition[::-1]  # the side of each name's first row
    return sorted(set(names[known[first_partition[value_ids] != partition]]))


def _partitions(catalogue: Catalogue, column: str) -> np.ndarray:
    splits = catalogue.column("split")
    return splits if column == "image" else np.where(np.isin(splits, ["query", "gallery"]), "query and gallery", splits)


def drop_leaks(catalogue: Catalogue) -> tuple[Catalogue, dict[str, str]]:
    """Drop from train what shares a picture, group or item with val, query or gallery; from val likewise.

    Returns:
        The other rows, and why each dropped one went: id -> reason.
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
    """Say in the log what is on two sides, of each kind."""
    for column in LINK_COLUMNS:
        if names := find_leaks(catalogue, column):
            rows = np.isin(catalogue.column(column).astype(str), names)
            log.warning(
                "leak: %d of %s stand on two sides of the split, %s say, with %d garments: scores are too good by what "
                "that is worth", len(names), column, names[0], rows.sum(),
            )  # fmt: skip
