"""Tiles of images with annotated and detected boxes."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.datasets import Source
from fashion_lsh.data.detection_data import DetectionData
from fashion_lsh.data.detections import NO_BOXES, Boxes
from fashion_lsh.evaluation.detection import Scene, scenes_of
from fashion_lsh.report.contact_sheets import shrunk
from fashion_lsh.report.tiles import Tile, evenly

T = TypeVar("T")
SHOWN = 12  # tiles of a sheet at most


def found_tiles(data: GarmentData, scenes: DetectionData | None) -> list[Tile]:
    """Draw SHOWN query images at most, evenly chosen, with annotated and detected boxes; none without a detector."""
    if scenes is None or data.detections is None:
        return []
    return pictured(scenes_of(data.catalogue, data.detections, scenes.level), data.source, data.box_selector.min_score)


def pictured(scenes: Sequence[Scene], source: Source, score: float) -> list[Tile]:
    """Draw SHOWN scenes at most, evenly chosen, with annotated boxes and detections of at least this score."""
    return [_tile(source.image(scene.picture), scene.true, scene.found.filter(score, 0)) for scene in _some(scenes)]


def missed_tiles(missed: Sequence[tuple[Scene, np.ndarray]], source: Source) -> list[Tile]:
    """Draw SHOWN undetected boxes at most, evenly chosen.

    Args:
        missed: scenes, and an annotated box of each, (4,) float32.
        source: opens their images.
    """
    return [_tile(source.image(scene.picture), box[None], NO_BOXES) for scene, box in _some(missed)]


def false_tiles(false: Sequence[tuple[Scene, np.ndarray, float]], source: Source) -> list[Tile]:
    """Draw the first SHOWN false positives, captioned with their scores.

    Args:
        false: scenes, a detected box of each, (4,) float32, and its score.
        source: opens their images.
    """
    return [_tile(source.image(scene.picture), None, _one(box, sure)) for scene, box, sure in false[:SHOWN]]


def _some(every: Sequence[T]) -> list[T]:
    """Choose SHOWN at most, evenly."""
    return [every[at] for at in evenly(len(every), SHOWN)] if every else []


def _one(box: np.ndarray, score: float) -> Boxes:
    return Boxes(box[None], np.array([score], np.float32), np.zeros(1, np.int64))


def _tile(picture: np.ndarray, true: np.ndarray | None, found: Boxes) -> Tile:
    there = np.empty((0, 4), np.float32) if true is None else true
    small, boxes = shrunk(picture, np.concatenate([there, found.xyxy]))
    caption = f"score {found.scores[0]:.2f}" if true is None else ""
    return Tile(small, caption, box=boxes[: len(there)], found=boxes[len(there) :])
