"""Boxes that were found against boxes that are there (pure)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.detection_data import Level, called
from fashion_lsh.data.detections import NOTHING, SAME, Boxes, Found, overlap


class Scene(NamedTuple):
    """One picture: its key, true boxes (n, 4), what these are (n,), found ones, and which true box each is (m,)."""

    picture: str
    true: np.ndarray
    names: np.ndarray
    found: Boxes
    places: np.ndarray


def scenes_of(garments: Catalogue, boxes: Found, level: Level) -> list[Scene]:
    """The query pictures with boxes, and what was found in them."""
    corners = garments.boxes
    asked = np.flatnonzero((garments.column("split") == "query") & ~np.isnan(corners).any(axis=1))
    names = called(garments, level)
    pictures, members = np.unique(garments.column("picture")[asked].astype(str), return_inverse=True)
    scenes = []
    for number, picture in enumerate(pictures):
        rows, seen = asked[members == number], boxes.boxes.get(picture, NOTHING)
        true = corners[rows]
        scenes.append(Scene(str(picture), true, names[rows], seen, matched(seen, true)))
    return scenes


def matched(found: Boxes, true: np.ndarray) -> np.ndarray:
    """Which true box each found one is: the best first takes the box that it overlaps most, if that is at least SAME.

    Args:
        found: m boxes, the best score first.
        true: (n, 4) float32 xyxy; each is found once at most.

    Returns:
        (m,) int64 positions in `true`; -1: a false find.
    """
    places = np.full(len(found.scores), -1, dtype=np.int64)
    left = np.ones(len(true), dtype=bool)
    for number, box in enumerate(found.corners):
        shares = np.where(left, overlap(box, true), 0.0)
        if len(true) and shares.max() >= SAME:
            places[number] = shares.argmax()
            left[places[number]] = False
    return places


def recall_precision(
    right: Sequence[np.ndarray], scores: Sequence[np.ndarray], total: int
) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at each score, from the greatest down.

    Args:
        right: of each picture, (m,) bool: whether a found box is one that is there.
        scores: of each picture, (m,) float.
        total: boxes that are there.

    Returns:
        (l,) recall and (l,) precision, one pair a different score.
    """
    hits = np.concatenate([np.empty(0, bool), *right])
    values = np.concatenate([np.empty(0, np.float32), *scores])
    order = np.argsort(-values, kind="stable")
    hits, values = np.cumsum(hits[order]), values[order]
    last = np.append(values[1:] != values[:-1], True)[: len(values)]  # of equal scores, all together
    counts = np.arange(1, len(values) + 1)
    return hits[last] / max(1, total), hits[last] / counts[last]
