"""Detected boxes: metrics, precision-recall curves and examples."""

from collections.abc import Sequence

import numpy as np

from fashion_lsh.data.detection_data import class_names
from fashion_lsh.data.detections import Boxes, Detections
from fashion_lsh.evaluation.detection import CLASS_AGNOSTIC, DETECTOR, ImageMatches, match_images
from fashion_lsh.metrics.detection import match_boxes, precision_recall_curve
from fashion_lsh.report import figures
from fashion_lsh.report.blocks import Block, Figure, Table, Text
from fashion_lsh.report.contact_sheets import MISSING_IMAGE_ERRORS, sheet_figure
from fashion_lsh.report.detection_tiles import false_positive_tiles, match_tiles, missed_tiles
from fashion_lsh.report.phrases import one_line, percent
from fashion_lsh.report.run_data import RunData
from fashion_lsh.report.tiles import Tile, draw_sheet
from fashion_lsh.runs.run import DETECTIONS_FILE

TILES_PER_ROW, TILE_SIZE = 4, 240  # tiles per row of a sheet; side of a tile in pixels
METRICS = {"box_ap": "AP", "box_ap50": "AP50", "box_ap75": "AP75", "box_ar": "AR"}
METRICS_NOTE = (
    "COCO metrics of the detections in the query images. AP: average precision, averaged over the IoU thresholds 0.50, "
    "0.55, …, 0.95. AP50 and AP75: average precision at one IoU threshold. AR: average recall with at most 100 "
    "detections per image."
)
CURVE_CAPTION = (
    "Each point is a score threshold. A detection is correct if its IoU with an annotated box is at least 0.5; each "
    "annotated box counts once."
)
DETECTED_CAPTION = (
    "Evenly spaced query images: annotated boxes (blue) and detections with a score of at least {score:g} (orange)."
)
MISSED_CAPTION = (
    "Missed garments: no detection with a score of at least {score:g} has an IoU of at least 0.5 with the "
    "annotated box."
)
FALSE_POSITIVE_CAPTION = (
    "False positives with the highest scores: detections that match no annotated box, or only a box already matched by "
    "a detection with a higher score."
)


def detection(run_data: RunData) -> list[Block]:
    """Build the detector metrics, precision-recall curves and example sheets; empty without a detector."""
    if run_data.config["detector"] is None:
        return []
    class_level = run_data.config["detector"]["level"]
    matches = match_images(run_data.garments, Detections.open(run_data.run.path / DETECTIONS_FILE), class_level)
    if not matches:
        return [
            Text("The query images have no annotated boxes, so detections cannot be scored."),
            _crop_note(run_data),
        ]
    classes = sorted(set(class_names(run_data.garments, class_level)))  # in the order of the detector's labels
    blocks: list[Block] = [
        Text(METRICS_NOTE),
        _scores(run_data),
        _crop_note(run_data),
        Figure("detector-precision-recall.svg", figures.precision_recall(_curves(matches, classes)), CURVE_CAPTION),
    ]
    return blocks + _sheets(run_data, matches)


