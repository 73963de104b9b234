"""Tiles of images with annotated and detected boxes."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.datasets import Source
from fashion_lsh.data.detection_data import DetectionData
from fashion_lsh.data.detections import NO_BOXES, Boxes
from fashion_lsh.evaluation.detection import ImageMatches, match_images
from fashion_lsh.io.rows import evenly_spaced
from fashion_lsh.report.contact_sheets import downscale
from fashion_lsh.report.tiles import Tile

T = TypeVar("T")
MAX_TILES = 12  # maximum number of tiles per sheet


def detection_tiles(data: GarmentData, scenes: DetectionData | None) -> list[Tile]:
    """Tiles of at most MAX_TILES evenly spaced query images with boxes; empty without a detector."""
    if scenes is None or data.detections is None:
        return []
    return match_tiles(
        match_images(data.catalogue, data.detections, scenes.level), data.source, data.box_selector.min_score
    )


def match_tiles(matches: Sequence[ImageMatches], source: Source, score: float) -> list[Tile]:
    """Tiles of at most MAX_TILES evenly spaced images with annotated boxes and detections of at least this score."""
    return [
        _tile(source.image(match.image), match.annotated_boxes, match.detections.filter(score, 0))
        for match in _sample(matches)
    ]


def missed_tiles(undetected: Sequence[tuple[ImageMatches, np.ndarray]], source: Source) -> list[Tile]:
    """Tiles of at most MAX_TILES evenly spaced annotated boxes without a matching detection.

    Args:
        undetected: image and annotated box, (4,) float32, of each missed garment.
        source: data set of the images.
    """
    return [_tile(source.image(match.image), box[None], NO_BOXES) for match, box in _sample(undetected)]


def false_positive_tiles(
    false_positives: Sequence[tuple[ImageMatches, np.ndarray, float]], source: Source
) -> list[Tile]:
    """Tiles of the first MAX_TILES false positives, captioned with their scores.

    Args:
        false_positives: image, detected box, (4,) float32, and score of each detection.
        source: data set of the images.
    """
    return [
        _tile(source.image(match.image), None, _single_box(box, score))
        for match, box, score in false_positives[:MAX_TILES]
    ]


def _sample(items: Sequence[T]) -> list[T]:
    """Select at most MAX_TILES items, evenly spaced."""
    return [items[index] for index in evenly_spaced(len(items), MAX_TILES)] if items else []


def _single_box(box: np.ndarray, score: float) -> Boxes:
    return Boxes(box[None], np.array([score], np.float32), np.zeros(1, np.int64))


def _tile(image: np.ndarray, annotated: np.ndarray | None, detections: Boxes) -> Tile:
    annotated_boxes = np.empty((0, 4), np.float32) if annotated is None else annotated
    thumbnail, boxes = downscale(image, np.concatenate([annotated_boxes, detections.xyxy]))
    caption = f"score {detections.scores[0]:.2f}" if annotated is None else ""
    return Tile(thumbnail, caption, box=boxes[: len(annotated_boxes)], detections=boxes[len(annotated_boxes) :])
