"""Detected boxes: their scores, precision-recall curves, and examples."""

from collections.abc import Sequence

import numpy as np

from fashion_lsh.data.detection_data import class_names
from fashion_lsh.data.detections import Boxes, Detections
from fashion_lsh.evaluation.detection import Scene, scenes_of
from fashion_lsh.metrics.detection import matched, recall_precision
from fashion_lsh.report import figures
from fashion_lsh.report.blocks import Block, Figure, Table, Text
from fashion_lsh.report.contact_sheets import GONE, sheet_figure
from fashion_lsh.report.detection_tiles import false_tiles, missed_tiles, pictured
from fashion_lsh.report.phrases import one_line
from fashion_lsh.report.run_data import Findings
from fashion_lsh.report.tiles import Tile, drawn
from fashion_lsh.runs.run import DETECTIONS_FILE

ROW, SIDE = 4, 240  # tiles in a row of a sheet, pixels of a tile's side
MEASURES = {"box_ap": "AP", "box_ap50": "AP50", "box_ap75": "AP75", "box_ar": "AR"}
MEANING = (
    "Boxes in the query pictures, as COCO scores them: average precision over intersections over union of 0.5 to 0.95, "
    "at 0.5 and at 0.75, and average recall of 100 boxes."
)
CURVE = "Each point is a score from which boxes count; a box is right where it overlaps a true one by half, each once."
PICTURES = "Query pictures, evenly chosen: blue is there, orange was found with a score of at least {score:g}."
MISSES = "Garments that were missed: no box of at least that score overlaps them by half."
FALSE = "False finds: the surest boxes that overlap no garment by half, or one that was found already."


def detection(found: Findings) -> list[Block]:
    """Scores of boxes, precision-recall curves, and sheets of examples; empty without a detector."""
    if found.config["detector"] is None:
        return []
    level = found.config["detector"]["level"]
    scenes = scenes_of(found.garments, Detections.open(found.run.path / DETECTIONS_FILE), level)
    if not scenes:
        return [
            Text("No garment is annotated in the query pictures: what was found in them cannot be scored."),
            _told(found),
        ]
    classes = sorted(set(class_names(found.garments, level)))  # as the detector numbers them
    blocks: list[Block] = [
        Text(MEANING),
        _scores(found),
        _told(found),
        Figure("boxes.svg", figures.precision_recall(_curves(scenes, classes)), CURVE),
    ]
    return blocks + _sheets(found, scenes)


def _curves(scenes: Sequence[Scene], classes: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Recall and precision of all garments as one class, and of each class where there are several."""
    curves = {"all, as one": _curve([(scene.places >= 0, scene.found.scores, len(scene.true)) for scene in scenes])}
    asked = {name for scene in scenes for name in scene.names}
    for kind, name in enumerate(classes):
        if len(classes) == 1 or name not in asked:
            continue
        of_kind = []
        for scene in scenes:
            seen = Boxes(*(part[scene.found.labels == kind] for part in scene.found))
            true = scene.true[scene.names == name]
            of_kind.append((matched(seen.xyxy, true) >= 0, seen.scores, len(true)))
        curves[one_line(name)] = _curve(of_kind)
    return curves


def _curve(found: Sequence[tuple[np.ndarray, np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray]:
    right, scores, totals = zip(*found, strict=True)
    return recall_precision(right, scores, sum(totals))


def _scores(found: Findings) -> Table:
    """Table of average precision and recall: all classes, all as one class, each class."""
    start = "detector/query/"
    named = {name.removeprefix(start): value for name, value in found.metrics.items() if name.startswith(start)}
    rows = [["all", *(f"{named[name]:.3f}" for name in MEASURES)]]
    if "garment/box_ap" in named:
        rows.append(["taken as one", *(f"{named[f'garment/{name}']:.3f}" for name in MEASURES)])
    classes = sorted(name.partition("/")[2] for name in named if name.startswith("box_ap50/"))
    rows += [[one_line(name), "", f"{named[f'box_ap50/{name}']:.3f}", "", ""] for name in classes]
    return Table(["garments", *MEASURES.values()], rows, strong=True)


def _told(found: Findings) -> Text:
    """Ratios of undetected garments, and milliseconds an image."""
    missed = {part: found.metrics.get(f"crop/{part}/missed") for part in ("train", "query", "gallery")}
    shares = ", ".join(f"{part} {share:.1%}" for part, share in missed.items() if share is not None)
    milliseconds = found.metrics.get("speed/detector_ms")
    speed = "" if milliseconds is None else f" A picture takes {milliseconds:.0f} ms (median, one at a time)."
    return Text((f"Without a box that counts: {shares}." if shares else "") + speed, note=True)


def _sheets(found: Findings, scenes: list[Scene]) -> list[Block]:
    """Sheets of detections, of undetected garments and of false positives; a note where images do not open."""
    score = found.run.box_selector.min_score
    missed = [(scene, box) for scene in scenes for box in _missed(scene, score)]
    false = _false(scenes, score)
    try:
        source = found.run.source()
        tiles = {
            "found": pictured(scenes, source, score),
            "missed": missed_tiles(missed, source),
            "false": false_tiles(false, source),
        }
    except GONE as error:
        return [Text(f"The pictures cannot be opened here ({one_line(str(error))}): no sheets.", note=True)]
    captions = {
        "found": PICTURES.format(score=score),
        "missed": f"{MISSES} {len(missed):,} of {sum(len(scene.true) for scene in scenes):,}.",
        "false": f"{FALSE} {len(false):,} in {len(scenes):,} pictures.",
    }
    return [_sheet(name, row, captions[name]) for name, row in tiles.items() if row]


def _missed(scene: Scene, score: float) -> np.ndarray:
    """Annotated boxes that no detection of at least this score matches.  (k, 4) float32."""
    seen = scene.places[(scene.places >= 0) & (scene.found.scores >= score)]
    return scene.true[np.setdiff1d(np.arange(len(scene.true)), seen)]


def _false(scenes: Sequence[Scene], score: float) -> list[tuple[Scene, np.ndarray, float]]:
    """Detections of at least this score that match no annotated box, (4,) float32 each, by descending score."""
    false = [
        (scene, box, float(sure))
        for scene in scenes
        for box, sure, place in zip(scene.found.xyxy, scene.found.scores, scene.places, strict=True)
        if place < 0 and sure >= score
    ]
    return sorted(false, key=lambda each: -each[2])


def _sheet(name: str, tiles: list[Tile], caption: str) -> Figure:
    rows = [tiles[start : start + ROW] for start in range(0, len(tiles), ROW)]
    return sheet_figure(name, drawn(rows, [], SIDE), caption)
