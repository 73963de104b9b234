"""Weighted boxes fusion for test-time augmentation (pure functions)."""

from collections.abc import Sequence

import numpy as np

from fashion_lsh.data.detections import Boxes
from fashion_lsh.metrics.detection import iou

FUSION_IOU = 0.55  # IoU above which boxes of the same label are fused, as in the paper


def fuse_boxes(views: Sequence[Boxes]) -> Boxes:
    """Weighted boxes fusion: average overlapping boxes of the same label, weighted by score.

    In order of decreasing score, each box is added to the cluster of the same label whose fused box has the highest IoU
    above FUSION_IOU; otherwise the box starts a new cluster. The fused score is the mean score of the cluster times
    min(1, number of boxes / number of views).
    R. Solovyev, W. Wang, T. Gabruseva: Weighted boxes fusion, Image and Vision Computing 107, 2021, section 3.

    Args:
        views: boxes of each view of an image: xyxy (n, 4) in pixels, scores (n,), labels (n,).

    Returns:
        The fused boxes, sorted by decreasing score.
    """
    xyxy, scores, labels = (np.concatenate([getattr(view, name) for view in views]) for name in Boxes._fields)
    fused, clusters = np.empty((0, 4), np.float32), list[list[int]]()
    for index in np.argsort(-scores, kind="stable"):
        ious = np.array([labels[cluster[0]] == labels[index] for cluster in clusters]) * iou(xyxy[index], fused)
        if len(clusters) and ious.max() > FUSION_IOU:
            best = int(ious.argmax())
            clusters[best].append(index)
            fused[best] = np.average(xyxy[clusters[best]], axis=0, weights=scores[clusters[best]])
        else:
            clusters.append([index])
            fused = np.concatenate([fused, xyxy[index][None]])
    ratio = np.array([min(1.0, len(cluster) / len(views)) for cluster in clusters])
    fused_scores = np.array([scores[cluster].mean() for cluster in clusters]) * ratio
    order = np.argsort(-fused_scores, kind="stable")
    return Boxes(
        fused[order], fused_scores[order].astype(np.float32), labels[[cluster[0] for cluster in clusters]][order]
    )


def flip_boxes(boxes: Boxes, width: int) -> Boxes:
    """Mirror n boxes horizontally in an image that is `width` pixels wide."""
    left, top, right, bottom = boxes.xyxy.T
    return boxes._replace(xyxy=np.stack([width - right, top, width - left, bottom], axis=1))
