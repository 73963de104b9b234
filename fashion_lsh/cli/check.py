"""Check which files of a data set are present: python -m fashion_lsh check SOURCE ROOT.

Image files are looked up, not opened. Exit status 1: a required part is missing, or no image exists.
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

MAX_LISTED = 5  # problems printed of each kind


def main(argv: Sequence[str] | None = None) -> int:
    """Print the files and row counts of a data set; return the exit status."""
    args = build_parser().parse_args(argv)
    try:
        source = open_dataset(args.source, str(args.root), 0)
        if isinstance(source, ImageFiles):
            complete = _print_files(source)
            return 0 if _print_rows(source) and complete else 1
        if isinstance(source, FashionMnist):  # complete, otherwise open_dataset fails
            _print_counts(source.catalogue(), source.published)
            return 0
        raise ValueError("a merged catalogue has no published files to check; see card.md in its folder")
    except (OSError, ValueError) as error:
        print(f"{args.source}: {error}", file=sys.stderr)
        return 1


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fashion_lsh check", description=__doc__)
    parser.add_argument("source", choices=sorted([*FILE_DATASETS, FASHION_MNIST]), help="name of the data set")
    parser.add_argument("root", type=Path, help="folder or manifest of the data set")
    return parser


def _print_files(source: ImageFiles) -> bool:
    """Print which parts of the published layout are present; return whether all required ones are."""
    lines, complete = [], True
    for part in source.expected:
        present = any(next(source.folder.glob(pattern), None) is not None for pattern in part.pattern.split("|"))
        complete &= present or not part.required
        status = "present" if present else "MISSING" if part.required else "absent (optional)"
        lines.append((part.pattern.replace("|", " or "), part.description, status))
    if lines:
        print(tabulate(lines, ["file or folder", "content", "status"]), end="\n\n")
    return complete


def _print_rows(source: ImageFiles) -> bool:
    """Print row counts, unusable rows and missing images; return whether any image exists."""
    rows, skipped = source.list_garments()
    _print_counts(rows, source.published or PublishedCounts({}))
    images = sorted(set(rows.column("image")))
    missing = [str(source.folder / name) for name in images if file_state(source.folder / name) == MISSING]
    missing_listed = [name for name, reason in skipped.items() if reason.startswith(MISSING_IMAGE)]
    unusable = [f"{name}: {reason}" for name, reason in skipped.items() if not reason.startswith(MISSING_IMAGE)]
    print(f"{len(rows):,} garments of {len(rows.categories)} labels; {len(unusable):,} unusable rows")
    _print_lines(unusable)
    print(f"{len(missing) + len(missing_listed):,} of {len(images) + len(missing_listed):,} images are missing")
    _print_lines(missing + missing_listed)
    return len(missing) < len(images)


def _print_counts(rows: Catalogue, published: PublishedCounts) -> None:
    """Print the size of each split and its difference to the published one, in the published unit."""
    split_of_image = dict(zip(rows.column("image"), rows.column("split"), strict=True))
    names = list(split_of_image.values() if published.unit == "images" else rows.column("split"))
    counts = Counter(names) | {"all": len(names)}
    lines = []
    for name in [*sorted((counts.keys() | published.counts.keys()) - {"all"}), "all"]:
        published_count, difference = published.counts.get(name), counts.get(name, 0) - published.counts.get(name, 0)
        comparison = (
            ("", "")
            if published_count is None
            else (f"{published_count:,}", f"{difference:+,}" if difference else "matches")
        )
        lines.append((name or "no split", f"{counts.get(name, 0):,}", *comparison))
    print(tabulate(lines, ["split", published.unit, "published", "difference"]), end="\n\n")


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines[:MAX_LISTED]:
        print(f"  {line}")
