"""Boxes found in several looks at one picture, brought together (pure)."""

from collections.abc import Sequence

import numpy as np

from fashion_lsh.data.detections import Boxes
from fashion_lsh.metrics.detection import iou

ALIKE = 0.55  # intersection over union above which boxes of one kind are the same garment's, as in the paper


def fused(looks: Sequence[Boxes]) -> Boxes:
    """Weighted boxes fusion: boxes of one kind that overlap become one, their mean weighted by score.

    From the best score down, a box joins the fused box of its kind that it overlaps most, or begins a new one. The
    score is the mean of those joined, lower where some looks did not see it: times the share of looks that did, by the
    number of boxes. (R. Solovyev, W. Wang, T. Gabruseva: Weighted boxes fusion, Image and Vision Computing 107, 2021,
    section 3.)

    Args:
        looks: the boxes of each look, in pixels of the same picture.

    Returns:
        The fused boxes, the best score first.
    """
    xyxy, scores, labels = (np.concatenate([getattr(look, name) for look in looks]) for name in Boxes._fields)
    means, members = np.empty((0, 4), np.float32), list[list[int]]()
    for number in np.argsort(-scores, kind="stable"):
        shares = np.array([labels[one[0]] == labels[number] for one in members]) * iou(xyxy[number], means)
        if len(members) and shares.max() > ALIKE:
            joined = int(shares.argmax())
            members[joined].append(number)
            means[joined] = np.average(xyxy[members[joined]], axis=0, weights=scores[members[joined]])
        else:
            members.append([number])
            means = np.concatenate([means, xyxy[number][None]])
    share = np.array([min(1.0, len(one) / len(looks)) for one in members])
    found = np.array([scores[one].mean() for one in members]) * share
    order = np.argsort(-found, kind="stable")
    return Boxes(means[order], found[order].astype(np.float32), labels[[one[0] for one in members]][order])


def mirrored(boxes: Boxes, width: int) -> Boxes:
    """Boxes in a picture's mirror, as they lie in the picture, `width` pixels wide."""
    left, top, right, bottom = boxes.xyxy.T
    return boxes._replace(xyxy=np.stack([width - right, top, width - left, bottom], axis=1))
