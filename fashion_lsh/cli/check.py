"""See in seconds what of a data set is there: python -m fashion_lsh check SOURCE ROOT.

Pictures are looked for, not opened. Exit status 1: a part that is needed is missing, or no picture is there.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tabulate import tabulate

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.datasets import FASHION_MNIST, FILE_DATASETS, open_dataset
from fashion_lsh.data.datasets.fashion_mnist import FashionMnist
from fashion_lsh.data.datasets.image_files import MISSING_IMAGE, ImageFiles, PublishedCounts
from fashion_lsh.data.image_scan import MISSING, file_state

MAX_LISTED = 5  # of the rows with something amiss, so many are shown


def main(argv: Sequence[str] | None = None) -> int:
    """Print what is there."""
    parser = argparse.ArgumentParser(prog="python -m fashion_lsh check", description=__doc__)
    parser.add_argument("source", choices=sorted([*FILE_DATASETS, FASHION_MNIST]), help="the data set")
    parser.add_argument("root", type=Path, help="where it was unpacked")
    args = parser.parse_args(argv)
    try:
        source = open_dataset(args.source, str(args.root), 0)
        if isinstance(source, ImageFiles):
            complete = _print_files(source)
            return 0 if _print_rows(source) and complete else 1
        if isinstance(source, FashionMnist):  # its files are whole, or it had not opened
            _print_counts(source.catalogue(), source.published)
            return 0
        raise ValueError(f"{args.source} is made by `python -m fashion_lsh merge`: its data card says what is in it")
    except (OSError, ValueError) as error:
        print(f"{args.source}: {error}", file=sys.stderr)
        return 1


def _print_files(source: ImageFiles) -> bool:
    """Tell which files and folders of the published layout are there, and whether all that are needed are."""
    lines, complete = [], True
    for part in source.expected:
        present = any(next(source.folder.glob(pattern), None) is not None for pattern in part.pattern.split("|"))
        complete &= present or not part.required
        status = "there" if present else "MISSING" if part.required else "not there"
        lines.append((part.pattern.replace("|", " or "), part.description, status))
    if lines:
        print(tabulate(lines, ["file or folder", "holds", ""]), end="\n\n")
    return complete


def _print_rows(source: ImageFiles) -> bool:
    """Tell how many rows are listed beside how many were published, and which pictures are missing."""
    rows, left_out = source.list_garments()
    _print_counts(rows, source.published or PublishedCounts({}))
    images = sorted(set(rows.column("image")))
    missing = [str(source.folder / name) for name in images if file_state(source.folder / name) == MISSING]
    missing_listed = [name for name, reason in left_out.items() if reason.startswith(MISSING_IMAGE)]
    unusable = [f"{name}: {reason}" for name, reason in left_out.items() if not reason.startswith(MISSING_IMAGE)]
    print(f"{len(rows):,} garments of {len(rows.categories)} labels; {len(unusable):,} further rows are of no use")
    _print_lines(unusable)
    print(f"{len(missing) + len(missing_listed):,} of {len(images) + len(missing_listed):,} pictures are missing")
    _print_lines(missing + missing_listed)
    return len(missing) < len(images)


def _print_counts(rows: Catalogue, published: PublishedCounts) -> None:
    """Print how many there are of each split, in the unit of what was published, and by how much that differs."""
    split_of_image = dict(zip(rows.column("image"), rows.column("split"), strict=True))
    names = list(split_of_image.values() if published.unit == "images" else rows.column("split"))
    counts = Counter(names) | {"all": len(names)}
    lines = []
    for name in [*sorted((counts.keys() | published.counts.keys()) - {"all"}), "all"]:
        published_count, difference = published.counts.get(name), counts.get(name, 0) - published.counts.get(name, 0)
        comparison = (
            ("", "")
            if published_count is None
            else (f"{published_count:,}", f"{difference:+,}" if difference else "agrees")
        )
        lines.append((name or "without a split", f"{counts.get(name, 0):,}", *comparison))
    print(tabulate(lines, ["split", published.unit, "published", ""]), end="\n\n")


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines[:MAX_LISTED]:
        print(f"  {line}")
