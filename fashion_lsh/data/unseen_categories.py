"""Hold out categories: train on some, search among the others."""

import logging
from collections import Counter
from collections.abc import Mapping

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.splits import connected_units

log = logging.getLogger(__name__)

MIN_GARMENTS = 80  # main garments a drawn category must have; fewer leave hardly any queries
TRAINED_SPLITS = ("train", "val")


def hold_out_categories(catalogue: Catalogue, unseen: int | list[str], seed: int) -> Catalogue:
    """Restrict query and gallery to unseen categories, and train and val to the others.

    Garments of unseen categories in train and val, and of other categories in query and gallery, become companions
    (`main` is false); images without a main garment are removed.  If the data have no gallery, it is built from units
    of train and val (see `connected_units`) that contain an unseen garment and no trained one.

    Args:
        catalogue: catalogue with splits.
        unseen: category names, or how many to draw among those with at least MIN_GARMENTS main garments.
        seed: seed of the draw.

    Raises:
        ValueError: a name is unknown, too few categories are large enough, or fewer than two are left for training.
    """
    names = _choose_categories(catalogue, unseen, seed)
    if not (catalogue.column("split") == "gallery").any():
        catalogue = _build_gallery(catalogue, names)
    trained = np.isin(catalogue.column("split").astype(str), TRAINED_SPLITS)
    main = catalogue.column("main") & (trained != _in_categories(catalogue, names))
    images = catalogue.column("image").astype(str)
    kept = np.flatnonzero(np.isin(images, images[main]))
    log.info("Unseen categories, searched but not trained: %s", ", ".join(names))
    return catalogue.with_columns(main=main).take(kept)


def _choose_categories(catalogue: Catalogue, unseen: int | list[str], seed: int) -> list[str]:
    counts = Counter(catalogue.column("category")[catalogue.column("main")])
    names = sorted(set(_draw_categories(counts, unseen, seed) if isinstance(unseen, int) else unseen))
    if unknown := sorted(set(names) - set(counts)):
        raise ValueError(f"split.unseen={unknown[0]!r}: unknown category; choose from {', '.join(sorted(counts))}")
    if (remaining := len(counts) - len(names)) < 2:
        raise ValueError(
            f"split.unseen={unseen}: leaves {remaining} of {len(counts)} categories for training; leave at least 2"
        )
    return names


def _draw_categories(counts: Mapping[str, int], unseen: int, seed: int) -> list[str]:
    """Draw `unseen` categories among those with at least MIN_GARMENTS garments."""
    large = sorted(name for name, count in counts.items() if count >= MIN_GARMENTS)
    if unseen > len(large):
        raise ValueError(
            f"split.unseen={unseen}: only {len(large)} of {len(counts)} categories have at least {MIN_GARMENTS} "
            "garments; use a smaller number, or category names"
        )
    return list(np.random.default_rng(seed).choice(large, unseen, replace=False).tolist())


def _build_gallery(catalogue: Catalogue, names: list[str]) -> Catalogue:
    """Move units of train and val with unseen main garments, and no trained ones, to the gallery."""
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
    """(N,) bool: rows of one of these categories."""
    return np.isin(catalogue.column("category").astype(str), names)
