"""Ask a finished run for the garments most similar to pictures: python search.py runs/latest street.jpg --k 12."""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tabulate import tabulate

from fashion_lsh.catalogue.catalogue import Catalogue
from fashion_lsh.catalogue.pictures import open_picture
from fashion_lsh.report.sheets import found_sheet
from fashion_lsh.retrieval.search import Probes
from fashion_lsh.retrieval.searcher import Found, Searcher
from fashion_lsh.run import Run


def main(words: Sequence[str] | None = None) -> int:
    """Answer each picture; one that cannot be read is named, and the others are answered."""
    asked = _arguments().parse_args(words)
    try:
        run = Run(asked.run)
        searcher = _searcher(run, asked.probes)
    except (OSError, ValueError) as error:
        print(f"search.py: {error}", file=sys.stderr)
        return 2
    box = np.array(asked.box, dtype=np.float32) if asked.box else None
    found: dict[Path, Found] = {}
    for path in asked.pictures:
        try:
            found[path] = searcher.find(open_picture(path), box, asked.k)
        except ValueError as error:
            named = "" if str(path) in str(error) else f"{path}: "
            print(f"search.py: skipped {named}{error}", file=sys.stderr)
            continue
        print(_answer(path, found[path], searcher.gallery.catalogue))
    if asked.sheet and found:
        rows = [(open_picture(path), box, answer) for path, answer in found.items()]
        try:
            found_sheet(asked.sheet, run.source(), searcher, rows)
        except (OSError, ValueError) as error:  # the gallery's pictures are elsewhere, say
            print(f"search.py: no sheet: {error}", file=sys.stderr)
            return 1
        print(f"Sheet: {asked.sheet}")
    return 0 if len(found) == len(asked.pictures) else 1


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="search.py", description=__doc__)
    parser.add_argument("run", type=Path, help="a folder that train.py made, runs/latest say")
    parser.add_argument("pictures", type=Path, nargs="+", metavar="PICTURE")
    parser.add_argument("--k", type=_count, default=12, help="hits a picture (default 12)")
    parser.add_argument("--probes", type=_probes, help="categories searched: 1, 2, …, all, or a softmax mass (0.95)")
    parser.add_argument("--box", type=_pixels, nargs=4, metavar=("X1", "Y1", "X2", "Y2"), help="the garment, in pixels")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="draw the pictures and their hits into this file")
    return parser


def _searcher(run: Run, probes: Probes | None) -> Searcher:
    """As the run was scored, but for the probes that are typed."""
    search = replace(run.search, probes=probes) if probes is not None else run.search
    model = run.model()
    return Searcher(model, run.gallery(model.fingerprint()), search)


def _answer(path: Path, found: Found, gallery: Catalogue) -> str:
    rows = [row for row in found.hits.rows[0] if row >= 0]
    hits = [
        (place, gallery.column("id")[row], gallery.column("category")[row], gallery.column("picture")[row], distance)
        for place, (row, distance) in enumerate(zip(rows, found.hits.distances[0], strict=False), start=1)
    ]
    table = tabulate(hits, headers=["", "garment", "category", "picture", "distance"], floatfmt=".3f")
    return f"{path}: {found.category} ({found.mass:.0%})\n{table}\n"


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number of hits, at least 1")
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


if __name__ == "__main__":
    sys.exit(main())
