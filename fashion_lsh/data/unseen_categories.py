"""Train on some categories, search among the others."""

import logging
from collections import Counter
from collections.abc import Mapping

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.splits import connected_units

log = logging.getLogger(__name__)

MIN_GARMENTS = 80  # main garments of a category that is drawn: of fewer, hardly any ask
TRAINED_SPLITS = ("train", "val")


def hold_out_categories(catalogue: Catalogue, unseen: int | list[str], seed: int) -> Catalogue:
    """Let some categories ask and be searched alone, and the others alone train.

    Garments of unseen categories in train and val are no main ones any more, nor are those of other categories in query
    and gallery: they stay as companions of main ones on their pictures, and pictures without a main one go.  Where the
    data have no gallery, it is made of what hangs together in train and val (see `connected_units`) and has no garment
    that trains.

    Args:
        catalogue: split.
        unseen: names of categories, or how many are drawn of those with MIN_GARMENTS main garments.
        seed: of the draw.

    Raises:
        ValueError: a name is unknown, fewer categories are large enough, or fewer than two are left to train.
    """
    names = _choose_categories(catalogue, unseen, seed)
    if not (catalogue.column("split") == "gallery").any():
        catalogue = _build_gallery(catalogue, names)
    trained = np.isin(catalogue.column("split").astype(str), TRAINED_SPLITS)
    main = catalogue.column("main") & (trained != _in_categories(catalogue, names))
    images = catalogue.column("image").astype(str)
    kept = np.flatnonzero(np.isin(images, images[main]))
    log.info("never trained, and searched: %s", ", ".join(names))
    return catalogue.with_columns(main=main).take(kept)


def _choose_categories(catalogue: Catalogue, unseen: int | list[str], seed: int) -> list[str]:
    counts = Counter(catalogue.column("category")[catalogue.column("main")])
    names = sorted(set(_draw_categories(counts, unseen, seed) if isinstance(unseen, int) else unseen))
    if unknown := sorted(set(names) - set(counts)):
        raise ValueError(f"split.unseen: category {unknown[0]!r} is unknown; known are {', '.join(sorted(counts))}")
    if (remaining := len(counts) - len(names)) < 2:
        raise ValueError(
            f"split.unseen={unseen}: {remaining} of {len(counts)} categories are left to train, of two at least"
        )
    return names


def _draw_categories(counts: Mapping[str, int], unseen: int, seed: int) -> list[str]:
    """So many of the categories that are large enough."""
    large = sorted(name for name, count in counts.items() if count >= MIN_GARMENTS)
    if unseen > len(large):
        raise ValueError(
            f"split.unseen={unseen}: {len(large)} of {len(counts)} categories have {MIN_GARMENTS} garments or more: "
            "give fewer, or names of categories"
        )
    return list(np.random.default_rng(seed).choice(large, unseen, replace=False).tolist())


def _build_gallery(catalogue: Catalogue, names: list[str]) -> Catalogue:
    """What hangs together in train and val, and of the categories that train shows none, as the gallery."""
    splits, main, held_out = (
        catalogue.column("split").copy(),
        catalogue.column("main"),
        _in_categories(catalogue, names),
    )
    units, trained = connected_units(catalogue), np.isin(splits.astype(str), TRAINED_SPLITS)
    moved = (
        trained & np.isin(units, units[trained & main & held_out]) & ~np.isin(units, units[trained & main & ~held_out])
    )
    splits[moved] = "gallery"
    return catalogue.with_columns(split=splits)


def _in_categories(catalogue: Catalogue, names: list[str]) -> np.ndarray:
    """(N,) bool: of one of these categories."""
    return np.isin(catalogue.column("category").astype(str), names)