def _curves(matches: Sequence[ImageMatches], classes: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Class-agnostic recall and precision; with several classes, also recall and precision of each class."""
    curves = {
        "class-agnostic": _curve(
            [(match.matched_indices >= 0, match.detections.scores, len(match.annotated_boxes)) for match in matches]
        )
    }
    query_classes = {name for match in matches for name in match.class_names}
    for label, name in enumerate(classes):
        if len(classes) == 1 or name not in query_classes:
            continue
        class_matches = []
        for match in matches:
            detected = Boxes(*(values[match.detections.labels == label] for values in match.detections))
            annotated_boxes = match.annotated_boxes[match.class_names == name]
            class_matches.append(
                (match_boxes(detected.xyxy, annotated_boxes) >= 0, detected.scores, len(annotated_boxes))
            )
        curves[one_line(name)] = _curve(class_matches)
    return curves


def _curve(matches: Sequence[tuple[np.ndarray, np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray]:
    is_correct, scores, totals = zip(*matches, strict=True)
    return precision_recall_curve(is_correct, scores, sum(totals))


def _scores(run_data: RunData) -> Table:
    """Table of average precision and average recall: mean over classes, class-agnostic, and by class."""
    results = run_data.results
    averages: dict[str, list[float | None]] = {
        title: [results.value(DETECTOR, name, scope=scope) for name in METRICS]
        for title, scope in (("mean over classes", ""), (CLASS_AGNOSTIC, CLASS_AGNOSTIC))
    }
    rows = [
        [title, *(f"{value:.3f}" for value in values if value is not None)]
        for title, values in averages.items()
        if None not in values
    ]
    classes = [row for row in results.select(method=DETECTOR, metric="box_ap50") if row.category]
    rows += [[one_line(row.category), "", f"{row.value:.3f}", "", ""] for row in classes]
    return Table(["class", *METRICS.values()], rows, highlight_first=True)


def _crop_note(run_data: RunData) -> Text:
    """Note with the percentage of garments without a crop box and the detection time per image."""
    undetected = {split: run_data.results.value(DETECTOR, "undetected", split=split)
                  for split in ("train", "query", "gallery")}  # fmt: skip
    text = ", ".join(f"{split} {percent(ratio)}" for split, ratio in undetected.items() if ratio is not None)
    milliseconds = run_data.results.value(DETECTOR, "latency_ms")
    speed = "" if milliseconds is None else f" Detection takes {milliseconds:.0f} ms per image (median, one at a time)."
    return Text(
        (f"Garments for which no detection was selected as crop box: {text}." if text else "") + speed, note=True
    )


def _sheets(run_data: RunData, matches: list[ImageMatches]) -> list[Block]:
    """Draw sheets of detections, missed garments and false positives; return a note if an image cannot be opened."""
    score = run_data.run.box_selector.min_score
    undetected = [(match, box) for match in matches for box in _missed_boxes(match, score)]
    false_positives = _false_positives(matches, score)
    try:
        source = run_data.run.source()
        sheets = {
            "detections": match_tiles(matches, source, score),
            "undetected": missed_tiles(undetected, source),
            "false_positives": false_positive_tiles(false_positives, source),
        }
    except MISSING_IMAGE_ERRORS as error:
        return [Text(f"Example sheets skipped: the images cannot be opened ({one_line(str(error))}).", note=True)]
    num_annotated = sum(len(match.annotated_boxes) for match in matches)
    captions = {
        "detections": DETECTED_CAPTION.format(score=score),
        "undetected": f"{MISSED_CAPTION.format(score=score)} Total: {len(undetected):,} of {num_annotated:,}.",
        "false_positives": f"{FALSE_POSITIVE_CAPTION} Total: {len(false_positives):,} in {len(matches):,} images.",
    }
    return [_sheet(name, tiles, captions[name]) for name, tiles in sheets.items() if tiles]


def _missed_boxes(match: ImageMatches, score: float) -> np.ndarray:
    """Annotated boxes that no detection with at least this score matches, (k, 4) float32."""
    matched = match.matched_indices[(match.matched_indices >= 0) & (match.detections.scores >= score)]
    return match.annotated_boxes[np.setdiff1d(np.arange(len(match.annotated_boxes)), matched)]


def _false_positives(matches: Sequence[ImageMatches], score: float) -> list[tuple[ImageMatches, np.ndarray, float]]:
    """False positives with at least this score, by descending score: match, (4,) box and score of each detection."""
    false_positives = [
        (match, box, float(box_score))
        for match in matches
        for box, box_score, index in zip(
            match.detections.xyxy, match.detections.scores, match.matched_indices, strict=True
        )
        if index < 0 and box_score >= score
    ]
    return sorted(false_positives, key=lambda entry: -entry[2])


def _sheet(name: str, tiles: list[Tile], caption: str) -> Figure:
    rows = [tiles[start : start + TILES_PER_ROW] for start in range(0, len(tiles), TILES_PER_ROW)]
    return sheet_figure(name, draw_sheet(rows, [], TILE_SIZE), caption)
