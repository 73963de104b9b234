"""Hold out categories: the model is trained on some categories and searched in the others."""

import logging
from collections import Counter
from collections.abc import Mapping

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.splits import connected_units

log = logging.getLogger(__name__)

MIN_GARMENTS = 80  # minimum number of main garments in a drawn category; a smaller category has too few queries
TRAINED_SPLITS = ("train", "val")


def hold_out_categories(catalogue: Catalogue, unseen: int | list[str], seed: int) -> Catalogue:
    """Restrict query and gallery to unseen categories, and train and val to the other categories.

    Garments of unseen categories in train and val, and of other categories in query and gallery, become companions
    (`main` is false). Images without a main garment are removed.  If the data have no gallery, the gallery is built
    from the units of train and val (see `connected_units`) that contain unseen main garments but no trained main
    garment.

    Args:
        catalogue: catalogue with splits.
        unseen: category names, or the number of categories to draw among those with at least MIN_GARMENTS main
            garments.
        seed: random seed of the draw.

    Raises:
        ValueError: a name is unknown, too few categories are large enough, or fewer than two categories are left for
            training.
    """
    names = _choose_categories(catalogue, unseen, seed)
    if not (catalogue.column("split") == "gallery").any():
        catalogue = _build_gallery(catalogue, names)
    is_trained = np.isin(catalogue.column("split").astype(str), TRAINED_SPLITS)
    main = catalogue.column("main") & (is_trained != _in_categories(catalogue, names))
    images = catalogue.column("image").astype(str)
    rows = np.flatnonzero(np.isin(images, images[main]))
    log.info("Unseen categories, searched but not trained: %s", ", ".join(names))
    return catalogue.with_columns(main=main).take(rows)


def _choose_categories(catalogue: Catalogue, unseen: int | list[str], seed: int) -> list[str]:
    counts = Counter(catalogue.column("category")[catalogue.column("main")])
    names = sorted(set(_draw_categories(counts, unseen, seed) if isinstance(unseen, int) else unseen))
    if unknown_names := sorted(set(names) - set(counts)):
        raise ValueError(
            f"split.unseen={unknown_names[0]!r}: unknown category; choose from {', '.join(sorted(counts))}"
        )
    if (remaining := len(counts) - len(names)) < 2:
        raise ValueError(
            f"split.unseen={unseen}: leaves {remaining} of {len(counts)} categories for training; leave at least 2"
        )
    return names


def _draw_categories(counts: Mapping[str, int], unseen: int, seed: int) -> list[str]:
    """Draw `unseen` categories among those with at least MIN_GARMENTS garments."""
    large_categories = sorted(name for name, count in counts.items() if count >= MIN_GARMENTS)
    if unseen > len(large_categories):
        raise ValueError(
            f"split.unseen={unseen}: only {len(large_categories)} of {len(counts)} categories have at least "
            f"{MIN_GARMENTS} garments; set a smaller number, or category names"
        )
    return list(np.random.default_rng(seed).choice(large_categories, unseen, replace=False).tolist())


def _build_gallery(catalogue: Catalogue, names: list[str]) -> Catalogue:
    """Move the units of train and val with unseen but no trained main garments to the gallery."""
    splits, units = catalogue.column("split").copy(), connected_units(catalogue)
    is_trained, is_unseen = np.isin(splits.astype(str), TRAINED_SPLITS), _in_categories(catalogue, names)
    is_main = is_trained & catalogue.column("main")
    has_unseen, has_trained = (np.isin(units, units[is_main & selected]) for selected in (is_unseen, ~is_unseen))
    splits[is_trained & has_unseen & ~has_trained] = "gallery"
    return catalogue.with_columns(split=splits)


def _in_categories(catalogue: Catalogue, names: list[str]) -> np.ndarray:
    """Whether each row belongs to one of these categories, (N,) bool."""
    return np.isin(catalogue.column("category").astype(str), names)
