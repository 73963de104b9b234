"""How well garments are found: average precision and recall of boxes, by intersection over union."""

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
from fashion_lsh.metrics.detection import matched

TIMED = 30  # pictures


class Scene(NamedTuple):
    """One picture: its key, true boxes (n, 4), what these are (n,), found ones, and which true box each is (m,)."""

    picture: str
    true: np.ndarray
    names: np.ndarray
    found: Boxes
    places: np.ndarray


def scenes_of(garments: Catalogue, boxes: Detections, level: Level) -> list[Scene]:
    """The query pictures with boxes, and what was found in them."""
    xyxy = garments.boxes
    asked = np.flatnonzero((garments.column("split") == "query") & ~np.isnan(xyxy).any(axis=1))
    names = class_names(garments, level)
    pictures, members = np.unique(garments.column("image")[asked].astype(str), return_inverse=True)
    scenes = []
    for number, picture in enumerate(pictures):
        rows, seen = asked[members == number], boxes.boxes.get(picture, NO_BOXES)
        true = xyxy[rows]
        scenes.append(Scene(str(picture), true, names[rows], seen, matched(seen.xyxy, true)))
    return scenes


def detector_scores(detector: BoxDetector, scenes: DetectionData, found: Detections) -> dict[str, float]:
    """What the detector costs, what it finds in the query pictures, and the garments it misses where it cuts crops.

    Boxes are scored where any is annotated: see `box_scores`.
    """
    data = scenes.data.with_detections(found)
    metrics = find_ms(detector, data.source, list(data.garments("query").column("image")))
    metrics |= missed_shares(data) if data.crop == "detected" else {}
    asked = scenes_of(data.catalogue, found, scenes.level)
    return metrics | (box_scores(found, scenes, "query") if asked else {})


def missed_shares(data: GarmentData) -> dict[str, float]:
    """`crop/<part>/missed`: the share of a part's garments for which no box was found."""
    parts = {"train": "train", "val": "val", "query": "query", "gallery": data.gallery}
    rows = {part: data.catalogue.rows(split) for part, split in parts.items()}
    return {f"crop/{part}/missed": float(data.undetected[which].mean()) for part, which in rows.items() if len(which)}


def find_ms(detector: BoxDetector, source: Source, pictures: Sequence[str]) -> dict[str, float]:
    """`speed/detector_ms`: to find the garments in one picture, opened before; the median of TIMED, 3 to warm up."""
    milliseconds = []
    for name in np.resize(pictures, TIMED + 3):
        picture = source.image(name)
        began = time.perf_counter()
        detector.detect([picture])
        milliseconds.append(1000 * (time.perf_counter() - began))
    return {"speed/detector_ms": float(np.median(milliseconds[3:]))}


def box_scores(found: Detections, scenes: DetectionData, split: str) -> dict[str, float]:
    """Average precision and recall in one split, as COCO defines them: of all areas, and of the 100 best boxes of a
    picture, or as many as the detector tells.

    Returns:
        `detector/<split>/box_ap` (mean over IoU 0.5 to 0.95), `…/box_ap50`, `…/box_ap75`, `…/box_ar`, the mean over the
        classes that occur; the same of each class as `…/box_ap50/<class>`; and where there are several classes,
        `…/garment/box_ap50` and so on with all of them taken as one.
    """
    truth = scenes.annotated_boxes(split)
    metrics = _scores(f"detector/{split}", found, truth, scenes.classes)
    if len(scenes.classes) > 1:
        one = {picture: (boxes, np.zeros_like(labels)) for picture, (boxes, labels) in truth.items()}
        seen = Detections(
            {key: boxes._replace(labels=np.zeros_like(boxes.labels)) for key, boxes in found.boxes.items()}
        )
        metrics |= _scores(f"detector/{split}/garment", seen, one, ["garment"])
    return metrics


def _scores(
    prefix: str, found: Detections, truth: dict[str, tuple[np.ndarray, np.ndarray]], classes: list[str]
) -> dict[str, float]:
    images = [(found.boxes.get(picture, NO_BOXES), annotated) for picture, annotated in truth.items()]
    return {f"{prefix}/{name}": value for name, value in box_average_precision(images, classes).items()}
