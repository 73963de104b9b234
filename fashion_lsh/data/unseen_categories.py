"""Train on some categories, search among the others."""

import logging
from collections import Counter
from collections.abc import Mapping

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.splits import units_of

log = logging.getLogger(__name__)

LEAST = 80  # main garments of a category that is drawn: of fewer, hardly any ask
LEARNT = ("train", "val")


def apart_by_category(catalogue: Catalogue, unseen: int | list[str], seed: int) -> Catalogue:
    """Let some categories ask and be searched alone, and the others alone train.

    Garments of unseen categories in train and val are no main ones any more, nor are those of other categories in query
    and gallery: they stay as companions of main ones on their pictures, and pictures without a main one go.  Where the
    data have no gallery, it is made of what hangs together in train and val (see `units_of`) and has no garment that
    trains.

    Args:
        catalogue: split.
        unseen: names of categories, or how many are drawn of those with LEAST main garments.
        seed: of the draw.

    Raises:
        ValueError: a name is unknown, fewer categories are large enough, or fewer than two are left to train.
    """
    names = _chosen(catalogue, unseen, seed)
    if not (catalogue.column("split") == "gallery").any():
        catalogue = _with_gallery(catalogue, names)
    learnt = np.isin(catalogue.column("split").astype(str), LEARNT)
    main = catalogue.column("main") & (learnt != _of(catalogue, names))
    pictures = catalogue.column("picture").astype(str)
    kept = np.flatnonzero(np.isin(pictures, pictures[main]))
    log.info("never trained, and searched: %s", ", ".join(names))
    return catalogue.having(main=main).take(kept)


def _chosen(catalogue: Catalogue, unseen: int | list[str], seed: int) -> list[str]:
    counts = Counter(catalogue.column("category")[catalogue.column("main")])
    names = sorted(set(_drawn(counts, unseen, seed) if isinstance(unseen, int) else unseen))
    if unknown := sorted(set(names) - set(counts)):
        raise ValueError(f"split.unseen: category {unknown[0]!r} is unknown; known are {', '.join(sorted(counts))}")
    if (left := len(counts) - len(names)) < 2:
        raise ValueError(
            f"split.unseen={unseen}: {left} of {len(counts)} categories are left to train, of two at least"
        )
    return names


def _drawn(counts: Mapping[str, int], unseen: int, seed: int) -> list[str]:
    """So many of the categories that are large enough."""
    large = sorted(name for name, count in counts.items() if count >= LEAST)
    if unseen > len(large):
        raise ValueError(
            f"split.unseen={unseen}: {len(large)} of {len(counts)} categories have {LEAST} garments or more: give "
            "fewer, or names of categories"
        )
    return list(np.random.default_rng(seed).choice(large, unseen, replace=False).tolist())


def _with_gallery(catalogue: Catalogue, names: list[str]) -> Catalogue:
    """What hangs together in train and val, and of the categories that train shows none, as the gallery."""
    splits, main, mine = catalogue.column("split").copy(), catalogue.column("main"), _of(catalogue, names)
    units, learnt = units_of(catalogue), np.isin(splits.astype(str), LEARNT)
    moved = learnt & np.isin(units, units[learnt & main & mine]) & ~np.isin(units, units[learnt & main & ~mine])
    splits[moved] = "gallery"
    return catalogue.having(split=splits)


def _of(catalogue: Catalogue, names: list[str]) -> np.ndarray:
    """(N,) bool: of one of these categories."""
    return np.isin(catalogue.column("category").astype(str), names)
