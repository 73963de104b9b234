"""Detector metrics: average precision and recall of boxes, undetected garments, latency."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.datasets import Source
from fashion_lsh.data.detection_data import DetectionData, Level, class_names
from fashion_lsh.data.detections import NO_BOXES, BoxDetector, Boxes, Detections
from fashion_lsh.metrics.box_average_precision import box_average_precision
from fashion_lsh.metrics.detection import match_boxes

TIMED = 30  # images


class ImageMatches(NamedTuple):
    """One image: key, annotated boxes (n, 4), their classes (n,), m detections, and the box that each matches (m,)."""

    image: str
    annotated_boxes: np.ndarray
    class_names: np.ndarray
    detections: Boxes
    matched_indices: np.ndarray


def match_images(garments: Catalogue, detections: Detections, level: Level) -> list[ImageMatches]:
    """Match the detections in each query image that has annotated boxes; see `match_boxes`."""
    xyxy = garments.boxes
    query_rows = np.flatnonzero((garments.column("split") == "query") & ~np.isnan(xyxy).any(axis=1))
    names = class_names(garments, level)
    images, image_ids = np.unique(garments.column("image")[query_rows].astype(str), return_inverse=True)
    matches = []
    for index, image in enumerate(images):
        rows, detected = query_rows[image_ids == index], detections.boxes.get(image, NO_BOXES)
        annotated_boxes = xyxy[rows]
        matches.append(
            ImageMatches(
                str(image), annotated_boxes, names[rows], detected, match_boxes(detected.xyxy, annotated_boxes)
            )
        )
    return matches


def detector_scores(detector: BoxDetector, scenes: DetectionData, detections: Detections) -> dict[str, float]:
    """Latency of the detector, box metrics on the query images, and, with detected crops, the undetected garments.

    Box metrics (see `box_scores`) need annotated boxes in the query images.
    """
    data = scenes.data.with_detections(detections)
    metrics = time_detector(detector, data.source, list(data.garments("query").column("image")))
    metrics |= undetected_ratios(data) if data.crop == "detected" else {}
    matches = match_images(data.catalogue, detections, scenes.level)
    return metrics | (box_scores(detections, scenes, "query") if matches else {})


def undetected_ratios(data: GarmentData) -> dict[str, float]:
    """`crop/<part>/undetected`: fraction of the garments of a part without a detected box."""
    parts = {"train": "train", "val": "val", "query": "query", "gallery": data.gallery}
    rows = {part: data.catalogue.rows(split) for part, split in parts.items()}
    return {
        f"crop/{part}/undetected": float(data.undetected[indices].mean())
        for part, indices in rows.items()
        if len(indices)
    }


def time_detector(detector: BoxDetector, source: Source, images: Sequence[str]) -> dict[str, float]:
    """`speed/detector_ms`: detection in one decoded image; median of TIMED images after 3 warm-up images."""
    milliseconds = []
    for name in np.resize(images, TIMED + 3):
        image = source.image(name)
        start = time.perf_counter()
        detector.detect([image])
        milliseconds.append(1000 * (time.perf_counter() - start))
    return {"speed/detector_ms": float(np.median(milliseconds[3:]))}


def box_scores(detections: Detections, scenes: DetectionData, split: str) -> dict[str, float]:
    """COCO average precision and recall in one split, over all areas and the 100 best boxes of an image.

    A detector with fewer detections per image is scored on those.

    Returns:
        `detector/<split>/box_ap` (mean over IoU 0.5 to 0.95), `…/box_ap50`, `…/box_ap75`, `…/box_ar`: means over the
        classes that occur. With several classes also `…/box_ap50/<class>`, and the class-agnostic metrics
        `…/garment/box_ap50` and so on.
    """
    annotations = scenes.annotated_boxes(split)
    metrics = _scores(f"detector/{split}", detections, annotations, scenes.classes)
    if len(scenes.classes) > 1:
        class_agnostic = {image: (boxes, np.zeros_like(labels)) for image, (boxes, labels) in annotations.items()}
        agnostic_detections = Detections(
            {key: boxes._replace(labels=np.zeros_like(boxes.labels)) for key, boxes in detections.boxes.items()}
        )
        metrics |= _scores(f"detector/{split}/garment", agnostic_detections, class_agnostic, ["garment"])
    return metrics


def _scores(
    prefix: str, detections: Detections, annotations: dict[str, tuple[np.ndarray, np.ndarray]], classes: list[str]
) -> dict[str, float]:
    images = [(detections.boxes.get(image, NO_BOXES), annotated) for image, annotated in annotations.items()]
    return {f"{prefix}/{name}": value for name, value in box_average_precision(images, classes).items()}
