"""Boxes found in several looks at one picture, brought together (pure)."""

from collections.abc import Sequence

import numpy as np

from fashion_lsh.data.detections import Boxes
from fashion_lsh.metrics.detection import iou

FUSION_IOU = 0.55  # intersection over union above which boxes of one kind are the same garment's, as in the paper


def fuse_boxes(views: Sequence[Boxes]) -> Boxes:
    """Weighted boxes fusion: boxes of one kind that overlap become one, their mean weighted by score.

    From the best score down, a box joins the fused box of its kind that it overlaps most, or begins a new one. The
    score is the mean of those joined, lower where some looks did not see it: times the share of looks that did, by the
    number of boxes. (R. Solovyev, W. Wang, T. Gabruseva: Weighted boxes fusion, Image and Vision Computing 107, 2021,
    section 3.)

    Args:
        views: the boxes of each look, in pixels of the same picture.

    Returns:
        The fused boxes, the best score first.
    """
    xyxy, scores, labels = (np.concatenate([getattr(view, name) for view in views]) for name in Boxes._fields)
    fused, clusters = np.empty((0, 4), np.float32), list[list[int]]()
    for index in np.argsort(-scores, kind="stable"):
        ious = np.array([labels[one[0]] == labels[index] for one in clusters]) * iou(xyxy[index], fused)
        if len(clusters) and ious.max() > FUSION_IOU:
            cluster = int(ious.argmax())
            clusters[cluster].append(index)
            fused[cluster] = np.average(xyxy[clusters[cluster]], axis=0, weights=scores[clusters[cluster]])
        else:
            clusters.append([index])
            fused = np.concatenate([fused, xyxy[index][None]])
    ratio = np.array([min(1.0, len(one) / len(views)) for one in clusters])
    fused_scores = np.array([scores[one].mean() for one in clusters]) * ratio
    order = np.argsort(-fused_scores, kind="stable")
    return Boxes(fused[order], fused_scores[order].astype(np.float32), labels[[one[0] for one in clusters]][order])


def flip_boxes(boxes: Boxes, width: int) -> Boxes:
    """Boxes in a picture's mirror, as they lie in the picture, `width` pixels wide."""
    left, top, right, bottom = boxes.xyxy.T
    return boxes._replace(xyxy=np.stack([width - right, top, width - left, bottom], axis=1))
