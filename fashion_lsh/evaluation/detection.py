"""Evaluate a detector: average precision and recall of boxes, fraction of garments without a selected box, latency."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.datasets import Source
from fashion_lsh.data.detection_data import DetectionData, Level, class_names
from fashion_lsh.data.detections import NO_BOXES, BoxDetector, Boxes, Detections
from fashion_lsh.metrics.box_average_precision import AnnotatedBoxes, box_average_precision
from fashion_lsh.metrics.detection import match_boxes
from fashion_lsh.metrics.results import Result

DETECTOR = "detector"  # method of the results
CLASS_AGNOSTIC = "class-agnostic"  # scope of results that ignore the classes of boxes
NUM_TIMED = 30  # number of timed images
NUM_WARM_UP = 3  # number of untimed images before the timed images


class ImageMatches(NamedTuple):
    """Matches between the detections and the annotated boxes of an image.

    Attributes:
        image: key of the image.
        annotated_boxes: (n, 4) float32 xyxy.
        class_names: (n,) str, class of each annotated box.
        detections: m detections.
        matched_indices: (m,) int64, index of the annotated box that matches each detection, -1 for a false positive.
    """

    image: str
    annotated_boxes: np.ndarray
    class_names: np.ndarray
    detections: Boxes
    matched_indices: np.ndarray


def match_images(garments: Catalogue, detections: Detections, level: Level) -> list[ImageMatches]:
    """Match detections to annotated boxes in each query image with annotated boxes; see `match_boxes`."""
    xyxy = garments.boxes
    query_rows = np.flatnonzero((garments.column("split") == "query") & ~np.isnan(xyxy).any(axis=1))
    names = class_names(garments, level)
    images, image_ids = np.unique(garments.column("image")[query_rows].astype(str), return_inverse=True)
    matches = []
    for index, image in enumerate(images):
        rows, detected_boxes = query_rows[image_ids == index], detections.boxes.get(image, NO_BOXES)
        annotated_boxes = xyxy[rows]
        matched_indices = match_boxes(detected_boxes.xyxy, annotated_boxes)
        matches.append(ImageMatches(str(image), annotated_boxes, names[rows], detected_boxes, matched_indices))
    return matches


def detector_results(detector: BoxDetector, scenes: DetectionData, detections: Detections) -> list[Result]:
    """Measure latency, box metrics on the query images, and, with detected crops, `undetected_ratios`.

    Box metrics (see `box_results`) are computed only if the query images have annotated boxes.
    """
    data = scenes.data.with_detections(detections)
    results = [time_detector(detector, data.source, list(data.garments("query").column("image")))]
    results += undetected_ratios(data) if data.crop == "detected" else []
    matches = match_images(data.catalogue, detections, scenes.level)
    return results + (box_results(detections, scenes, "query") if matches else [])


def undetected_ratios(data: GarmentData) -> list[Result]:
    """Fraction of garments for which no detection was selected as crop box, in each part: `undetected`."""
    parts = {"train": "train", "val": "val", "query": "query", "gallery": data.gallery}
    rows = {part: data.catalogue.rows(split) for part, split in parts.items()}
    return [
        Result("undetected", float(data.undetected[indices].mean()), method=DETECTOR, split=part, n=len(indices))
        for part, indices in rows.items()
        if len(indices)
    ]


def time_detector(detector: BoxDetector, source: Source, images: Sequence[str]) -> Result:
    """Median latency of detection in one decoded image, over NUM_TIMED images: `latency_ms`."""
    milliseconds = []
    for name in np.resize(images, NUM_WARM_UP + NUM_TIMED):
        image = source.image(name)
        start = time.perf_counter()
        detector.detect([image])
        milliseconds.append(1000 * (time.perf_counter() - start))
    return Result("latency_ms", float(np.median(milliseconds[NUM_WARM_UP:])), method=DETECTOR)


def box_results(detections: Detections, scenes: DetectionData, split: str) -> list[Result]:
    """COCO average precision and recall in one split, over all areas, with at most 100 detections per image and class.

    Crowds are ignored and images without garments are scored, as by COCO (see `scored_boxes`).

    Returns:
        `box_ap` (mean over IoU 0.5 to 0.95), `box_ap50`, `box_ap75` and `box_ar`: means over the annotated classes.
        With several classes also `box_ap50` by category, and class-agnostic results under the scope CLASS_AGNOSTIC.
    """
    annotations = scenes.scored_boxes(split)
    results = _box_results(detections, annotations, scenes.classes, split=split)
    if len(scenes.classes) > 1:
        agnostic_annotations = {
            image: (boxes, np.zeros_like(labels), is_crowd) for image, (boxes, labels, is_crowd) in annotations.items()
        }
        agnostic_detections = Detections(
            {key: boxes._replace(labels=np.zeros_like(boxes.labels)) for key, boxes in detections.boxes.items()}
        )
        results += _box_results(
            agnostic_detections, agnostic_annotations, ["garment"], split=split, scope=CLASS_AGNOSTIC
        )
    return results


def _box_results(
    detections: Detections, annotations: dict[str, AnnotatedBoxes], classes: list[str], **fields: Any
) -> list[Result]:
    images = [(detections.boxes.get(image, NO_BOXES), annotated) for image, annotated in annotations.items()]
    means, ap50_by_class = box_average_precision(images, classes)
    results = [Result(name, value, method=DETECTOR, **fields) for name, value in means.items()]
    return results + [
        Result("box_ap50", value, method=DETECTOR, category=name, **fields) for name, value in ap50_by_class.items()
    ]
