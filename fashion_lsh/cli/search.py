"""Search the gallery of a finished run with query images.

example:
  fashion-lsh search runs/latest street.jpg --k 12
"""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tabulate import tabulate

from fashion_lsh.cli.command import create_parser
from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.images import open_image
from fashion_lsh.models.detector import DetectorModel
from fashion_lsh.report.contact_sheets import query_tiles, write_result_sheet
from fashion_lsh.report.tiles import Tile
from fashion_lsh.runs.run import Run
from fashion_lsh.search.searcher import Searcher, SearchResult


def main(argv: Sequence[str] | None = None) -> int:
    """Search with each image and print the hits; skip unreadable images; return the exit status."""
    args = build_parser().parse_args(argv)
    try:
        run = Run(args.run)
        searcher, detector = _open_searcher(run, args), run.detector()
    except (OSError, ValueError) as error:
        print(f"fashion-lsh search: {error}", file=sys.stderr)
        return 1
    results: list[tuple[list[Tile], SearchResult]] = []
    num_searched = 0
    for path in args.images:
        try:
            image = open_image(path)
            garments = _select_garments(run, detector, image, args)
            garment_results = [(name, box, searcher.search(image, box, args.k)) for name, box in garments]
        except ValueError as error:
            prefix = "" if str(path) in str(error) else f"{path}: "
            print(f"fashion-lsh search: skipped {prefix}{error}", file=sys.stderr)
            continue
        num_searched += 1
        if args.sheet:
            results += [
                (query_tiles(image, box, searcher.model.margin, result), result) for _, box, result in garment_results
            ]
        for name, _, result in garment_results:
            print(_format_result(f"{path}{name}", result, searcher.gallery.catalogue))
    if args.sheet and results:
        try:
            write_result_sheet(args.sheet, run.source(), searcher, results)
        except (OSError, ValueError) as error:  # for example, gallery images were moved
            print(f"fashion-lsh search: sheet not written: {error}", file=sys.stderr)
            return 1
        print(f"Sheet: {args.sheet}")
    return 0 if num_searched == len(args.images) else 1


def _select_garments(
    run: Run, detector: DetectorModel | None, image: np.ndarray, args: argparse.Namespace
) -> list[tuple[str, np.ndarray | None]]:
    """Return a label and a box (4,) for each query garment in an image; the box is None for the whole image.

    Raises:
        ValueError: --box and --garment are combined, the run has no detector for --garment, or fewer garments than
            requested are detected.
    """
    if args.box and args.garment:
        raise ValueError("--box and --garment cannot be combined; pass only one of them")
    if args.box:
        return [("", np.array(args.box, dtype=np.float32))]
    if detector is None:
        if args.garment:
            raise ValueError(f"--garment {args.garment}: the run has no detector; pass --box X1 Y1 X2 Y2")
        return [("", None)]
    box_selector = run.box_selector
    boxes = detector.detect([image])[0].filter(box_selector.min_score, box_selector.min_size)
    if not len(boxes.scores):
        if box_selector.fallback == "skip":
            raise ValueError("no garment detected; pass --box X1 Y1 X2 Y2")
        return [(", no garment detected, whole image", None)]
    if args.garment and args.garment > len(boxes.scores):
        raise ValueError(f"--garment {args.garment}: not detected; pass at most {len(boxes.scores)}")
    indices = [args.garment - 1] if args.garment else range(len(boxes.scores))
    return [(f", garment {number + 1} at {_format_box(boxes.xyxy[number])}", boxes.xyxy[number]) for number in indices]


def _format_box(box: np.ndarray) -> str:
    return " ".join(f"{coordinate:.0f}" for coordinate in box)


def build_parser() -> argparse.ArgumentParser:
    parser = create_parser("search", __doc__)
    parser.add_argument("run", type=Path, help="run folder, for example runs/latest")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="query images")
    parser.add_argument("--k", type=_positive_int, default=12, help="hits per query (default 12)")
    parser.add_argument("--nprobe", type=_parse_nprobe, help="inverted lists to probe: 1, 2, …, or all")
    parser.add_argument(
        "--min-probability",
        type=float,
        metavar="P",
        help="probe the most probable lists until their cumulative probability reaches P",
    )
    parser.add_argument(
        "--box",
        type=_finite_float,
        nargs=4,
        metavar=("X1", "Y1", "X2", "Y2"),
        help="box of the query garment, in pixels",
    )
    parser.add_argument("--garment", type=_positive_int, metavar="N", help="search with the N-th detected garment only")
    parser.add_argument(
        "--sheet", type=Path, metavar="PNG", help="write a contact sheet of the queries and hits to this file"
    )
    return parser


def _open_searcher(run: Run, args: argparse.Namespace) -> Searcher:
    """Open a searcher with the policy of the run; --nprobe and --min-probability replace its values."""
    changes = {name: value for name in ("nprobe", "min_probability") if (value := getattr(args, name)) is not None}
    return run.searcher(replace(run.policy, **changes))


def _format_result(query: str, result: SearchResult, gallery: Catalogue) -> str:
    garments = [gallery.row(row) for row in result.hits.rows[0] if row >= 0]
    table_rows = [
        (rank, garment["id"], garment["category"], garment["image"], distance)
        for rank, (garment, distance) in enumerate(zip(garments, result.hits.distances[0], strict=False), start=1)
    ]
    table = tabulate(table_rows, headers=["", "garment", "category", "image", "distance"], floatfmt=".3f")
    return f"{query}: predicted category {result.category} (probability {100 * result.confidence:.0f} %)\n{table}\n"


def _positive_int(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: not a positive integer; pass 1 or more")
    return int(text)


def _finite_float(text: str) -> float:
    number = float(text)  # argparse reports a ValueError
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r}: not finite; pass a number of pixels")
    return number


def _parse_nprobe(text: str) -> int | str:
    return text if text == "all" else _positive_int(text)
