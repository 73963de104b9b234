"""Hold out categories: train and val contain some categories, query and gallery contain the other categories."""

import logging
from collections import Counter
from collections.abc import Mapping

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.splits import row_components

log = logging.getLogger(__name__)

MIN_GARMENTS = 80  # minimum number of main garments in a drawn category; a smaller category has too few queries
TRAINING_SPLITS = ("train", "val")


def hold_out_categories(catalogue: Catalogue, unseen: int | list[str], seed: int) -> Catalogue:
    """Restrict query and gallery to unseen categories, and train and val to the other categories.

    Garments of unseen categories in train and val, and of other categories in query and gallery, become companions
    (`main` is false). Images without a main garment are removed.  If the data have no gallery, the gallery is built
    from the components of train and val (see `row_components`) whose main garments are all of unseen categories.

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
    in_training = np.isin(catalogue.column("split").astype(str), TRAINING_SPLITS)
    main = catalogue.column("main") & (in_training != _in_categories(catalogue, names))
    images = catalogue.column("image").astype(str)
    rows = np.flatnonzero(np.isin(images, images[main]))
    log.info("Unseen categories, in query and gallery only: %s", ", ".join(names))
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
    """Move the components of train and val whose main garments are all of unseen categories to the gallery."""
    splits, components = catalogue.column("split").copy(), row_components(catalogue)
    in_training, is_unseen = np.isin(splits.astype(str), TRAINING_SPLITS), _in_categories(catalogue, names)
    is_main = in_training & catalogue.column("main")
    has_unseen, has_other = (
        np.isin(components, components[is_main & selected]) for selected in (is_unseen, ~is_unseen)
    )
    splits[in_training & has_unseen & ~has_other] = "gallery"
    return catalogue.with_columns(split=splits)


def _in_categories(catalogue: Catalogue, names: list[str]) -> np.ndarray:
    """Mark the rows of these categories, (N,) bool."""
    return np.isin(catalogue.column("category").astype(str), names)
