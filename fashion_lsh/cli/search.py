"""Search a finished run with images: python -m fashion_lsh search runs/latest street.jpg --k 12."""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tabulate import tabulate

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.images import open_image
from fashion_lsh.models.detector import DetectorModel
from fashion_lsh.report.contact_sheets import asked_tiles, found_sheet
from fashion_lsh.report.tiles import Tile
from fashion_lsh.runs.run import Run
from fashion_lsh.search.policy import Probes
from fashion_lsh.search.searcher import Reply, Searcher


def main(words: Sequence[str] | None = None) -> int:
    """Answer each picture; one that cannot be read is named, and the others are answered."""
    asked = _arguments().parse_args(words)
    try:
        run = Run(asked.run)
        searcher, detector = _searcher(run, asked.probes), run.detector()
    except (OSError, ValueError) as error:
        print(f"fashion_lsh search: {error}", file=sys.stderr)
        return 2
    answers: list[tuple[list[Tile], Reply]] = []
    answered = 0
    for path in asked.pictures:
        try:
            picture = open_image(path)
            garments = _garments(run, detector, picture, asked)
            found = [(name, box, searcher.find(picture, box, asked.k)) for name, box in garments]
        except ValueError as error:
            named = "" if str(path) in str(error) else f"{path}: "
            print(f"fashion_lsh search: skipped {named}{error}", file=sys.stderr)
            continue
        answered += 1
        if asked.sheet:
            answers += [(asked_tiles(picture, box, searcher.model.margin, answer), answer) for _, box, answer in found]
        for name, _, answer in found:
            print(_answer(f"{path}{name}", answer, searcher.gallery.catalogue))
    if asked.sheet and answers:
        try:
            found_sheet(asked.sheet, run.source(), searcher, answers)
        except (OSError, ValueError) as error:  # the gallery's pictures are elsewhere, say
            print(f"fashion_lsh search: no sheet: {error}", file=sys.stderr)
            return 1
        print(f"Sheet: {asked.sheet}")
    return 0 if answered == len(asked.pictures) else 1


def _garments(
    run: Run, detector: DetectorModel | None, picture: np.ndarray, asked: argparse.Namespace
) -> list[tuple[str, np.ndarray | None]]:
    """What in a picture is asked with: a name for it, and its box.

    Raises:
        ValueError: the run has no detector that could count garments, or it does not see so many.
    """
    if asked.box and asked.garment:
        raise ValueError("--box and --garment both say which garment is meant: give one of them")
    if asked.box:
        return [("", np.array(asked.box, dtype=np.float32))]
    if detector is None:
        if asked.garment:
            raise ValueError("this run has no detector to count garments: give --box X1 Y1 X2 Y2")
        return [("", None)]
    box_selector = run.box_selector
    boxes = detector.detect([picture])[0].filter(box_selector.min_score, box_selector.min_size)
    if not len(boxes.scores):
        if box_selector.fallback == "skip":
            raise ValueError("no garment is seen in it: give --box X1 Y1 X2 Y2")
        return [(", no garment is seen: the whole of it", None)]
    if asked.garment and asked.garment > len(boxes.scores):
        raise ValueError(f"--garment {asked.garment}: {len(boxes.scores)} are seen in it")
    wanted = [asked.garment - 1] if asked.garment else range(len(boxes.scores))
    return [
        (f", garment {number + 1} at {_corners(boxes.xyxy[number])}", boxes.xyxy[number]) for number in wanted
    ]


def _corners(box: np.ndarray) -> str:
    return " ".join(f"{side:.0f}" for side in box)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fashion_lsh search", description=__doc__)
    parser.add_argument("run", type=Path, help="a folder that train.py made, runs/latest say")
    parser.add_argument("pictures", type=Path, nargs="+", metavar="PICTURE")
    parser.add_argument("--k", type=_count, default=12, help="hits a picture (default 12)")
    parser.add_argument("--probes", type=_probes, help="categories searched: 1, 2, …, all, or a softmax mass (0.95)")
    parser.add_argument("--box", type=_pixels, nargs=4, metavar=("X1", "Y1", "X2", "Y2"), help="the garment, in pixels")
    parser.add_argument("--garment", type=_count, metavar="N", help="the N-th that the detector sees; else all of them")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="draw the pictures and their hits into this file")
    return parser


def _searcher(run: Run, probes: Probes | None) -> Searcher:
    """As the run was scored, but for the probes that are typed."""
    search = replace(run.search, probes=probes) if probes is not None else run.search
    model = run.model()
    return Searcher(model, run.gallery(model.fingerprint()), search)


def _answer(asked: str, found: Reply, gallery: Catalogue) -> str:
    rows = [gallery.row(row) for row in found.hits.rows[0] if row >= 0]
    hits = [
        (place, row["id"], row["category"], row["image"], distance)
        for place, (row, distance) in enumerate(zip(rows, found.hits.distances[0], strict=False), start=1)
    ]
    table = tabulate(hits, headers=["", "garment", "category", "image", "distance"], floatfmt=".3f")
    return f"{asked}: {found.category} ({found.mass:.0%})\n{table}\n"


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number, at least 1")
    return int(text)


def _pixels(text: str) -> float:
    number = float(text)  # argparse tells of what is no number
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r}: give pixels")
    return number


def _probes(text: str) -> Probes:
    if text == "all":
        return "all"
    try:
        return float(text) if "." in text else int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number, all, or a softmax mass as 0.95") from error
